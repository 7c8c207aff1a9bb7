"""Atomic creation of groups: built in memory, copied chunk by chunk, the group's own metadata last."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import zarr
    from zarr.abc.store import Store
    from zarr.core.buffer import Buffer


def backing(location: str, *, read_only: bool) -> Store:
    """Give the zarr store object behind a location."""
    from zarr.storage import LocalStore

    return LocalStore(Path(location).expanduser(), read_only=read_only)


def consolidate(store: Store, path: str | None = None) -> None:
    """Gather the metadata below a group into its own, where `xarray.open_zarr` looks for it."""
    import zarr

    with warnings.catch_warnings():
        # zarr warns that the v3 specification does not know it yet, xarray where it is missing
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(store, path=path)


def publish(location: str, path: str, build: Callable[[zarr.Group], None]) -> None:
    """Create the group `path` of the store at `location` so that it is there whole or not at all.

    `build` fills a group in memory. Its keys are copied, and the ``zarr.json`` that makes it a group
    comes last: whoever is interrupted leaves files that no reader looks at.
    """
    import zarr
    from zarr.core.sync import sync
    from zarr.storage import MemoryStore

    keys: dict[str, Buffer] = {}
    memory = MemoryStore(keys)
    build(zarr.open_group(memory, path=path, mode="w", zarr_format=3))
    if not path:
        consolidate(memory)
    marker = f"{path}/zarr.json".lstrip("/")
    parents = {f"{parent}/zarr.json".removeprefix("./") for parent in Path(path).parents}
    target = backing(location, read_only=False)

    async def copy() -> None:
        for key in sorted(keys, key=lambda key: key == marker):
            if key in parents - {marker}:
                await target.set_if_not_exists(key, keys[key])
            else:
                await target.set(key, keys[key])

    sync(copy())
