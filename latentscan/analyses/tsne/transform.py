"""Points of images outside the sample, each embedded by itself among those of the sample.

Policar, P. G., Strazar, M., Zupan, B. (2021), Embedding to reference t-SNE space addresses batch effects in
single-cell classification: every image is attracted by its nearest neighbours in the sample and repelled by
the whole of it; images that are embedded beside it count for nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.neighbours.index import build_index
from latentscan.analyses.tsne.optimize import attraction
from latentscan.analyses.tsne.repulsion import Convolution, Surroundings
from latentscan.execution.executor import Stopped
from latentscan.scan.rows import gather_rows, read_range, require_measurable
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.neighbours.index import Index
    from latentscan.execution.context import Execution
    from latentscan.execution.executor import Control
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.schema import Schema

    Floats = NDArray[np.float64]

BATCH_IMAGES = 4096  # fixed ranges of image numbers, whatever the blocks of the store
# those of openTSNE's transform
PERPLEXITY = 5
NEIGHBOURS = 3 * PERPLEXITY
ITERATIONS = 250
EXAGGERATION = 1.5
LEARNING_RATE = 0.1
LONGEST_GRADIENT = 0.25
PADDING = 0.25  # of the extent of the embedding, around it


def transform(snapshot: Snapshot, fixed: Result, execution: Execution) -> Result:
    """Embed every good image outside the sample; those in it stay where they are.

    The point of an image depends on the image and the embedding of the sample alone: not on the store's
    blocks, on threads, or on what else is embedded.

    Parameters
    ----------
    snapshot
        The store.
    fixed
        A result of `tsne` for a sample.
    execution
        Where tasks run.
    """
    array = fixed.attributes["array"]
    rows = gather_rows(snapshot, array, fixed["image"], execution)
    near = min(NEIGHBOURS, len(rows))
    index = build_index(rows, near, fixed.attributes["seed"], execution)
    reference = fixed["embedding"].astype(np.float64)
    field = Surroundings(reference, Convolution(), PADDING)
    schema = snapshot.schema
    step = batch_images(schema)
    batches = [range(start, min(start + step, schema.images)) for start in range(0, schema.images, step)]
    in_sample = np.sort(fixed["image"])

    def work(images: range, control: Control) -> tuple[NDArray[Any], ...]:
        values, good = read_range(snapshot, array, images)
        numbers = images.start + np.flatnonzero(good)
        numbers = numbers[~_among(numbers, in_sample)]
        latents = values[numbers - images.start]
        require_measurable(snapshot.store, latents, numbers)
        edges = range(images.start + BATCH_IMAGES, images.stop, BATCH_IMAGES)
        parts = np.split(latents, np.searchsorted(numbers, list(edges)))
        embed = partial(_embed, index=index, near=near, reference=reference, field=field, control=control)
        return numbers, np.concatenate([embed(part) for part in parts]), np.linalg.norm(latents, axis=1)

    with execution.progress.task("transform", total=schema.images, unit="images") as advance:
        found = execution.executor.run_tasks(
            work,
            batches,
            describe=lambda batch: f"{snapshot.location}: images {batch[0]}..{batch[-1]}",
            on_done=lambda batch: advance(len(batch)),
        )
    numbers, points, radii = (np.concatenate(parts) for parts in zip(*found, strict=True))
    found_by = {"transformed": len(numbers), "transformed_search_recall": index.recall}
    return _result(fixed, numbers, points, radii, found_by)


def _result(
    fixed: Result,
    numbers: NDArray[np.int64],
    points: NDArray[np.float32],
    radii: NDArray[np.float32],
    attributes: dict[str, Any],
) -> Result:
    images = np.concatenate([fixed["image"], numbers])
    order = np.argsort(images)
    in_sample = np.arange(len(images)) < len(fixed["image"])
    variables = {
        "embedding": Variable(("point", "axis"), np.concatenate([fixed["embedding"], points])[order]),
        "image": Variable(("point",), images[order]),
        "radius": Variable(("point",), np.concatenate([fixed["radius"], radii])[order]),
        "in_sample": Variable(("point",), in_sample[order]),
    }
    return Result(variables, {**fixed.attributes, "all": True, **attributes})


def batch_images(schema: Schema) -> int:
    """Return how many images a task embeds: whole batches, about a block, so that few are read twice."""
    return BATCH_IMAGES * max(1, schema.chunk_rows // BATCH_IMAGES)


def _among(numbers: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    at = np.searchsorted(ascending, numbers)
    return np.equal(ascending[np.minimum(at, len(ascending) - 1)], numbers)


class _Reference(np.ndarray):
    """An embedding as openTSNE's optimizer expects it: without a grid of its own."""

    interp_coeffs = None
    box_x_lower_bounds = None


def _embed(
    latents: NDArray[np.float32],
    index: Index,
    near: int,
    reference: Floats,
    field: Surroundings,
    control: Control,
) -> NDArray[np.float32]:
    """Embed latents (n, components) as points (n, 2)."""
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

    embedded = PartialTSNEEmbedding(median(reference, indices), reference.view(_Reference), joint).optimize(
        ITERATIONS,
        learning_rate=LEARNING_RATE,
        exaggeration=EXAGGERATION,
        max_grad_norm=LONGEST_GRADIENT,
        max_step_norm=None,
        negative_gradient_method=objective,
    )
    return np.asarray(embedded, np.float32)
