"""Dask: tree reduction over the blocks of a store. The only door to dask and distributed."""
