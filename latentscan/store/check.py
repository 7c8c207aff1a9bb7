"""Comparing a block with its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.store.latent_store import ChunkError

if TYPE_CHECKING:
    from latentscan.store.latent_store import LatentStore


@dataclass(frozen=True)
class Damage:
    """A chunk that is not what was committed: its file, its block, what is wrong, and whose rows it holds."""

    chunk: str
    block: int
    problem: str
    first: int
    last: int


def check_block(store: LatentStore, block: int) -> tuple[Damage, ...] | None:
    """Find the damages of a block; None for a block that is not written."""
    rows = store.schema.rows(block)

    def damage(error: ChunkError) -> Damage:
        return Damage(error.chunk, block, error.problem, rows[0], rows[-1])

    try:
        digests = store.read_digests(block)
    except ChunkError as error:
        return (damage(error),)
    if not digests.any():
        return None
    damages = []
    for name in store.schema.names:
        try:
            store.read_block(block, (name,), digests)
        except ChunkError as error:
            damages.append(damage(error))
    return tuple(damages)
