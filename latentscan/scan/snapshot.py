"""A store as it is at one time: what a larger computation works from, since a store may grow meanwhile."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema


# the attributes of a store that analyses read, beside its rows
READ_BY_ANALYSES = ("epsilon_limit", "epsilon_factor", "preprocessing")


@dataclass(frozen=True)
class StoreFacts:
    """What is known of a store before its rows are read.

    Parameters
    ----------
    schema
        What it holds.
    attributes
        Its attributes; none of a store that is yet to be written.
    """

    schema: Schema
    attributes: Mapping[str, Any] = field(default_factory=dict)


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
    def facts(self) -> StoreFacts:
        """What is known of the store before its rows are read."""
        return StoreFacts(self.schema, self.store.attributes)

    @property
    def blocks(self) -> list[int]:
        """The blocks that are written."""
        written: list[int] = np.flatnonzero(self.digests.any(axis=(1, 2))).tolist()
        return written

    @cached_property
    def content(self) -> str:
        """A hash of all that analyses read, rows and attributes: SHA-256 as hexadecimal digits."""
        read = {name: self.store.attributes.get(name) for name in READ_BY_ANALYSES}
        encoder = self.store.attributes.get("encoder")
        if isinstance(encoder, dict) and "training" in encoder:  # unknown of stores of earlier versions
            read["training"] = encoder["training"]
        digest = hashlib.sha256(self.digests.tobytes())
        digest.update(json.dumps(read, sort_keys=True).encode())
        return digest.hexdigest()

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
