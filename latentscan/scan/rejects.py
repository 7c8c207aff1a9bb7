"""What came of writing a whole store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from latentscan.scan.reduce import map_reduce
from latentscan.scan.snapshot import block_label
from latentscan.store.summary import Rejects, Summary, rejects_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.execution.context import Execution
    from latentscan.store.reader import LatentStore


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
    digests = store.digests()

    def leaf(block: int) -> Rejects:
        return rejects_of(store, block, digests[block], reasons)

    found = map_reduce(
        range(store.schema.blocks),
        leaf,
        Rejects.merge,
        execution,
        label="count rejected images",
        describe=partial(block_label, store),
    )
    return Summary(store.schema.images, written, found.counts, found.named)
