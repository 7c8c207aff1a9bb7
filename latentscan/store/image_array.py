"""Zarr arrays that hold images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.errors import UsageError
from latentscan.store.publish import backing

if TYPE_CHECKING:
    from pathlib import Path

    import zarr


def open_image_array(path: Path) -> zarr.Array[Any]:
    """Open a Zarr array of images for reading; rows are read when it is indexed.

    Raises
    ------
    UsageError
        If it is a group.
    """
    import zarr

    found = zarr.open(backing(str(path), read_only=True), mode="r")
    if not isinstance(found, zarr.Array):
        raise UsageError(f"{path} is a Zarr group; name the array of images inside it")
    return found
