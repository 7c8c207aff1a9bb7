"""The centres of all k-means models of a store, trained on its rows in a seeded random order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request, Task
from latentscan.analyses.kmeans.cloud import cloud_request, frame_of
from latentscan.analyses.kmeans.cost import centres_cost
from latentscan.analyses.kmeans.parameters import CentresParameters
from latentscan.analyses.kmeans.training import (
    Schedule,
    TrainingData,
    initial_centres,
    initial_rows,
    mixed_batches,
    train,
)
from latentscan.errors import TooFewImagesError, parameter
from latentscan.scan.rows import gather_rows, require_measurable, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from latentscan.analyses.inputs import OneStore
    from latentscan.kernels.frame import Frame
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot


def train_centres(task: Task[CentresParameters, OneStore]) -> Result:
    """Train a model for every k and seed.

    Sculley, D. (2010), Web-scale k-means clustering, describes mini-batch k-means.

    Every seed has its own order of the rows, which depends on the seed and the store's blocks. A model
    depends on its k and its seed, not on which others are trained beside it; but for more than
    `INITIAL_ROWS` / `INITIAL_ROWS_PER_CENTRE` clusters, the initial centres come from a larger sample.

    Clusters with few rows are not reassigned: a row far out is a cluster of its own, by right. The initial
    centres are chosen from a sample and all rows far out that are known by number, so that such a row is
    a centre from the beginning wherever that saves inertia.

    Returns
    -------
    `centres` (centre, component), of one model after another, those of a k by their seeds; the model of
    each is the one of `centre_k` and `centre_seed` (centre).

    Raises
    ------
    TooFewImagesError
        If there are fewer images than centres.
    StoreError
        If a chunk is missing or damaged, or all images were rejected.
    """
    parameters, snapshot, execution = task.parameters, task.inputs.snapshot, task.execution
    points, largest = parameters.points_of(snapshot.schema), max(parameters.k)
    cloud = task.result_of(cloud_request(parameters))
    frame = frame_of(cloud)
    # one sample serves every seed
    chosen = sample_images(snapshot, initial_rows(largest), 0, execution)
    rows = chosen.drawn_from
    if largest > rows:
        raise TooFewImagesError(
            f"{snapshot.location} has {rows:,} images that were not rejected, fewer than clusters; "
            f"give {parameter('k')} up to {rows}",
            field="k",
            value=largest,
        )
    images = np.unique(np.concatenate([chosen.images, cloud["far_image"]]))
    sample = frame.inside(gather_rows(snapshot, points, images, execution))
    schedule = Schedule.of(rows, parameters.batch_rows, parameters.passes)
    data = TrainingData(
        schedule,
        initial_centres(sample, largest, parameters.all_seeds, execution),
        partial(_store_batches, snapshot, points, frame, schedule),
    )
    centres = train(data, parameters.k, parameters.all_seeds, execution, label="train")
    models = [(k, seed) for k in parameters.k for seed in parameters.all_seeds]
    counts = [k for k, _ in models]
    flat = frame.outside(np.concatenate([centres[model] for model in models]))
    return Result(
        {
            "centres": Variable(("centre", "component"), flat.astype(np.float32)),
            "centre_k": Variable(("centre",), np.repeat(counts, counts)),
            "centre_seed": Variable(("centre",), np.repeat([seed for _, seed in models], counts)),
        },
        {"images": rows, "batches": schedule.batches, "passes": schedule.passes},
    )


def _requires(parameters: CentresParameters) -> list[Request]:
    return [cloud_request(parameters)]


LABELS = {  # what each variable is, and its unit
    "centres": ("centre of a cluster", "1"),
    "centre_k": ("number of clusters of the model of a centre", "1"),
    "centre_seed": ("seed of the model of a centre", "1"),
}

CENTRES = Analysis(
    name="kmeans-centres",
    version=2,
    parameters=CentresParameters,
    requires=_requires,
    compute=train_centres,
    cost=centres_cost,
    labels=LABELS,
)


def _store_batches(
    snapshot: Snapshot,
    array: Points,
    frame: Frame,
    schedule: Schedule,
    seed: int,
) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)

    def read(block: int) -> NDArray[np.float32]:
        values = snapshot.read_block(block, (array, "status"))
        good = np.flatnonzero(values["status"] == 0)
        rows = values[array][good]
        require_measurable(snapshot.store, rows, snapshot.schema.rows(block).start + good)
        return frame.inside(rows)

    for _ in range(schedule.passes):
        yield from mixed_batches(
            map(read, rng.permutation(snapshot.blocks).tolist()), schedule.batch_rows, rng
        )
