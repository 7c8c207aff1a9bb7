"""What k-means knows of the cloud of points beforehand: its middle, its size, and the rows far out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, PointsParameters, Request, Task
from latentscan.kernels.far_rows import FAR, MOST, FarRows, far_rows
from latentscan.kernels.frame import Frame
from latentscan.kernels.reduction import Footprint, LatentBlock, Reduction
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.inputs import OneStore

SAMPLE_ROWS = 2048  # whose median is the middle; a few rows far out do not move it


class CloudParameters(PointsParameters):
    """Whose cloud it is."""


def find_cloud(task: Task[CloudParameters, OneStore]) -> Result:
    """Find the middle of a cloud, the size of its rows, and those that lie far out.

    A row is far out beyond 10 times the median distance from the middle. Mini-batches and small samples
    treat such a row by chance, though it may hold most of the inertia.
    """
    snapshot, execution = task.inputs.snapshot, task.execution
    points = task.parameters.points_of(snapshot.schema)
    chosen = sample_images(snapshot, SAMPLE_ROWS, 0, execution)
    sample = gather_rows(snapshot, points, chosen.images, execution)
    middle = np.median(sample, axis=0).astype(np.float32)
    median = float(np.median(np.square(sample.astype(np.float64) - middle).sum(axis=1)))
    limit = FAR**2 * median if median else np.inf

    def chunk(block: LatentBlock) -> FarRows:
        return far_rows(block.latents[points], block.images, middle, limit)

    reduction: Reduction[FarRows, FarRows] = Reduction((points,), chunk, FarRows.merge)
    found = reduce_store(snapshot, reduction, execution, label="far rows")
    typical = float(np.sqrt(median / snapshot.schema.components))
    frame = Frame.around(middle, typical, float(np.sqrt(found.largest)))
    return Result(
        {
            "middle": Variable(("component",), middle),
            "far_image": Variable(("far",), found.images),
            "far_distance": Variable(("far",), np.sqrt(found.squares)),
        },
        {
            "images": chosen.drawn_from,
            "exponent": frame.exponent,
            "median_distance": float(np.sqrt(median)),
            "far": found.count,
        },
    )


def cloud_cost(setting: Setting, parameters: CloudParameters) -> Cost:
    """Return the cost of a sample, and of a pass over all rows."""
    schema = setting.schema
    points = parameters.points_of(schema)
    footprint = Footprint(tiles=2, partial_bytes=MOST * 16)
    return in_turn(
        (
            one_pass(schema, ()),
            gathering(schema, SAMPLE_ROWS, points),
            one_pass(schema, (points,), footprint),
        )
    )


LABELS = {  # what each variable is, and its unit
    "middle": ("median of each component", "1"),
    "far_image": ("row of an image far out", "1"),
    "far_distance": ("its distance from the middle", "1"),
}

CLOUD = Analysis(
    name="kmeans-cloud",
    version=1,
    parameters=CloudParameters,
    compute=find_cloud,
    cost=cloud_cost,
    labels=LABELS,
)


def cloud_request(parameters: PointsParameters) -> Request:
    """Return the request of the cloud that an analysis is of."""
    return Request(CLOUD, CloudParameters(array=parameters.array))


def frame_of(cloud: Result) -> Frame:
    """Return the frame of a cloud."""
    return Frame(cloud["middle"], cloud.attributes["exponent"])


def lone_rows(cloud: Result) -> NDArray[np.int64]:
    """Return the images far out where they are few: many are no exception, but part of the structure."""
    images: NDArray[np.int64] = cloud["far_image"]
    return images if cloud.attributes["far"] <= MOST else images[:0]
