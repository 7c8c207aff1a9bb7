"""Zarr arrays that hold images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from latentscan.errors import LatentscanError, UsageError, shown
from latentscan.images.arrays import ArraySource
from latentscan.paths import absolute, as_path
from latentscan.store.atomic import backing
from latentscan.store.claims import CHUNK_BYTES_LIMIT, bounded_compressor, guarded

if TYPE_CHECKING:
    import zarr

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath


def is_zarr(location: str | AnyPath) -> bool:
    """Check whether a path or URL holds a Zarr array or group."""
    path = as_path(location)
    return any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def open_array_source(location: str | AnyPath, preprocessing: Preprocessing) -> ArraySource:
    """Open a Zarr array of images at a path or URL as a source, which other machines can open by itself.

    Raises
    ------
    UsageError
        If the location holds nothing, a group, or an array of another type or shape.
    """
    source = ArraySource(open_image_array(location), as_path(location).absolute().name, preprocessing)
    return source.opened_by(open_array_source, absolute(location), preprocessing=preprocessing)


def open_image_array(location: str | AnyPath) -> zarr.Array[Any]:
    """Open a Zarr array of images for reading; rows are read when it is indexed.

    Raises
    ------
    UsageError
        If the location holds nothing, a group, or an array whose metadata is damaged, or whose chunks would
        take too much memory, or are compressed by a codec for which that cannot be known.
    """
    import zarr

    store = guarded(backing(str(location), read_only=True))
    try:
        found = zarr.open(store, mode="r")
    except FileNotFoundError as error:
        raise UsageError(f"{location}: no Zarr array is there; name the array of images") from error
    except LatentscanError:
        raise
    except Exception as error:  # whatever stands in a damaged file: zarr does not say what it raises
        detail = shown(error) if str(error) else type(error).__name__
        raise UsageError(
            f"{location}: the metadata of this Zarr array cannot be read ({detail}); restore it from a copy"
        ) from error
    if not isinstance(found, zarr.Array):
        raise UsageError(f"{location} is a Zarr group; name the array of images inside it")
    chunk = math.prod(found.shards or found.chunks) * found.dtype.itemsize
    if chunk > CHUNK_BYTES_LIMIT:
        raise UsageError(
            f"{location}: its chunks take {chunk:,} bytes each; expected at most {CHUNK_BYTES_LIMIT:,}"
        )
    try:
        store.compressor = bounded_compressor(found)
    except ValueError as error:
        raise UsageError(f"{location}: its codec is {error}; store it with zstd or none") from error
    store.chunk_bytes = chunk
    return found
