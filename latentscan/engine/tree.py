"""Tree reduction: a task a block, then partials merged in block order, on Dask's threads in this process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from latentscan.kernels.reduction import LatentBlock
from latentscan.processors import processors
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dask.delayed import Delayed
    from numpy.typing import NDArray

    from latentscan.kernels.reduction import Reduction
    from latentscan.progress import Progress
    from latentscan.store.latent_store import LatentStore

P = TypeVar("P")
R = TypeVar("R")

FAN_IN = 4  # partials merged by one task
_LEAF = "block-"


def reduce_store(
    store: LatentStore,
    reduction: Reduction[P, R],
    digests: NDArray[np.uint8],
    *,
    label: str,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> R:
    """Run a reduction over all committed blocks of a store.

    Every chunk that is read is verified against its digest. The shape of the tree depends on the number
    of blocks alone, so the result does not depend on threads or timing.

    Parameters
    ----------
    digests
        The commit record, (block, array, 32); blocks that are not written are left out.
    label
        What progress is reported as.
    threads
        How many blocks are worked on at once; as many as there are processors if None.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    blocks: list[int] = np.flatnonzero(digests.any(axis=(1, 2))).tolist()
    names = tuple(name for name in reduction.arrays if name in store.schema.names)

    def leaf(block: int) -> P:
        values = store.read_block(block, (*names, "status"), digests[block])
        status = values.pop("status")
        return reduction.chunk(LatentBlock.of_rows(store.schema.rows(block).start, values, status))

    partial = map_reduce(blocks, leaf, reduction.combine, label=label, threads=threads, progress=progress)
    return reduction.finalize(partial)


def map_reduce(
    blocks: Sequence[int],
    leaf: Callable[[int], P],
    combine: Callable[[P, P], P],
    *,
    label: str,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> P:
    """Apply `leaf` to every block and merge what it gives with `combine`, in block order.

    NumPy's and OpenMP's own threads are held at one meanwhile: blocks are the parallelism.
    """
    from dask.callbacks import Callback
    from dask.threaded import get  # dask.compute would import distributed wherever it is installed
    from threadpoolctl import threadpool_limits

    root = _tree(blocks, leaf, combine)
    with progress.task(label, total=len(blocks), unit="blocks") as advance:

        def finished(key: str, *_: object) -> None:
            if key.startswith(_LEAF):
                advance(1)

        workers = threads or processors()
        with threadpool_limits(1), Callback(posttask=finished):  # type: ignore[no-untyped-call]
            partial = get(root.dask, root.key, num_workers=workers)
    return cast("P", partial)


def _tree(blocks: Sequence[int], leaf: Callable[[int], P], combine: Callable[[P, P], P]) -> Delayed:
    from dask.delayed import delayed

    def merge(parts: list[P]) -> P:
        return functools.reduce(combine, parts)

    level: list[Delayed] = [
        delayed(leaf, pure=False)(block, dask_key_name=f"{_LEAF}{block}") for block in blocks
    ]
    while len(level) > 1:
        level = [
            delayed(merge, pure=False)(level[start : start + FAN_IN])
            for start in range(0, len(level), FAN_IN)
        ]
    return level[0]
