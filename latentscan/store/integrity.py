"""Comparing blocks with the commit record, metadata with what was sealed, and results with their hash."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.paths import is_url, local_path
from latentscan.store.atomic import METADATA, backing, read_json, write_json
from latentscan.store.chunks import READ_ERRORS, ChunkError
from latentscan.store.files import UNFINISHED, abandoned
from latentscan.store.metadata import (
    GROUP,
    RESULTS,
    SEAL,
    SEALED_COPY,
    change_list,
    listed_nodes,
    nodes_of,
    read_root,
    read_sealed_copy,
    root_problem,
    sealed_nodes,
    with_list,
    write_sealed_copy,
)
from latentscan.store.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from latentscan.store.metadata import Nodes
    from latentscan.store.reader import LatentStore


SAVING_S = 0.2  # between the writing of a result and its listing
PUBLISHING_S = 10.0  # between the writing of two files of a result


@dataclass(frozen=True)
class Damage:
    """A file or group that is not what was written, what is wrong with it, and its block, if it is of one."""

    file: str
    problem: str
    block: int | None = None


def check_block(store: LatentStore, block: int) -> tuple[Damage, ...] | None:
    """Return the damages of a block; None for a block that is not written."""
    try:
        digests = store.read_digests(block)
    except ChunkError as error:
        return (Damage(error.chunk, error.problem, block),)
    if not digests.any():
        return None
    damages = []
    for name in store.schema.names:
        try:
            store.verify_chunk(block, name, digests)
        except ChunkError as error:
            damages.append(Damage(error.chunk, error.problem, block))
    return tuple(damages)


def check_metadata(store: LatentStore) -> tuple[Damage, ...]:
    """Return the damages of the root, of each array's own metadata, and of the names along dimensions."""
    damages = []
    problem = root_problem(store.location)
    if problem is not None:
        damages.append(Damage(METADATA, f"is damaged: {problem}"))
    root = read_root(store.location) or {}
    for path, expected in sealed_nodes(root).items():
        damages += _compare_node(store, path, expected)
    if store.format_version > 1:
        copy = read_sealed_copy(store.location)
        if copy is None:
            damages.append(Damage(f"{SEALED_COPY}/{METADATA}", "is damaged or missing"))
        elif copy["attributes"][SEAL] != root.get("attributes", {}).get(SEAL):
            damages.append(Damage(f"{SEALED_COPY}/{METADATA}", "is that of another store"))
    for path, names in store.coordinates.items():
        if store.read_names(path) != list(names):
            damages.append(Damage(f"{path}/c/0", "is damaged or missing"))
    return tuple(damages)


def check_results(store: LatentStore) -> tuple[Damage, ...]:
    """Return the damages of cached results, and of the list of them in the root's metadata.

    States of interrupted computations are left out: their damage costs time alone. What is wrong with the
    list may come of somebody who saves a result just now: it is damage where it lasts.
    """
    damages, of_list = _examine_results(store)
    if of_list:
        time.sleep(SAVING_S)
        damages, of_list = _examine_results(store)
    return (*damages, *of_list)


def _examine_results(store: LatentStore) -> tuple[list[Damage], list[Damage]]:
    """Return the damages of results, and those of the list of them."""
    results = Results(store.location)
    entries = [entry for entry in results.entries() if not entry.is_state]
    damages = [Damage(entry.path, entry.problem) for entry in entries if not entry.is_intact]
    listing, root = results.listing(entries), read_root(store.location) or {}
    groups = [path for path, node in listing.items() if node == GROUP]
    damages += [damage for path in groups for damage in _compare_node(store, path, GROUP)]
    if root_problem(store.location) is not None:  # then the whole list is lost
        return damages, []
    unlisted = f"is missing from the list of results in {METADATA}"
    of_list = [
        Damage(entry.path, unlisted)
        for entry in entries
        if entry.is_intact and not entry.is_listed and entry.created is not None
    ]
    if _is_list_damaged(root, listing, [damage.file for damage in damages + of_list]):
        of_list.append(Damage(METADATA, "is damaged: its list of results differs from the results"))
    return damages, of_list


