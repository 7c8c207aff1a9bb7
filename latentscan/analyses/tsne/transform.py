"""Images outside the sample, placed one by one on the map of those inside.

Policar, P. G., Strazar, M., Zupan, B. (2021), Embedding to reference t-SNE space addresses batch effects in
single-cell classification: every image is drawn to its nearest neighbours of the sample and repelled by
the whole of it; others that are placed count for nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.neighbours.index import index_of
from latentscan.analyses.rows import gathered_rows, read_range, require_measurable
from latentscan.analyses.tsne.optimize import attraction
from latentscan.analyses.tsne.repulsion import Convolution, Field, Grid
from latentscan.execution.executor import Stopped
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.cache import Run
    from latentscan.analyses.neighbours.index import Index
    from latentscan.execution.executor import Control
    from latentscan.store.reader import LatentStore

    Floats = NDArray[np.float64]

BATCH_IMAGES = 4096  # fixed ranges of image numbers, whatever the blocks of the store
# those of openTSNE's transform
PERPLEXITY = 5
NEIGHBOURS = 3 * PERPLEXITY
ITERATIONS = 250
EXAGGERATION = 1.5
LEARNING_RATE = 0.1
LONGEST_GRADIENT = 0.25
PADDING = 0.25  # of the extent of the map, around it


def place_all(store: LatentStore, fixed: Result, digests: NDArray[np.uint8], run: Run) -> Result:
    """Place every good image that is not on a map; those on it stay where they are.

    A place depends on the image and the map alone: not on the store's blocks, on threads, or on what else
    is placed.

    Parameters
    ----------
    fixed
        A result of `tsne` for a sample.
    digests
        The commit record (block, array, 32) of what there is.
    """
    array = fixed.attributes["array"]
    rows = gathered_rows(store, array, fixed["image"], digests, run)
    near = min(NEIGHBOURS, len(rows))
    index = index_of(rows, near, fixed.attributes["seed"], run)
    reference = fixed["embedding"].astype(np.float64)
    grid = Grid.over(reference, PADDING)
    field = Convolution().field(grid, grid.weights(reference))
    batches = [
        range(start, min(start + _task_images(store), store.schema.images))
        for start in range(0, store.schema.images, _task_images(store))
    ]
    on_map = np.sort(fixed["image"])

    def work(images: range, control: Control) -> tuple[NDArray[Any], ...]:
        values, good = read_range(store, array, images, digests)
        numbers = images.start + np.flatnonzero(good)
        numbers = numbers[~_among(numbers, on_map)]
        latents = values[numbers - images.start]
        require_measurable(store, latents, numbers)
        edges = range(images.start + BATCH_IMAGES, images.stop, BATCH_IMAGES)
        parts = np.split(latents, np.searchsorted(numbers, list(edges)))
        place = partial(_place, index=index, near=near, reference=reference, field=field, control=control)
        return numbers, np.concatenate([place(part) for part in parts]), np.linalg.norm(latents, axis=1)

    with run.progress.task("place", total=store.schema.images, unit="images") as advance:
        found = run.executor.run_tasks(
            work,
            batches,
            describe=lambda batch: f"{store.location}: images {batch[0]}..{batch[-1]}",
            on_done=lambda batch: advance(len(batch)),
        )
    numbers, places, radii = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _result(fixed, numbers, places, radii)


def _result(
    fixed: Result, numbers: NDArray[np.int64], places: NDArray[np.float32], radii: NDArray[np.float32]
) -> Result:
    images = np.concatenate([fixed["image"], numbers])
    order = np.argsort(images)
    in_sample = np.arange(len(images)) < len(fixed["image"])
    variables = {
        "embedding": Variable(("point", "axis"), np.concatenate([fixed["embedding"], places])[order]),
        "image": Variable(("point",), images[order]),
        "radius": Variable(("point",), np.concatenate([fixed["radius"], radii])[order]),
        "in_sample": Variable(("point",), in_sample[order]),
    }
    return Result(variables, {**fixed.attributes, "all": True, "placed": len(numbers)})


def _task_images(store: LatentStore) -> int:
    """Give how many images a task places: whole batches, about a block, so that few are read twice."""
    return BATCH_IMAGES * max(1, store.schema.chunk_rows // BATCH_IMAGES)


def _among(numbers: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    places = np.searchsorted(ascending, numbers)
    return np.equal(ascending[np.minimum(places, len(ascending) - 1)], numbers)


class _Reference(np.ndarray):
    """A map as openTSNE's optimiser wants to see it: without a grid of its own."""

    interp_coeffs = None
    box_x_lower_bounds = None


def _place(
    latents: NDArray[np.float32],
    index: Index,
    near: int,
    reference: Floats,
    field: Field,
    control: Control,
) -> NDArray[np.float32]:
    """Find the places (n, 2) of latents (n, components)."""
    from openTSNE.affinity import joint_probabilities_nn
    from openTSNE.initialization import median
    from openTSNE.tsne import PartialTSNEEmbedding

    if not len(latents):
        return np.empty((0, 2), np.float32)
    indices, distances = index.search(latents, near, control.stopped)
    joint = joint_probabilities_nn(
        indices,
        distances,
        [min(PERPLEXITY, near / 3)],
        symmetrize=False,
        normalization="point-wise",
        n_reference_samples=len(reference),
    )

    def objective(embedding: Floats, joint: Any, **_: Any) -> tuple[float, Floats]:
        if control.stopped():
            raise Stopped
        points = np.asarray(embedding)
        _total, _divergence, gradient = attraction(joint, points, reference, 1)
        similarity, push = field.at(points)
        return 0.0, gradient - push / similarity[:, None]

    placed = PartialTSNEEmbedding(median(reference, indices), reference.view(_Reference), joint).optimize(
        ITERATIONS,
        learning_rate=LEARNING_RATE,
        exaggeration=EXAGGERATION,
        max_grad_norm=LONGEST_GRADIENT,
        max_step_norm=None,
        negative_gradient_method=objective,
    )
    return np.asarray(placed, np.float32)
