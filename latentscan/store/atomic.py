"""Atomic creation of groups: built in memory, copied key by key, the group's own metadata last."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from latentscan.errors import StoreError, UsageError, parameter
from latentscan.paths import as_path, is_url, local_path
from latentscan.store.files import UNFINISHED, remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    import zarr
    from zarr.abc.store import Store
    from zarr.core.buffer import Buffer

METADATA = "zarr.json"
CHANGES = 20  # attempts at a change that others come before
PAUSE_S = 0.02  # after the first of them, and so much longer after each other


def backing(location: str, *, read_only: bool) -> Store:
    """Return the zarr store object behind a location.

    Raises
    ------
    UsageError
        If it is a URL of a kind for which nothing is installed.
    """
    if is_url(location):
        from latentscan.store.object_store import remote_store

        return remote_store(location, read_only=read_only)
    from latentscan.store.disk_store import DiskStore  # zarr takes a while to import

    return DiskStore(local_path(location), read_only=read_only)


def publish(location: str, path: str, build: Callable[[zarr.Group], None]) -> dict[str, Any]:
    """Create the group `path` of the store at `location`: the whole of it exists afterwards, or nothing.

    `build` fills a group in memory. Its keys are copied, and the ``zarr.json`` that makes it a group
    comes last: whoever is interrupted leaves files that no reader looks at. What an earlier creation left
    and this one does not write is removed at the end, not at the beginning: several processes may create
    the same group at once. Returns the metadata of the group, of its parents, and of what is in it, by path.
    """
    import zarr
    from zarr.core.sync import sync
    from zarr.storage import MemoryStore

    keys: dict[str, Buffer] = {}
    build(zarr.open_group(MemoryStore(keys), path=path, mode="w", zarr_format=3))
    marker = f"{path}/{METADATA}".lstrip("/")
    parents = {(parent / METADATA).as_posix() for parent in PurePosixPath(path).parents} - {marker}
    target = backing(location, read_only=False)

    async def copy() -> None:
        content = keys.keys() - parents - {marker}
        await asyncio.gather(*(target.set(key, keys[key]) for key in content))
        for key in parents:
            await target.set_if_not_exists(key, keys[key])
        if not path:  # of two that create the same store at once, the first one counts
            await target.set_if_not_exists(marker, keys[marker])
            return
        await target.set(marker, keys[marker])
        own = {key.removeprefix(f"{path}/").partition("/")[0] for key in keys}
        async for name in target.list_dir(path):
            if name not in own and not name.endswith(UNFINISHED):
                with suppress(FileNotFoundError):  # another process is faster
                    await target.delete_dir(f"{path}/{name}")

    sync(copy())
    remove_leftovers(location, path)
    for parent in PurePosixPath(path).parents:
        remove_leftovers(location, str(parent), depth=0)
    found = {key: json.loads(keys[key].to_bytes()) for key in keys if key.endswith(METADATA)}
    return {key.removesuffix(METADATA).rstrip("/"): node for key, node in found.items()}


def remove_leftovers(location: str, path: str = "", *, depth: int | None = None) -> None:
    """Remove the files that killed writers left below a path of a store; at a URL, writers leave none.

    Parameters
    ----------
    location, path
        The store, and the path in it.
    depth
        How many levels of folders below it are looked through; all if None.
    """
    if not is_url(location):
        remove_abandoned(local_path(location) / path, depth=depth)


def remove_empty_group(location: str, path: str) -> None:
    """Remove a group that holds nothing but its own metadata; others may write into it at the same time."""
    from zarr.core.sync import sync

    if list_names(location, path) != [METADATA]:
        return
    sync(backing(location, read_only=False).delete(f"{path}/{METADATA}"))
    if not is_url(location):
        with suppress(OSError):  # somebody has begun to write into it
            (local_path(location) / path).rmdir()


def require_folder_of(location: str, own: Container[str]) -> None:
    """Refuse a file, or a folder that holds anything but its own, and what interrupted writers leave.

    Raises
    ------
    UsageError
        If the folder holds something else.
    """
    path = as_path(location, StoreError)
    folder = path.is_dir()
    if not folder and path.exists():
        raise UsageError(f"{location} is a file; name a folder that does not exist yet")
    names = {entry.name for entry in path.iterdir()} if folder else set()
    foreign = sorted(name for name in names if name not in own and not name.endswith(UNFINISHED))
    if foreign:
        raise UsageError(
            f"{location} holds {foreign[0]!r}, which does not belong there, and is no latent store; "
            "name a folder that does not exist yet"
        )


def is_writable(location: str, folder: str) -> bool:
    """Check whether a location is writable; at a URL, by writing a file to a folder below it."""
    from zarr.core.sync import sync

    if is_url(location):
        store, key = backing(location, read_only=False), f"{folder}/writable{UNFINISHED}"
        try:
            sync(store.set(key, _buffer({})))
            sync(store.delete(key))
        except StoreError as error:
            if isinstance(error.__cause__, PermissionError):
                return False
            raise
        return True
    place = local_path(location)
    existing = next(path for path in (place, *place.absolute().parents) if path.exists())
    return os.access(existing, os.W_OK) and not os.statvfs(existing).f_flag & os.ST_RDONLY


def exists(location: str, key: str) -> bool:
    """Check whether a store has a key."""
    from zarr.core.sync import sync

    return sync(backing(location, read_only=True).exists(key))


def list_names(location: str, prefix: str) -> list[str]:
    """Return the names right below a prefix of a store, in no order; none where nothing has that prefix."""
    from zarr.core.sync import sync

    store = backing(location, read_only=True)

    async def names() -> list[str]:
        return [name async for name in store.list_dir(prefix)]

    return sync(names())


def read_json(store: Store, key: str) -> dict[str, Any] | None:
    """Read a JSON file of a store; None where it does not exist.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    content = sync(store.get(key, default_buffer_prototype()))
    if content is None:
        return None
    document = json.loads(content.to_bytes())
    if not isinstance(document, dict):
        raise ValueError(f"{key} holds no JSON object")  # noqa: TRY004 (what json.loads raises too)
    return document


def write_json(store: Store, key: str, document: dict[str, Any]) -> None:
    """Write a JSON file of a store, as a whole."""
    from zarr.core.sync import sync

    sync(store.set(key, _buffer(document)))


def change_json(location: str, key: str, change: Callable[[], dict[str, Any]]) -> None:
    """Write what `change` returns after reading a JSON file.

    Callers lock the folder of files on a disk. At a URL nobody can lock anything: `change` is called again
    where another process wrote in between, as far as the server detects that (S3 does).

    Raises
    ------
    StoreError
        If it was refused each time.
    """
    from zarr.core.sync import sync

    if not is_url(location):
        write_json(backing(location, read_only=False), key, change())
        return
    from latentscan.store.object_store import remote_store

    store = remote_store(location, read_only=False)
    for attempt in range(1, CHANGES + 1):
        version = sync(store.version(key))
        if sync(store.replace(key, _buffer(change()), version)):
            return
        time.sleep(PAUSE_S * attempt)
    raise StoreError(
        f"{location}/{key}: refused {CHANGES} times, as if others had changed it meanwhile; run the command "
        f"again, or with {parameter('results')} where the server knows If-Match"
    )


def _buffer(document: dict[str, Any]) -> Buffer:
    from zarr.core.buffer import default_buffer_prototype

    return default_buffer_prototype().buffer.from_bytes(json.dumps(document).encode())
