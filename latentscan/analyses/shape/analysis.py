"""The shape of a cloud in four effects, each beside Gaussian samples of the same covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis
from latentscan.analyses.functions import call
from latentscan.analyses.shape.cost import shape_cost
from latentscan.analyses.shape.figures import (
    CUTS,
    EFFECTS,
    SCALES,
    Beside,
    Figures,
    Measured,
    put_beside,
    twins_of,
)
from latentscan.analyses.shape.parameters import ShapeParameters
from latentscan.analyses.shape.repeats import without_repeats
from latentscan.errors import TooFewImagesError
from latentscan.kernels.shape import Principal
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from typing import Unpack

    from xarray import Dataset

    from latentscan.analyses.analysis import Task
    from latentscan.analyses.functions import Options
    from latentscan.analyses.inputs import OneStore
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.reader import LatentStore

FEWEST = 10  # images, that show a shape at all


def measure_shape(task: Task[ShapeParameters, OneStore]) -> Result:
    """Measure the shape of a sample of the good images, and of its Gaussian twins.

    Images that repeat another one of the sample are left out, unless too few are different.

    Raises
    ------
    TooFewImagesError
        If there are too few good images.
    """
    parameters, snapshot, execution = task.parameters, task.inputs.snapshot, task.execution
    array = parameters.points_of(snapshot.schema)
    sampled = sample_images(snapshot, parameters.sample, parameters.seed, execution)
    count, fewest = len(sampled.images), max(parameters.nearest + 1, FEWEST)
    if count < fewest:
        raise TooFewImagesError(
            f"expected fewer nearest neighbours than the {count:,} images that there are, and at least "
            f"{FEWEST} images",
            field="nearest",
            value=parameters.nearest,
        )
    rows = gather_rows(snapshot, array, sampled.images, execution)
    different = without_repeats(rows, parameters.nearest)
    if len(different) >= fewest:
        rows = rows[different]
    principal = Principal.of(rows)
    attributes = {
        **parameters.model_dump(include={"nearest", "twins"}),
        "array": array,
        "images": sampled.drawn_from,
        "components": snapshot.schema.components,
        "axes": len(principal.deviations),
        "sampled": len(rows),
        "repeats": count - len(rows),
    }
    with execution.progress.task("twins", total=1, unit="sets") as advance:
        variables, own = _measured(principal, parameters)
        advance(1)
    return Result(variables, {**attributes, **own})


LABELS = {  # what each variable is, and its unit
    "effect": ("what is measured of the shape", ""),
    "found": ("value of the images", "1"),
    "error": ("its standard error over the images", "1"),
    "gaussian": ("value of a Gaussian twin", "1"),
    "gaussian_low": ("what the value of a Gaussian cloud is above", "1"),
    "gaussian_high": ("what the value of a Gaussian cloud is below", "1"),
    "outside": ("whether the value is outside", "1"),
    "matched_found": ("value of the images beside twins with the same tails", "1"),
    "matched": ("value of a twin with the same tails", "1"),
    "matched_low": ("what the value of a cloud with these tails is above", "1"),
    "matched_high": ("what the value of a cloud with these tails is below", "1"),
    "outside_matched": ("whether the value is outside of that", "1"),
    "scale": ("n: of the distances to the n-th and the 2 n-th nearest", "1"),
    "dimension": ("intrinsic dimension at a scale", "1"),
    "dimension_error": ("its standard error over the images", "1"),
    "gaussian_dimension": ("intrinsic dimension of a Gaussian twin", "1"),
    "matched_dimension": ("intrinsic dimension of a twin with the same tails", "1"),
    "cut": ("share of a Gaussian within a distance", "1"),
    "core_share": ("share of the images within it, over that of a Gaussian", "1"),
    "core_error": ("its standard error over the images", "1"),
    "gaussian_core_share": ("the same of a Gaussian twin", "1"),
    "axis_distance": ("Wasserstein-1 distance from a Gaussian along a principal axis", "standard deviations"),
    "gaussian_axis_distance": ("the largest one of a Gaussian twin", "standard deviations"),
}

SHAPE = Analysis(
    name="shape",
    version=2,
    parameters=ShapeParameters,
    compute=measure_shape,
    cost=shape_cost,
    labels=LABELS,
)


def shape(
    store: LatentStore,
    *,
    sample: int = 2_000,
    nearest: int = 10,
    twins: int = 10,
    seed: int = 0,
    array: PointsChoice = "auto",
    **options: Unpack[Options],
) -> Dataset:
    """Tell whether the cloud is one Gaussian ellipsoid, or has heavy tails, clusters or filaments.

    Parameters
    ----------
    store
        The latent store.
    sample
        Images that are measured; all if there are fewer.
    nearest
        Nearest neighbours that may be of the same set.
    twins
        Gaussian samples with the same mean and covariance that are put beside the images.
    seed
        Seed of the sample and of its twins.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    **options
        See `Options`.

    Returns
    -------
    Four effects, each `found` (effect) with its standard error over the images, `error`: ``tails``, Mardia's
    kurtosis over that of a Gaussian; ``axis``, the largest Wasserstein-1 distance from a Gaussian along a
    principal axis, in standard deviations; ``neighbours``, the share of the nearest neighbours that are of
    the same set where images and a Gaussian twin are joined; ``dimension``, the lowest ratio of the intrinsic
    dimension to that of the twins, over scales. The twins' own are `gaussian` (effect, twin); where an image
    cloud were Gaussian too, all four would lie within `gaussian_low` and `gaussian_high` (effect) with a
    probability of 95 %, and `outside` says which do not. `matched_found`, `matched`, `matched_low`,
    `matched_high` and `outside_matched` are the same beside twins that also have the Mahalanobis distances of
    the images: what lies outside of both is more than tails.

    `dimension` (scale) with `dimension_error`, `gaussian_dimension` and `matched_dimension` (scale, twin) are
    estimates from the distances to the n-th and 2 n-th nearest, n being `scale`. `core_share` (cut) with
    `core_error` is the share of the images in the frame of a robust fit that lies where `cut` of a Gaussian
    does, over `cut`; `gaussian_core_share` (cut, twin). `axis_distance` and `gaussian_axis_distance` (axis)
    are along the principal axes. All of it is of `sampled` images, in the frame of the points as they are;
    `repeats` more images of the sample nearly repeat one of them, and are left out.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit, or there are too few images.
    """
    given = {"sample": sample, "nearest": nearest, "twins": twins, "seed": seed, "array": array}
    return call(SHAPE, {"store": store}, given, options)


def _measured(
    principal: Principal, parameters: ShapeParameters
) -> tuple[dict[str, Variable], dict[str, int]]:
    """Return what is found of the rows of a sample, the worst axis, and the scale of fewest dimensions."""
    if len(principal.deviations):
        sample = Measured.of(principal.scores.astype(np.float32), parameters.nearest)
        own, twins = sample.figures, twins_of(principal, parameters.twins, parameters.seed)
        gaussian = put_beside(sample, twins, parameters.nearest)
        matched = put_beside(sample, [principal.matched(twin) for twin in twins], parameters.nearest)
        worst = int(np.argmax(own.axes))
    else:
        own, gaussian, worst = Figures.nothing(), Beside.nothing(parameters.twins), 0
        matched = gaussian
    core = np.sqrt(own.core * np.maximum(1 / np.array(CUTS) - own.core, 0) / len(principal.scores))
    variables = {
        "effect": Variable(("effect",), np.array(EFFECTS, object)),
        "found": Variable(("effect",), gaussian.found),
        "error": Variable(("effect",), gaussian.errors),
        **_beside("gaussian", gaussian),
        "outside": Variable(("effect",), gaussian.outside),
        "matched_found": Variable(("effect",), matched.found),
        **_beside("matched", matched),
        "outside_matched": Variable(("effect",), matched.outside),
        "scale": Variable(("scale",), np.array(SCALES)),
        "dimension": Variable(("scale",), own.dimensions[:, 0]),
        "dimension_error": Variable(("scale",), own.dimensions[:, 1]),
        "gaussian_dimension": Variable(("scale", "twin"), gaussian.dimensions),
        "matched_dimension": Variable(("scale", "twin"), matched.dimensions),
        "cut": Variable(("cut",), np.array(CUTS)),
        "core_share": Variable(("cut",), own.core),
        "core_error": Variable(("cut",), core),
        "gaussian_core_share": Variable(("cut", "twin"), gaussian.core),
        "axis_distance": Variable(("axis",), own.axes),
        "gaussian_axis_distance": Variable(("axis",), gaussian.axes),
    }
    return variables, {"worst_axis": worst, "lowest_scale": gaussian.scale}


def _beside(name: str, found: Beside) -> dict[str, Variable]:
    return {
        name: Variable(("effect", "twin"), found.others),
        f"{name}_low": Variable(("effect",), found.low),
        f"{name}_high": Variable(("effect",), found.high),
    }
