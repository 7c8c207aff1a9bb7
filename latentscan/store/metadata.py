"""The root's metadata: a copy of that of every array, sealed by a hash, and the list of results.

xarray and zarr read the copy (`consolidated_metadata`). What is said there of the latents never changes
after the store's creation; results are added to it. The seal tells when any of it was damaged.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from latentscan.errors import StoreError
from latentscan.store.publish import METADATA, backing, consolidate, read_json, write_json

if TYPE_CHECKING:
    import zarr

SEAL = "metadata_sha256"
RESULTS = "analyses"


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
    consolidate(group.store, "")
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


def list_results(location: str) -> None:
    """Bring the root's list of results up to date; what it says of the data arrays stays."""
    store = backing(location, read_only=False)
    consolidate(store, RESULTS)
    results = read_json(store, f"{RESULTS}/{METADATA}") or {}
    nodes = results.pop("consolidated_metadata")["metadata"]
    root = read_root(location) or {}
    listed = {RESULTS: results, **{f"{RESULTS}/{name}": node for name, node in nodes.items()}}
    root["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": {**array_metadata(root), **listed},
    }
    write_json(store, METADATA, root)
