"""What came of writing a whole store: how many rows, and which were rejected, why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from latentscan.images.source import Status
from latentscan.scan.reduce import map_reduce
from latentscan.scan.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.execution.context import Execution
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
    retried
        How many images that were rejected before were read again.
    recovered
        How many of these have latents now.
    """

    images: int
    written: int
    rejected: Mapping[Status, int] = field(default_factory=Counter)
    named: tuple[tuple[str, str], ...] = ()
    retried: int = 0
    recovered: int = 0


def summarise(
    store: LatentStore,
    written: int,
    reasons: Mapping[int, str],
    execution: Execution,
) -> Summary:
    """Count the rejected rows of a complete store.

    Parameters
    ----------
    store
        The store.
    written
        How many images this run wrote.
    reasons
        What says more than the status, for some rows.
    execution
        Where blocks are read.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    snapshot = Snapshot(store, store.digests())

    def leaf(block: int) -> _Rejects:
        return _rejects_of(snapshot, block, reasons)

    found = map_reduce(
        range(store.schema.blocks),
        leaf,
        _Rejects.merge,
        execution,
        label="count rejected images",
        describe=snapshot.label,
    )
    return Summary(store.schema.images, written, found.counts, found.named)


@dataclass(frozen=True)
class _Rejects:
    """How many rows were rejected, by status, and path and reason of the first of them."""

    counts: Counter[Status] = field(default_factory=Counter)
    named: tuple[tuple[str, str], ...] = ()

    def merge(self, later: _Rejects) -> _Rejects:
        """Add the rejects of later rows."""
        return _Rejects(self.counts + later.counts, (self.named + later.named)[:NAMED_REJECTS])


def _rejects_of(snapshot: Snapshot, block: int, reasons: Mapping[int, str]) -> _Rejects:
    """Count the rejected rows of a block, and name the first of them with what is known of the reasons."""
    status = snapshot.read_block(block, ("status",))["status"]
    rejected = np.flatnonzero(status).tolist()
    if not rejected:
        return _Rejects()
    paths = snapshot.read_block(block, ("path",))["path"]
    start = snapshot.schema.rows(block).start
    named = tuple(
        (str(paths[row]), reasons.get(start + row, describe(Status(status[row]))))
        for row in rejected[:NAMED_REJECTS]
    )
    return _Rejects(Counter(Status(status[row]) for row in rejected), named)


def describe(status: Status) -> str:
    """Return a status in words."""
    return status.name.lower().replace("_", " ")
