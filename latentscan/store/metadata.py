"""The root's metadata: a copy of that of every array, sealed by a hash, and the list of results.

xarray and zarr read the copy (`consolidated_metadata`). What is said there of the latents never changes
after the store's creation; results are added to it. The seal tells when any of it was damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from latentscan.errors import StoreError
from latentscan.paths import as_path, is_url, local_path
from latentscan.store.atomic import METADATA, backing, change_json, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import zarr

SEAL = "metadata_sha256"
RESULTS = "analyses"
_one_at_a_time = threading.Lock()


def array_metadata(root: dict[str, Any]) -> dict[str, Any]:
    """Give the metadata of the data arrays, by name, out of the root's."""
    nodes: dict[str, Any] = root.get("consolidated_metadata", {}).get("metadata", {})
    return {name: node for name, node in nodes.items() if name.partition("/")[0] != RESULTS}


def seal_of(root: dict[str, Any]) -> str:
    """Hash the root's attributes and the metadata of the data arrays."""
    attributes = {name: value for name, value in root["attributes"].items() if name != SEAL}
    return hashlib.sha256(json.dumps([attributes, array_metadata(root)], sort_keys=True).encode()).hexdigest()


def seal(group: zarr.Group) -> None:
    """Consolidate and seal the root of a store that is being built in memory."""
    import zarr

    with warnings.catch_warnings():
        # zarr warns that the v3 specification does not know it yet, xarray where it is missing
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(group.store)
    root = read_json(group.store, METADATA) or {}
    root["attributes"][SEAL] = seal_of(root)
    write_json(group.store, METADATA, root)


def read_root(location: str) -> dict[str, Any] | None:
    """Read the root's metadata; None where there is no Zarr group.

    Raises
    ------
    StoreError
        If it is a latent store's and damaged.
    """
    try:
        root = read_json(backing(location, read_only=True), METADATA)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise StoreError(f"{location}/{METADATA} is damaged: {error}; restore it from a copy") from error
    if root is not None and SEAL in root.get("attributes", {}) and root["attributes"][SEAL] != seal_of(root):
        raise StoreError(
            f"{location}/{METADATA} is damaged: it is not what was sealed; restore it from a copy"
        )
    return root


def no_store(location: str) -> StoreError:
    """Make the error of a location where there is no Zarr group."""
    found = "is no latent store" if as_path(location, StoreError).exists() else "does not exist"
    return StoreError(f"{location} {found}; `latentscan encode` or `latentscan ingest` writes one")


def list_result(location: str, nodes: dict[str, Any]) -> None:
    """Add the metadata of a result to the root's list; what it says of the data arrays stays."""

    def listing() -> dict[str, Any]:
        root = read_root(location) or {}
        copy = root.setdefault(
            "consolidated_metadata", {"kind": "inline", "must_understand": False, "metadata": {}}
        )
        listed = copy["metadata"] | {path: node for path, node in nodes.items() if path}
        # zarr reads siblings only where they follow one another
        copy["metadata"] = dict(sorted(listed.items(), key=lambda item: item[0].split("/")))
        return root

    with _alone(location):
        change_json(location, METADATA, listing)


@contextmanager
def _alone(location: str) -> Iterator[None]:
    """Hold off others that list a result too: threads, and where the system can lock a folder, processes."""
    if sys.platform == "win32" or is_url(location):
        with _one_at_a_time:
            yield
        return
    import fcntl

    folder = os.open(local_path(location), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
