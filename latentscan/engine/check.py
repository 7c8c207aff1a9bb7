"""Comparing a whole store with its commit record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.engine.tree import map_reduce
from latentscan.progress import SILENT
from latentscan.store.check import Damage, check_block
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from latentscan.progress import Progress
    from latentscan.store.latent_store import LatentStore


@dataclass(frozen=True)
class Findings:
    """What a check found: damages in block order, and the blocks that are not written."""

    blocks: int
    damages: tuple[Damage, ...]
    unwritten: tuple[int, ...]

    @property
    def damaged_blocks(self) -> tuple[int, ...]:
        """The blocks with any damage."""
        return tuple(sorted({damage.block for damage in self.damages}))


def check_store(store: LatentStore, *, threads: int | None = None, progress: Progress = SILENT) -> Findings:
    """Compare every committed block of a store with its digest."""
    blocks = store.schema.blocks

    def leaf(block: int) -> Findings:
        damages = check_block(store, block)
        return Findings(blocks, damages or (), (block,) if damages is None else ())

    def combine(one: Findings, other: Findings) -> Findings:
        return Findings(blocks, one.damages + other.damages, one.unwritten + other.unwritten)

    return map_reduce(range(blocks), leaf, combine, label="check", threads=threads, progress=progress)


def repair_store(store: LatentStore, findings: Findings) -> None:
    """Mark the damaged blocks as not written, so that the command that wrote them writes them anew."""
    retract_blocks(store.location, findings.damaged_blocks)
