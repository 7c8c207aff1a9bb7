"""Chosen rows of a store: seeded samples of its images, and their latents in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentscan.errors import StoreError, UsageError
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.kernels.sampling import Sample, sample
from latentscan.scan.reduce import naming, reduce_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.cache import Run
    from latentscan.execution.executor import Control
    from latentscan.store.reader import LatentStore

Points = Literal["z", "mu"]
FARTHEST = 1e16  # the squares of larger values, summed over components, may overflow float32


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


def require_measurable(store: LatentStore, rows: NDArray[np.float32], images: NDArray[np.int64]) -> None:
    """Make sure that squared distances between rows (n, components) of some images (n,) do not overflow.

    Raises
    ------
    UsageError
        If a value is too large.
    """
    if len(rows) and max(-rows.min(), rows.max()) > FARTHEST:
        row, component = np.argwhere(np.abs(rows) > FARTHEST)[0]
        raise UsageError(
            f"{store.location}: component {component} of image {images[row]} is "
            f"{rows[row, component]:.3g}, so far out that distances overflow; expected values within "
            f"±{FARTHEST:g}: scale the latents down, or give that image a row of NaN, which leaves it out"
        )


def all_rejected(store: LatentStore, images: int) -> StoreError:
    """Make the error of a store without a good one among its images that are written."""
    return StoreError(
        f"{store.location}: all {images} images were rejected, there is nothing to look at; "
        "the command that wrote the store says why each was"
    )


def sampled_images(
    store: LatentStore, size: int, seed: int, digests: NDArray[np.uint8], run: Run
) -> NDArray[np.int64]:
    """Draw at most `size` of the good images, (n,), in a random order; smaller samples are its beginnings.

    Raises
    ------
    StoreError
        If all images were rejected.
    """
    return sample_of(store, size, seed, digests, run).images


def sample_of(store: LatentStore, size: int, seed: int, digests: NDArray[np.uint8], run: Run) -> Sample:
    """Draw at most `size` of the good images, as `sampled_images` does, and count these.

    Raises
    ------
    StoreError
        If all images were rejected.
    """

    def chunk(block: LatentBlock) -> Sample:
        return sample(block.images, size, seed)

    reduction: Reduction[Sample, Sample] = Reduction(
        arrays=(), chunk=chunk, combine=Sample.merge, finalize=lambda found: found
    )
    found = reduce_store(
        store, reduction, digests, label="sample", executor=run.executor, progress=run.progress
    )
    if not found.drawn_from:
        written = np.flatnonzero(digests.any(axis=(1, 2))).tolist()
        raise all_rejected(store, sum(len(store.schema.rows(block)) for block in written))
    return found


def gathered_rows(
    store: LatentStore, array: Points, images: NDArray[np.int64], digests: NDArray[np.uint8], run: Run
) -> NDArray[np.float32]:
    """Read the latents of some images, (n, components), in the order of `images` (n,).

    Raises
    ------
    UsageError
        If a value is so large that distances overflow.
    """
    block_of = images // store.schema.chunk_rows
    order = np.argsort(block_of, kind="stable")
    blocks, starts = np.unique(block_of[order], return_index=True)

    def read(wanted: tuple[int, NDArray[np.int64]], _control: Control) -> NDArray[np.float32]:
        block, places = wanted
        values = store.read_block(block, (array,), digests[block])[array]
        rows = np.asarray(values[images[places] - store.schema.rows(block).start], np.float32)
        require_measurable(store, rows, images[places])
        return rows

    name = naming(store)
    items = list(zip(blocks.tolist(), np.split(order, starts)[1:], strict=True))
    with run.progress.task("read rows", total=len(items), unit="blocks") as advance:
        found = run.executor.run_tasks(
            read, items, describe=lambda item: name(item[0]), on_done=lambda _: advance(1)
        )
    rows = np.empty((len(images), store.schema.components), np.float32)
    for (_, places), values in zip(items, found, strict=True):
        rows[places] = values
    return rows


def read_range(
    store: LatentStore, name: str, images: range, digests: NDArray[np.uint8]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read latents or paths of a range of images, whatever the blocks, and which are written and good, (n,).

    What is neither is undefined.
    """
    schema = store.schema
    path = name == "path"
    values = np.empty(
        len(images) if path else (len(images), schema.components), object if path else np.float32
    )
    good = np.zeros(len(images), bool)
    for block in range(images.start // schema.chunk_rows, -(-images.stop // schema.chunk_rows)):
        if not digests[block].any():
            continue
        held = schema.rows(block)
        read = store.read_block(block, (name, "status"), digests[block])
        start, stop = max(images.start, held.start), min(images.stop, held.stop)
        here = slice(start - images.start, stop - images.start)
        there = slice(start - held.start, stop - held.start)
        values[here], good[here] = read[name][there], read["status"][there] == 0
    return values, good
