"""Chosen rows of a store: seeded samples of its images, and their latents in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentscan.errors import ParameterError, UsageError
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.kernels.sampling import Sample, sample
from latentscan.scan.reduce import reduce_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.execution.executor import Control
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

Points = Literal["mu", "z"]
PointsChoice = Literal["auto", "mu", "z"]
FARTHEST = 1e16  # the squares of larger values, summed over components, may overflow float32


def choose_points(schema: Schema, choice: PointsChoice) -> Points:
    """Return the array of the points of a store: ``auto`` is mu where there is one, else z.

    Where there is a mu, z is mu and noise of the encoder's own standard deviation: neighbours, clusters and
    maps of it show that noise where a component has collapsed.

    Examples
    --------
    >>> from latentscan.store.schema import Schema
    >>> vae, ae = (Schema(images=9, components=2, latents=held) for held in (("mu", "logvar", "z"), ("z",)))
    >>> choose_points(vae, "auto"), choose_points(ae, "auto"), choose_points(vae, "z")
    ('mu', 'z', 'z')
    """
    if choice == "auto":
        return "mu" if "mu" in schema.latents else "z"
    return choice


def require_points(store: LatentStore, array: PointsChoice) -> None:
    """Check that a store has the array that an analysis is asked to look at.

    Raises
    ------
    ParameterError
        If it has not.
    """
    if choose_points(store.schema, array) not in store.schema.latents:
        held = " and ".join(store.schema.latents)
        raise ParameterError(
            f"{store.location} holds {held} only; name one of them", field="array", value=array
        )


def require_measurable(store: LatentStore, rows: NDArray[np.float32], images: NDArray[np.int64]) -> None:
    """Check that squared distances between rows (n, components) of some images (n,) do not overflow.

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


def sample_images(snapshot: Snapshot, size: int, seed: int, execution: Execution) -> Sample:
    """Sample at most `size` of the good images in a random order, and count the good ones.

    A smaller sample of the same seed is the beginning of a larger one.

    Parameters
    ----------
    snapshot
        The store.
    size, seed
        How many images, and the seed.
    execution
        Where tasks run.

    Raises
    ------
    StoreError
        If all images were rejected.
    """

    def chunk(block: LatentBlock) -> Sample:
        return sample(block.images, size, seed)

    reduction: Reduction[Sample, Sample] = Reduction((), chunk, Sample.merge)
    return reduce_store(snapshot, reduction, execution, label="sample")


def gather_rows(
    snapshot: Snapshot, array: str, images: NDArray[np.int64], execution: Execution
) -> NDArray[np.float32]:
    """Read the latents of some images, (n, components).

    Parameters
    ----------
    snapshot
        The store.
    array
        Which latents: mu, logvar or z.
    images
        The numbers of the images, (n,), in any order; it is that of the rows.
    execution
        Where tasks run.

    Raises
    ------
    UsageError
        If a value is so large that distances overflow.
    """
    schema = snapshot.schema
    block_of = images // schema.chunk_rows
    order = np.argsort(block_of, kind="stable")
    blocks, starts = np.unique(block_of[order], return_index=True)

    def read(wanted: tuple[int, NDArray[np.int64]], _control: Control) -> NDArray[np.float32]:
        block, positions = wanted
        values = snapshot.read_block(block, (array,))[array]
        rows = np.asarray(values[images[positions] - schema.rows(block).start], np.float32)
        require_measurable(snapshot.store, rows, images[positions])
        return rows

    items = list(zip(blocks.tolist(), np.split(order, starts)[1:], strict=True))
    with execution.progress.task("read rows", total=len(items), unit="blocks") as advance:
        found = execution.executor.run_tasks(
            read, items, describe=lambda item: snapshot.label(item[0]), on_done=lambda _: advance(1)
        )
    rows = np.empty((len(images), schema.components), np.float32)
    for (_, positions), values in zip(items, found, strict=True):
        rows[positions] = values
    return rows


def paths_of(snapshot: Snapshot, images: NDArray[np.int64]) -> NDArray[Any]:
    """Read the paths of some images (n,), as texts; empty for a number below 0."""
    rows = snapshot.schema.chunk_rows
    paths = np.full(len(images), "", object)
    named = np.flatnonzero(images >= 0)
    order = named[np.argsort(images[named], kind="stable")]
    blocks, starts = np.unique(images[order] // rows, return_index=True)
    for block, at in zip(blocks.tolist(), np.split(order, starts)[1:], strict=True):
        paths[at] = snapshot.read_block(block, ("path",))["path"][images[at] - block * rows]
    return paths


def read_good(snapshot: Snapshot, images: range) -> NDArray[np.bool_]:
    """Read which of a range of images are written and good, (n,)."""
    schema = snapshot.schema
    good = np.zeros(len(images), bool)
    for block in range(images.start // schema.chunk_rows, -(-images.stop // schema.chunk_rows)):
        if snapshot.is_written(block):
            held = schema.rows(block)
            start, stop = max(images.start, held.start), min(images.stop, held.stop)
            status = snapshot.read_block(block, ("status",))["status"]
            good[start - images.start : stop - images.start] = (
                status[start - held.start : stop - held.start] == 0
            )
    return good


def read_range(snapshot: Snapshot, name: str, images: range) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read latents or paths of a range of images, and which of them are written and good, (n,) bool.

    Rows not written or rejected hold arbitrary values.
    """
    schema = snapshot.schema
    is_path = name == "path"
    values = np.empty(
        len(images) if is_path else (len(images), schema.components), object if is_path else np.float32
    )
    good = np.zeros(len(images), bool)
    for block in range(images.start // schema.chunk_rows, -(-images.stop // schema.chunk_rows)):
        if not snapshot.is_written(block):
            continue
        held = schema.rows(block)
        read = snapshot.read_block(block, (name, "status"))
        start, stop = max(images.start, held.start), min(images.stop, held.stop)
        in_range = slice(start - images.start, stop - images.start)
        in_block = slice(start - held.start, stop - held.start)
        values[in_range], good[in_range] = read[name][in_block], read["status"][in_block] == 0
    return values, good
