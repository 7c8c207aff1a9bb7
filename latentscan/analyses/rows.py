"""Chosen rows of a store: seeded samples of its images, and their latents in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from latentscan.engine.tasks import run_tasks
from latentscan.engine.tree import reduce_store
from latentscan.errors import UsageError
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.kernels.sampling import Sample, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from latentscan.analyses.keeping import Run
    from latentscan.store.latent_store import LatentStore

Points = Literal["z", "mu"]


def require_points(store: LatentStore, array: Points) -> None:
    """Make sure that a store has the array that an analysis is asked to look at.

    Raises
    ------
    UsageError
        If it has not.
    """
    if array not in store.schema.latents:
        held = " and ".join(store.schema.latents)
        raise UsageError(f"--array {array}: {store.location} holds {held} only; name one of them")


def sampled_images(
    store: LatentStore, size: int, seed: int, digests: NDArray[np.uint8], run: Run
) -> NDArray[np.int64]:
    """Draw at most `size` of the good images, (n,), in a random order; smaller samples are its beginnings."""

    def chunk(block: LatentBlock) -> Sample:
        return sample(block.images, size, seed)

    reduction: Reduction[Sample, NDArray[np.int64]] = Reduction(
        arrays=(), chunk=chunk, combine=Sample.merge, finalize=lambda found: found.images
    )
    return reduce_store(store, reduction, digests, label="sample", threads=run.threads, progress=run.progress)


def gathered_rows(
    store: LatentStore, array: Points, images: NDArray[np.int64], digests: NDArray[np.uint8], run: Run
) -> NDArray[np.float32]:
    """Read the latents of some images, (n, components), in the order of `images` (n,)."""
    rows = np.empty((len(images), store.schema.components), np.float32)
    block_of = images // store.schema.chunk_rows
    order = np.argsort(block_of, kind="stable")
    blocks, starts = np.unique(block_of[order], return_index=True)

    def read(wanted: tuple[int, NDArray[np.int64]], _stopped: Callable[[], bool]) -> None:
        block, places = wanted
        values = store.read_block(block, (array,), digests[block])[array]
        rows[places] = values[images[places] - store.schema.rows(block).start]

    items = list(zip(blocks.tolist(), np.split(order, starts[1:]), strict=True))
    with run.progress.task("read rows", total=len(items), unit="blocks") as advance:
        run_tasks(read, items, threads=run.threads, finished=lambda _: advance(1))
    return rows
