"""Where a store is: a path of this machine, or a URL."""

from __future__ import annotations

from pathlib import Path


def everywhere(location: str) -> str:
    """Give a location as processes with another working directory have to name it.

    Examples
    --------
    >>> everywhere("s3://latents/z.zarr"), everywhere("/data/z.zarr")
    ('s3://latents/z.zarr', '/data/z.zarr')
    """
    return location if "://" in location else str(Path(location).absolute())
