"""The root's metadata: that of every array, sealed by a hash, and the list of results.

The root's ``zarr.json`` is consolidated metadata: xarray and zarr read it, and not that of each array. What
it says of the latents never changes after the store's creation, and its hash, the seal, is among the root's
attributes. Results are added to it and removed: they are not sealed. A second copy of the sealed part, which
nothing rewrites, is in a group of its own, so that damage to the root keeps nobody from the latents.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from latentscan.errors import StoreError, command
from latentscan.paths import as_path, is_url, local_path
from latentscan.store.atomic import (
    METADATA,
    backing,
    change_json,
    list_names,
    read_json,
    remove_leftovers,
    write_json,
)
from latentscan.store.schema import ATTRIBUTE_ARRAYS, COMMITS, JOBS, LABEL_NAMES, LATENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import zarr
    from zarr.abc.store import Store

SEAL = "metadata_sha256"
SEALED_COPY = "sealed_metadata"  # the group whose attribute `root` is the copy of the sealed part
RESULTS = "analyses"
GROUP: dict[str, Any] = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
_ATTRIBUTES = (*ATTRIBUTE_ARRAYS.values(), *LABEL_NAMES.values())
_SEALED = frozenset({*LATENTS, "path", "status", "split", *_ATTRIBUTES, COMMITS, "digest", "array"})
_one_at_a_time = threading.Lock()

Nodes = dict[str, Any]  # metadata by path, as consolidated metadata has it


def nodes_of(root: dict[str, Any]) -> Nodes:
    """Return the consolidated metadata of a root; empty where it has none."""
    consolidated = root.get("consolidated_metadata")
    nodes = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    return nodes if isinstance(nodes, dict) else {}


def sealed_nodes(root: dict[str, Any]) -> Nodes:
    """Return the metadata of the data arrays and of the commit record, by path, out of the root's."""
    return {path: node for path, node in nodes_of(root).items() if path.partition("/")[0] in _SEALED}


def listed_nodes(root: dict[str, Any]) -> Nodes:
    """Return the metadata of results, by path, out of the root's."""
    return {path: node for path, node in nodes_of(root).items() if path.partition("/")[0] == RESULTS}


def seal_of(root: dict[str, Any]) -> str:
    """Hash the root's attributes and the metadata of the data arrays."""
    attributes = {name: value for name, value in root["attributes"].items() if name != SEAL}
    return hashlib.sha256(json.dumps([attributes, sealed_nodes(root)], sort_keys=True).encode()).hexdigest()


def with_list(root: dict[str, Any], listed: Nodes) -> dict[str, Any]:
    """Return the root's metadata as it should be: its attributes, what is sealed, and a list of results."""
    nodes = sealed_nodes(root) | listed
    # zarr reads siblings only where they follow one another
    ordered = dict(sorted(nodes.items(), key=lambda item: item[0].split("/")))
    consolidated = {"kind": "inline", "must_understand": False, "metadata": ordered}
    attributes = root.get("attributes")
    return {
        **GROUP,
        "attributes": attributes if isinstance(attributes, dict) else {},
        "consolidated_metadata": consolidated,
    }


def seal(group: zarr.Group) -> None:
    """Consolidate and seal the root of a store that is being built in memory, and add the sealed copy."""
    from zarr.core.sync import sync

    store = group.store

    async def keys() -> list[str]:
        return [key async for key in store.list() if key.endswith(f"/{METADATA}")]

    root = read_json(store, METADATA) or {}
    nodes = {key.removesuffix(f"/{METADATA}"): read_json(store, key) for key in sync(keys())}
    root = with_list({**root, "consolidated_metadata": {"metadata": nodes}}, {})
    root["attributes"][SEAL] = seal_of(root)
    write_json(store, METADATA, root)
    write_sealed_copy(store, root)


def write_sealed_copy(store: Store, root: dict[str, Any]) -> None:
    """Write the copy of what is sealed."""
    write_json(store, f"{SEALED_COPY}/{METADATA}", {**GROUP, "attributes": {"root": with_list(root, {})}})


