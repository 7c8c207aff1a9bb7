"""How each family of Dask's cluster classes is configured, beyond what a profile says."""
