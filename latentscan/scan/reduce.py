"""Tree reduction: a task a block, then partials merged in block order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from latentscan.execution.executor import default_label
from latentscan.execution.threaded import IN_PROCESS
from latentscan.kernels.reduction import LatentBlock
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.executor import Executor
    from latentscan.kernels.reduction import Reduction
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


def reduce_store(
    store: LatentStore,
    reduction: Reduction[P, R],
    digests: NDArray[np.uint8],
    *,
    label: str,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> R:
    """Run a reduction over all committed blocks of a store.

    Every chunk that is read is verified against its digest. The shape of the tree depends on the number
    of blocks alone, so the result does not depend on workers or timing.

    Parameters
    ----------
    digests
        The commit record, (block, array, 32); blocks that are not written are left out.
    label
        What progress is reported as.
    workers
        Where blocks are worked on.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    blocks: list[int] = np.flatnonzero(digests.any(axis=(1, 2))).tolist()
    names = tuple(name for name in reduction.arrays if name in store.schema.names)
    chunk, combine = reduction.chunk, reduction.combine

    def leaf(block: int) -> P:
        values = store.read_block(block, (*names, "status"), digests[block])
        status = values.pop("status")
        return chunk(LatentBlock.of_rows(store.schema.rows(block).start, values, status))

    partial = map_reduce(
        blocks, leaf, combine, label=label, describe=naming(store), executor=executor, progress=progress
    )
    return reduction.finalize(partial)


def naming(store: LatentStore) -> Callable[[int], str]:
    """Give the function that names a block of a store in the message of an error."""

    def name(block: int) -> str:
        rows = store.schema.rows(block)
        return f"{store.location}: block {block} (images {rows[0]}..{rows[-1]})"

    return name


def map_reduce(
    items: Sequence[T],
    leaf: Callable[[T], P],
    combine: Callable[[P, P], P],
    *,
    label: str,
    describe: Callable[[T], str] = default_label,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> P:
    """Apply `leaf` to every item, a block or so, and merge what it gives with `combine`, in their order.

    `describe` names an item in the message of an error.
    """
    with progress.task(label, total=len(items), unit="blocks") as advance:
        return executor.map_reduce(leaf, combine, items, describe=describe, on_done=lambda: advance(1))