def read_sealed_copy(location: str) -> dict[str, Any] | None:
    """Read the copy of what is sealed; None where there is none (as in format 1), or where it is damaged."""
    try:
        node = read_json(backing(location, read_only=True), f"{SEALED_COPY}/{METADATA}")
        root = node["attributes"]["root"] if node is not None else None
        return root if root is not None and root["attributes"][SEAL] == seal_of(root) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def read_root(location: str) -> dict[str, Any] | None:
    """Read the root's metadata, or the sealed copy where it is damaged; None where there is no Zarr group.

    Raises
    ------
    StoreError
        If it is a latent store's and damaged, and so is the copy, or the store has none.
    """
    root, problem = _examine_root(location)
    if problem is None:
        return root
    copy = read_sealed_copy(location)
    if copy is not None:
        return copy
    if {RESULTS, METADATA} <= (names := set(list_names(location, ""))) <= {RESULTS, METADATA, JOBS}:
        return GROUP  # a location of results alone: its root is nothing but the list of them
    restored = f"; so is {SEALED_COPY}" if SEALED_COPY in names else ""
    raise StoreError(f"{location}/{METADATA} is damaged: {problem}{restored}; restore it from a copy")


def root_problem(location: str) -> str | None:
    """Return what is wrong with the sealed part of the root's own file; None where it is whole."""
    return _examine_root(location)[1]


def open_sealed(store: Store, root: dict[str, Any]) -> zarr.Group:
    """Open the root group by what is sealed alone, so that its list of results may be damaged."""
    import zarr
    from zarr.storage import StorePath

    return zarr.Group(zarr.AsyncGroup.from_dict(StorePath(store), with_list(root, {})))


def no_store(location: str) -> StoreError:
    """Return the error of a location where there is no Zarr group."""
    found = "is no latent store" if as_path(location, StoreError).exists() else "does not exist"
    return StoreError(f"{location} {found}; {command('encode')} or {command('ingest')} writes one")


def change_list(location: str, change: Callable[[Nodes], Nodes]) -> None:
    """Replace the list of results in the root's metadata by what `change` makes of it.

    What is sealed stays as it is. `change` may be called again where others change the list at the same time.

    Raises
    ------
    StoreError
        If the root is damaged beyond what can be restored, or a server refused the change each time.
    """

    def changed() -> dict[str, Any]:
        root = read_root(location) or GROUP
        return with_list(root, change(listed_nodes(root)))

    with alone(location):
        change_json(location, METADATA, changed)
    remove_leftovers(location, depth=0)


def _examine_root(location: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the root's metadata, if any, and what is wrong with it."""
    try:
        root = read_json(backing(location, read_only=True), METADATA)
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except PermissionError as error:
        raise StoreError(f"{location}/{METADATA} cannot be read: {error.strerror}") from error
    except OSError as error:
        return None, f"it cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        return None, str(error)
    if root is None:
        return None, "it is missing" if _is_begun(location) else None
    attributes = root.get("attributes", {})
    if isinstance(attributes, dict) and SEAL in attributes:
        return root, None if attributes[SEAL] == seal_of(root) else "it is not what was sealed"
    problem = "its seal is missing" if isinstance(attributes, dict) else "its attributes are no object"
    is_plain = isinstance(attributes, dict) and read_sealed_copy(location) is None
    return root, None if is_plain else problem


def _is_begun(location: str) -> bool:
    """Check whether blocks are written at a location: then a store that was there has lost its root."""
    return bool(list_names(location, f"{COMMITS}/digest/c")) and read_sealed_copy(location) is not None


@contextmanager
def alone(location: str) -> Iterator[None]:
    """Hold off threads, and where the system can lock a folder processes, that call it too."""
    if sys.platform == "win32" or is_url(location):
        with _one_at_a_time:
            yield
        return
    import fcntl

    folder = os.open(local_path(location), os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system may have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
