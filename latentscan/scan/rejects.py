"""What came of writing a whole store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import SILENT
from latentscan.scan.reduce import map_reduce, naming
from latentscan.store.summary import Rejects, Summary, rejects_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore


def summarise(
    store: LatentStore,
    written: int,
    reasons: Mapping[int, str],
    *,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> Summary:
    """Count the rejected rows of a complete store.

    Parameters
    ----------
    written
        How many images this run wrote.
    reasons
        What says more than the status, for some rows.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    digests = store.digests()

    def leaf(block: int) -> Rejects:
        return rejects_of(store, block, digests[block], reasons)

    found = map_reduce(
        *(range(store.schema.blocks), leaf, Rejects.merge),
        label="count rejected images",
        describe=naming(store),
        executor=executor,
        progress=progress,
    )
    return Summary(store.schema.images, written, found.counts, found.named)
