"""The arrays in a Zarr group of any version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.errors import LatentscanError, UsageError, shown
from latentscan.store.atomic import backing
from latentscan.store.claims import guarded
from latentscan.store.image_array import open_image_array

if TYPE_CHECKING:
    import zarr

_MOST_ARRAYS = 1000


def open_arrays(location: str) -> dict[str, zarr.Array[Any]]:
    """Open the arrays in a Zarr group by their paths in it; an array by itself has no path.

    Raises
    ------
    UsageError
        If there is none, its metadata is damaged, or no limit is known for what its chunks take.
    """
    import zarr

    try:
        found = zarr.open(guarded(backing(location, read_only=True)), mode="r")
        if isinstance(found, zarr.Array):
            return {"": open_image_array(location)}
        members = found.members(max_depth=None)[:_MOST_ARRAYS]
    except LatentscanError:
        raise
    except Exception as error:  # whatever stands in a damaged file: zarr does not say what it raises
        detail = shown(error) if str(error) else type(error).__name__
        raise UsageError(f"{location}: no Zarr group that can be read ({detail})") from error
    paths = [
        path for path, member in members if isinstance(member, zarr.Array) and member.dtype.kind in "fiu"
    ]
    return {path: open_image_array(f"{location}/{path}") for path in paths}