def find_leftovers(store: LatentStore) -> tuple[str, ...]:
    """Return what killed writers left, which only takes space: files, and results without metadata.

    What a living process still writes is left out. At a URL, none of it is looked for.
    """
    if is_url(store.location):
        return ()
    folder, listed = local_path(store.location), listed_nodes(read_root(store.location) or {})
    found = [*abandoned(folder), *filter(_is_unfinished, (folder / RESULTS).glob("*/*"))]
    return tuple(
        sorted(path for path in (each.relative_to(folder).as_posix() for each in found) if path not in listed)
    )


def remove_leftover_results(location: str, leftovers: Iterable[str]) -> None:
    """Remove folders of results that were never written to their end."""
    for path in leftovers:
        if path.startswith(f"{RESULTS}/") and not path.endswith(UNFINISHED):
            Results(location).remove(path)


def _is_unfinished(result: Path) -> bool:
    """Check whether a result has no metadata, which comes last, and nobody has written to it lately."""
    if not result.is_dir() or (result / METADATA).exists():
        return False
    with suppress(FileNotFoundError):
        newest = max(file.stat().st_mtime for file in (result, *result.rglob("*")))
        return time.time() - newest > PUBLISHING_S
    return False


def repair_metadata(store: LatentStore, damages: Iterable[Damage]) -> None:
    """Write damaged metadata again, from what is sealed, and the names along dimensions."""
    backed, damaged = backing(store.location, read_only=False), {damage.file for damage in damages}
    root = read_root(store.location) or {}
    groups = {f"{path}/{METADATA}": node for path, node in sealed_nodes(root).items()}
    for key in damaged:
        if key in groups:
            write_json(backed, key, groups[key])
        elif key == f"{SEALED_COPY}/{METADATA}":
            write_sealed_copy(backed, root)
    for path, names in store.coordinates.items():
        if f"{path}/c/0" in damaged:
            store.array(path)[:] = np.array(names, dtype=object)


def repair_results(store: LatentStore, damages: Iterable[Damage]) -> list[str]:
    """Remove damaged results, write the root's list of results again, and return the results removed."""
    results, damaged = Results(store.location), {damage.file for damage in damages}
    removed = [entry.path for entry in results.entries() if entry.path in damaged and not entry.is_intact]
    for path in removed:
        results.remove(path)
    backed = backing(store.location, read_only=False)
    for key in damaged:
        if key.startswith(f"{RESULTS}/") and key.endswith(f"/{METADATA}"):
            write_json(backed, key, GROUP)
    change_list(store.location, lambda _: results.listing(results.entries()))
    return removed


def remove_obstacles(store: LatentStore, damages: Iterable[Damage]) -> None:
    """Remove folders that are where the chunks of damaged blocks should be, since no chunk replaces them."""
    if is_url(store.location):
        return
    for damage in damages:
        path = local_path(store.location) / damage.file
        if damage.block is not None and path.is_dir():
            shutil.rmtree(path)


def _compare_node(store: LatentStore, path: str, expected: object) -> list[Damage]:
    key = f"{path}/{METADATA}"
    try:
        found = read_json(store.group.store, key)
    except (*READ_ERRORS, RecursionError):
        found = {}
    if found == expected:
        return []
    return [Damage(key, "is missing" if found is None else "is damaged")]


def _is_list_damaged(root: dict[str, Any], listing: Nodes, reported: Iterable[str]) -> bool:
    """Compare the root with what it should be, apart from the results that are reported themselves."""
    expected = with_list(root, listing)
    if _frame(root) != _frame(expected):
        return True
    found, wanted = nodes_of(root), nodes_of(expected)
    prefixes = tuple(f"{path}/" for path in reported)
    wrong = [
        path
        for path, node in found.items()
        if wanted.get(path) != node and not (node == GROUP and _holds_results(path))
    ]
    missing = [path for path in wanted if path not in found and path.rpartition("/")[0] in found]
    arrays = [path for path in missing if wanted[path].get("node_type") == "array"]
    return any(not f"{path}/".startswith(prefixes) for path in wrong + arrays)


def _holds_results(path: str) -> bool:
    """Check whether a path is that of a group of results, and of no result."""
    first, *others = path.split("/")
    return first == RESULTS and len(others) <= 1


def _frame(root: dict[str, Any]) -> dict[str, Any]:
    """Return a root's metadata without that of what is in it."""
    return {**root, "consolidated_metadata": {**(root.get("consolidated_metadata") or {}), "metadata": {}}}
