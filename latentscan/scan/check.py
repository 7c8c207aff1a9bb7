"""Checking a whole store, and repairing what can be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from latentscan.execution.context import Execution
from latentscan.scan.reduce import map_reduce
from latentscan.scan.snapshot import block_label
from latentscan.store.atomic import remove_leftovers
from latentscan.store.integrity import (
    Damage,
    check_block,
    check_metadata,
    check_results,
    find_leftovers,
    remove_leftover_results,
    remove_obstacles,
    repair_metadata,
    repair_results,
)
from latentscan.store.reader import open_store
from latentscan.store.rewrite import finish_rewrites, interrupted_rewrites
from latentscan.store.schema import REWRITES
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from latentscan.store.reader import LatentStore


@dataclass(frozen=True)
class Findings:
    """What a check found.

    Parameters
    ----------
    blocks
        Number of blocks of the store.
    damages
        Those of metadata, those of results, and those of blocks in block order.
    unwritten
        The blocks that are not written.
    leftovers
        What killed writers left: files and unfinished results, and copies of blocks that they were replacing.
    """

    blocks: int
    damages: tuple[Damage, ...]
    unwritten: tuple[int, ...]
    leftovers: tuple[str, ...] = ()

    @property
    def damaged_blocks(self) -> tuple[int, ...]:
        """The blocks with any damage."""
        return tuple(sorted({damage.block for damage in self.damages if damage.block is not None}))


def check_store(
    store: LatentStore,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> Findings:
    """Compare all that a store holds with what was written.

    Every committed block is compared with its digest, metadata with what was sealed, every cached result with
    its hash, and the list of results with the results.

    Parameters
    ----------
    store
        The store.
    execution
        Where blocks are read, and what is told of those that are done.

    Raises
    ------
    StoreError
        If a server refuses or does not answer.
    """
    blocks = store.schema.blocks

    def leaf(block: int) -> Findings:
        damages = check_block(store, block)
        return Findings(blocks, damages or (), (block,) if damages is None else ())

    def combine(one: Findings, other: Findings) -> Findings:
        return Findings(blocks, one.damages + other.damages, one.unwritten + other.unwritten)

    found = map_reduce(
        range(blocks),
        leaf,
        combine,
        execution,
        label="check",
        describe=partial(block_label, store),
    )
    damages = check_metadata(store) + check_results(store) + found.damages
    leftovers = find_leftovers(store)
    copies = tuple(f"{REWRITES}/{block}" for block in interrupted_rewrites(store))
    return Findings(blocks, damages, found.unwritten, leftovers + copies)


def repair_store(location: str, findings: Findings) -> list[str]:
    """Repair what a check found, and return what was done.

    Damaged metadata is restored from what is sealed. Damaged results are removed, and computed again when
    they are asked for next. Damaged blocks are marked as not written, and the command that wrote the store
    writes them again.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    done = []
    finished = set(finish_rewrites(open_store(location, writable=True)))
    if finished:
        done.append(f"blocks that were being replaced are written to their end: {len(finished)}")
    if findings.leftovers:
        remove_leftovers(location)
        remove_leftover_results(location, findings.leftovers)
        done.append("what killed writers left is removed")
    if any(damage.block is None for damage in findings.damages):
        store = open_store(location, writable=True)
        repair_metadata(store, findings.damages)
        removed = repair_results(store, findings.damages)
        done.append("metadata and the list of results are restored")
        if removed:
            done.append(
                f"damaged results are removed, to be computed again when asked for: {', '.join(removed)}"
            )
    damaged = set(findings.damaged_blocks) - finished
    if damaged:
        remove_obstacles(open_store(location), findings.damages)
        retract_blocks(location, sorted(damaged))
        done.append("damaged blocks are marked as not written")
    return done
