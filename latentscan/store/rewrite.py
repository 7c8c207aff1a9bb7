"""Replacing a block that is written: a copy of the new one is saved first, so that no kill loses a row.

Chunks are replaced one after another. Whoever is interrupted leaves a block that no reader takes for whole,
and the copy from which the next writer writes it to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.store.atomic import list_names, remove_empty_group
from latentscan.store.metadata import alone
from latentscan.store.results import Result, Results, Variable
from latentscan.store.schema import REWRITES
from latentscan.store.writer import write_block

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore


def replace_block(
    store: LatentStore, block: int, values: Mapping[str, NDArray[Any]], expected: NDArray[np.uint8]
) -> bool:
    """Replace all arrays of a block, and return whether that was done.

    Parameters
    ----------
    store
        The store.
    block
        The block.
    values
        By name, as of `write_block`.
    expected
        The commit record of the block that the values were made from, (array, 32); nothing is written where
        it is another one by now.
    """
    with alone(store.location):
        if not np.array_equal(store.read_digests(block), expected):
            return False
        path = f"{REWRITES}/{block}"
        variables = {
            spec.name: Variable(
                ("image",) if spec.second is None else ("image", spec.second), values[spec.name]
            )
            for spec in store.schema.arrays
        }
        Results(store.location).save_unlisted(path, Result(variables, {}))
        write_block(store, block, values)
        _remove(store.location, [path])
    return True


def interrupted_rewrites(store: LatentStore) -> list[int]:
    """Return the blocks that somebody began to replace, in order."""
    names = list_names(store.location, REWRITES)
    return sorted(int(name) for name in names if name.isdecimal() and int(name) < store.schema.blocks)


def finish_rewrites(store: LatentStore) -> list[int]:
    """Replace the blocks that interrupted writers had begun to replace, and return them.

    A copy that was not saved to its end is removed: its block is still the old one.

    Parameters
    ----------
    store
        The store, opened for writing.
    """
    if not list_names(store.location, REWRITES):
        return []
    finished = []
    with alone(store.location):  # until a living writer is done
        results, blocks = Results(store.location), interrupted_rewrites(store)
        for block in blocks:
            saved = results.load(f"{REWRITES}/{block}")
            if saved is not None and set(store.schema.names) <= set(saved.variables):
                write_block(store, block, {name: saved[name] for name in store.schema.names})
                finished.append(block)
        _remove(store.location, [f"{REWRITES}/{block}" for block in blocks])
    return finished


def _remove(location: str, paths: list[str]) -> None:
    """Remove copies, and the group that holds them with the last one."""
    results = Results(location)
    for path in paths:
        results.remove(path)
    remove_empty_group(location, REWRITES)
