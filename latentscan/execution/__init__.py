"""Where tasks run: the threads of this process, or the workers of a Dask cluster."""
