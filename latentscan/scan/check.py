"""Checking a whole store, and repairing what can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import SILENT
from latentscan.scan.reduce import map_reduce, naming
from latentscan.store.integrity import (
    Damage,
    check_block,
    check_metadata,
    repair_coordinates,
    repair_metadata,
)
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore


@dataclass(frozen=True)
class Findings:
    """What a check found: damages, those of blocks in block order, and the blocks that are not written."""

    blocks: int
    damages: tuple[Damage, ...]
    unwritten: tuple[int, ...]

    @property
    def damaged_blocks(self) -> tuple[int, ...]:
        """The blocks with any damage."""
        return tuple(sorted({damage.block for damage in self.damages if damage.block is not None}))


def check_store(
    store: LatentStore, *, executor: Executor = IN_PROCESS, progress: Progress = SILENT
) -> Findings:
    """Compare every committed block of a store with its digest, and the metadata with its sealed copy."""
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
        label="check",
        describe=naming(store),
        executor=executor,
        progress=progress,
    )
    return Findings(blocks, check_metadata(store) + found.damages, found.unwritten)


def repair_store(location: str, findings: Findings) -> None:
    """Restore damaged metadata, and mark damaged blocks as not written.

    The command that wrote the store writes such blocks anew.
    """
    if any(damage.block is None for damage in findings.damages):
        repair_metadata(location, findings.damages)
        repair_coordinates(open_store(location, writable=True))
    retract_blocks(location, findings.damaged_blocks)
