"""Zarr arrays that hold images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.errors import UsageError
from latentscan.images.arrays import ArraySource
from latentscan.paths import absolute, as_path
from latentscan.store.atomic import backing

if TYPE_CHECKING:
    import zarr

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath


def is_zarr(location: str | AnyPath) -> bool:
    """Check whether a path or URL holds a Zarr array or group."""
    path = as_path(location)
    return any((path / name).exists() for name in ("zarr.json", ".zarray"))


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
        If the location holds nothing, or a group.
    """
    import zarr

    try:
        found = zarr.open(backing(str(location), read_only=True), mode="r")
    except FileNotFoundError as error:
        raise UsageError(f"{location}: no Zarr array is there; name the array of images") from error
    if not isinstance(found, zarr.Array):
        raise UsageError(f"{location} is a Zarr group; name the array of images inside it")
    return found
