"""A store as it is at one time: what a larger computation works from, since a store may grow meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A store with its commit record.

    Parameters
    ----------
    store
        The store.
    digests
        The commit record, (block, array, 32) uint8; all zero where a block is not written.
    """

    store: LatentStore
    digests: NDArray[np.uint8]

    @classmethod
    def of(cls, store: LatentStore, *, allow_partial: bool = False) -> Snapshot:
        """Read the commit record of a store that is complete, or with `allow_partial` has one block at least.

        Raises
        ------
        StoreError
            If too few blocks are written.
        """
        return cls(store, store.readable_digests(allow_partial=allow_partial))

    @property
    def location(self) -> str:
        """Path or URL of the store."""
        return self.store.location

    @property
    def schema(self) -> Schema:
        """What the store holds."""
        return self.store.schema

    @property
    def blocks(self) -> list[int]:
        """The blocks that are written."""
        written: list[int] = np.flatnonzero(self.digests.any(axis=(1, 2))).tolist()
        return written

    @cached_property
    def content(self) -> str:
        """A hash of all that is written, SHA-256 as hexadecimal digits."""
        return hashlib.sha256(self.digests.tobytes()).hexdigest()

    def is_written(self, block: int) -> bool:
        """Check whether a block is written."""
        return bool(self.digests[block].any())

    def read_block(self, block: int, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Read arrays of a block, each verified against its digest.

        Raises
        ------
        ChunkError
            If a chunk is missing, damaged, or another's.
        """
        return self.store.read_block(block, names, self.digests[block])

    def label(self, block: int) -> str:
        """Return the name of a block in the message of an error."""
        return block_label(self.store, block)


def block_label(store: LatentStore, block: int) -> str:
    """Return the name of a block of a store in the message of an error."""
    rows = store.schema.rows(block)
    return f"{store.location}: block {block} (images {rows[0]}..{rows[-1]})"
