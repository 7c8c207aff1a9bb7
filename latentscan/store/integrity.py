"""Comparing a store with its commit record and with the sealed copy of its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.store.atomic import METADATA, backing, read_json, write_json
from latentscan.store.chunks import READ_ERRORS, ChunkError
from latentscan.store.metadata import array_metadata, read_root

if TYPE_CHECKING:
    from collections.abc import Iterable

    from latentscan.store.reader import LatentStore


@dataclass(frozen=True)
class Damage:
    """A file that is not what was written, what is wrong with it, and the block it is of, if of any."""

    file: str
    problem: str
    block: int | None = None


def check_block(store: LatentStore, block: int) -> tuple[Damage, ...] | None:
    """Find the damages of a block; None for a block that is not written."""
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
    """Find the arrays whose own metadata is not that of the root's copy, or whose names are wrong."""
    damages = []
    for name, expected in array_metadata(read_root(store.location) or {}).items():
        key = f"{name}/{METADATA}"
        try:
            found = read_json(store.group.store, key)
        except ValueError:
            found = {}
        if found != expected:
            damages.append(Damage(key, "is missing" if found is None else "is damaged"))
    for name, values in _coordinates(store).items():
        try:
            same = np.asarray(store.array(name)[:]).tolist() == list(values)
        except READ_ERRORS:
            same = False
        if not same:
            damages.append(Damage(f"{name}/c/0", "is damaged or missing"))
    return tuple(damages)


def repair_metadata(location: str, damages: Iterable[Damage]) -> None:
    """Write the damaged metadata of data arrays anew, from the root's copy."""
    store, damaged = backing(location, read_only=False), {damage.file for damage in damages}
    for name, node in array_metadata(read_root(location) or {}).items():
        if (key := f"{name}/{METADATA}") in damaged:
            write_json(store, key, node)


def repair_coordinates(store: LatentStore) -> None:
    """Write the names of the digest's arrays and of the labels anew."""
    for name, values in _coordinates(store).items():
        store.array(name)[:] = np.array(values, dtype=object)


def _coordinates(store: LatentStore) -> dict[str, tuple[str, ...]]:
    coordinates = {"array": store.schema.names, "label": store.schema.labels}
    return {name: values for name, values in coordinates.items() if values}
