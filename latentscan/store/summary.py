"""The outcome of writing a store: how many rows, and which were rejected, why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from latentscan.images.source import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

NAMED_REJECTS = 10  # rejected images that a summary names


@dataclass(frozen=True)
class Summary:
    """The outcome of writing a store.

    Parameters
    ----------
    images
        Images in the store.
    written
        Images written by this run; the others were written before.
    rejected
        How many images were rejected, by status.
    named
        Path and reason of the first of them.
    """

    images: int
    written: int
    rejected: Mapping[Status, int] = field(default_factory=Counter)
    named: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Rejects:
    """How many rows were rejected, by status, and path and reason of the first of them."""

    counts: Counter[Status] = field(default_factory=Counter)
    named: tuple[tuple[str, str], ...] = ()

    def merge(self, later: Rejects) -> Rejects:
        """Add the rejects of later rows."""
        return Rejects(self.counts + later.counts, (self.named + later.named)[:NAMED_REJECTS])


def rejects_of(
    store: LatentStore, block: int, digests: NDArray[np.uint8], reasons: Mapping[int, str]
) -> Rejects:
    """Count the rejected rows of a block, and name the first of them.

    Parameters
    ----------
    digests
        The block's commit record, (array, 32).
    reasons
        Says more than the status for some rows, by row.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    status = store.read_block(block, ("status",), digests)["status"]
    rejected = np.flatnonzero(status).tolist()
    if not rejected:
        return Rejects()
    paths = store.read_block(block, ("path",), digests)["path"]
    start = store.schema.rows(block).start
    named = tuple(
        (str(paths[row]), reasons.get(start + row, describe(Status(status[row]))))
        for row in rejected[:NAMED_REJECTS]
    )
    return Rejects(Counter(Status(status[row]) for row in rejected), named)


def describe(status: Status) -> str:
    """Return a status in words."""
    return status.name.lower().replace("_", " ")
