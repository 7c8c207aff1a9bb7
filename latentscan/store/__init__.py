"""The LatentStore: schema, block writer, reader, check, results. The only door to zarr."""
