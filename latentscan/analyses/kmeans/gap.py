"""How much less inertia the points have than Gaussian data of the same covariance, by number of clusters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.analysis import Analysis, PointsParameters, Request, Task
from latentscan.analyses.kmeans.cloud import cloud_request, frame_of, lone_rows
from latentscan.analyses.kmeans.verdict import judge
from latentscan.kernels.far_rows import MOST
from latentscan.kernels.gaussian_twin import gaussian_twin
from latentscan.kernels.lloyd import Clusters, inertia, lloyd, merged
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.inputs import OneStore
    from latentscan.execution.executor import Control

REPLICATES = 5  # samples of the rows, each with a Gaussian twin and a seed of its own
REPLICATE_ROWS = 2048  # at most
GRID = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
ROWS_PER_CLUSTER = 10  # of a replicate, at least
REFINEMENTS = 2  # of the grid about the largest gap, to a step of 1
REFINED = 8  # most k of a refinement
FIRST_ITERATIONS, ITERATIONS = 8, 4  # of the largest model, and of each that is merged from a larger one
INITIAL_ROWS = 1024  # of a replicate, among which the largest model's first centres are chosen
LEAST_SHARE = 1e-9  # of the inertia of one cluster; less is rounding


class GapParameters(PointsParameters):
    """Of which points the gap is; it depends on no range of k."""


def find_gap(task: Task[GapParameters, OneStore]) -> Result:
    """Compute the gap G(k) = ln(reference(k) / inertia(k)), each as a share of the inertia of one cluster.

    Tibshirani, R., Walther, G., Hastie, T. (2001), Estimating the number of clusters in a data set via the
    gap statistic; the reference is Gaussian data with the covariance of the points.

    It is of 5 samples of the rows that have none in common, of 2,048 rows each where there are so many, and
    of a Gaussian twin of each sample with its very mean and covariance (`gaussian_twin`): if the points are
    Gaussian, sample and twin are exchangeable and G is 0 but for chance, however few the rows. Inertia is
    that of *another sample*, which the centres were not trained on: of rows they were trained on, a row in
    a heavy tail that has a cluster to itself costs nothing (t with 3 degrees of freedom, 64 components,
    4,000 rows: G(96) = 0.17 of rows trained on, and -0.03 of others). What few rows cost in inertia, points
    and twins pay alike.

    2,048 rows are enough: of 20,000 × 64 points, the largest gap has a standard deviation over the samples
    of 0.002 for Gaussian data and of 0.006 at most for clusters, 0.02 being called structure; with 4,000
    rows a sample it is 0.002 and 0.004, with 600 rows 0.004 and 0.013.

    The largest model is trained first; each smaller one begins with clusters of the larger one merged by
    Ward's criterion, which finds clusters far apart whatever the seed. All k about the largest gap are
    evaluated in two refinements. Rows far out, where they are few, are left out.

    Returns
    -------
    `k` (k) and `gap` (k, replicate), with its mean `gap_mean` and standard deviation `gap_std` (k).
    """
    snapshot, execution = task.inputs.snapshot, task.execution
    points = task.parameters.points_of(snapshot.schema)
    cloud = task.result_of(cloud_request(task.parameters))
    left_out = lone_rows(cloud)
    most = REPLICATES * REPLICATE_ROWS
    chosen = sample_images(snapshot, most + MOST, 1, execution)
    images = chosen.images[~np.isin(chosen.images, left_out)][:most]
    rows = len(images) // REPLICATES
    sample = frame_of(cloud).inside(gather_rows(snapshot, points, images, execution))
    parts = np.split(sample[: REPLICATES * rows], REPLICATES)
    first = [k for k in GRID if k <= max(1, rows // ROWS_PER_CLUSTER)]
    with execution.progress.task("gap", total=_tasks(), unit="tasks") as advance:
        watched: dict[str, Any] = {"describe": _name, "on_done": lambda _: advance(1)}
        twins = execution.executor.run_tasks(_twin, list(enumerate(parts)), **watched)
        curves = [Curve(n, of[n], of[n - 1]) for of in (parts, twins) for n in range(REPLICATES)]
        wanted = first
        for _ in range(1 + REFINEMENTS):
            found = execution.executor.run_tasks(partial(_models, wanted), curves, **watched)
            curves = [curve.with_models(models) for curve, models in zip(curves, found, strict=True)]
            k, gap = _gap(curves)
            wanted = _refinement(k, gap.mean(axis=1))
    verdict = judge(k, gap, rows, snapshot.schema.components)
    return Result(
        {
            "k": Variable(("k",), k),
            "gap": Variable(("k", "replicate"), gap),
            "gap_mean": Variable(("k",), gap.mean(axis=1)),
            "gap_std": Variable(("k",), gap.std(axis=1, ddof=1)),
            "left_out": Variable(("far",), left_out),
        },
        {
            "rows": rows,
            "replicates": REPLICATES,
            "verdict": verdict.kind,
            "best": verdict.k,
            "range": [verdict.low, verdict.high],
            "missing": verdict.missing,
        },
    )


@dataclass(frozen=True)
class Model:
    """A model, and its inertia as a share of that of one cluster."""

    clusters: Clusters | None
    share: float


@dataclass(frozen=True)
class Curve:
    """The models of one sample, or of its twin.

    Parameters
    ----------
    number
        Of the sample, which is the seed, too.
    rows
        What models are trained on, (n, component).
    others
        What their inertia is of, (n, component).
    models
        Models by k.
    """

    number: int
    rows: NDArray[np.float32]
    others: NDArray[np.float32]
    models: Mapping[int, Model] = field(default_factory=dict)

    def with_models(self, models: Mapping[int, Model]) -> Curve:
        """Return the curve with more models."""
        return replace(self, models={**self.models, **models})


def gap_cost(setting: Setting, parameters: GapParameters) -> Cost:
    """Return the cost of sampling rows, and of all models of them."""
    schema = setting.schema
    rows = min(REPLICATES * REPLICATE_ROWS, schema.images)
    width = schema.components * 4
    models = 3 * max(GRID) * rows // REPLICATES * 4
    return in_turn(
        (
            one_pass(schema, ()),
            gathering(schema, rows, parameters.points_of(schema)),
            Cost(_tasks(), 0, 12 * rows // REPLICATES * width + models),
        )
    )


def _tasks() -> int:
    return REPLICATES + 2 * REPLICATES * (1 + REFINEMENTS)


def _requires(parameters: GapParameters) -> list[Request]:
    return [cloud_request(parameters)]


LABELS = {  # what each variable is, and its unit
    "k": ("number of clusters", "1"),
    "gap": ("log of the inertia of Gaussian data over that of the points", "1"),
    "gap_mean": ("mean gap over the samples", "1"),
    "gap_std": ("standard deviation of the gap over the samples", "1"),
    "left_out": ("row of an image far out that is left out", "1"),
}

GAP = Analysis(
    name="kmeans-gap",
    version=1,
    parameters=GapParameters,
    requires=_requires,
    compute=find_gap,
    cost=gap_cost,
    labels=LABELS,
)


def gap_request(parameters: PointsParameters) -> Request:
    """Return the request of the gap of the points that an analysis is of."""
    return Request(GAP, GapParameters(array=parameters.array))


def _name(item: Curve | tuple[int, Any]) -> str:
    return f"sample {item.number if isinstance(item, Curve) else item[0]}"


def _twin(item: tuple[int, NDArray[np.float32]], _control: Control) -> NDArray[np.float32]:
    number, rows = item
    return gaussian_twin(rows, np.random.default_rng(number)) if len(rows) else rows


def _models(ks: Sequence[int], curve: Curve, _control: Control) -> dict[int, Model]:
    """Train models with some k, the largest first, each from the next larger model that there is."""
    found: dict[int, Model] = {}
    if not len(curve.rows):
        return {k: Model(None, 1.0) for k in ks}
    origin = curve.rows.mean(axis=0)
    x, y = curve.rows - origin, curve.others - origin
    whole = inertia(y, y.mean(axis=0, keepdims=True))
    for k in sorted(ks, reverse=True):
        larger = {n: one.clusters for n, one in {**curve.models, **found}.items() if n > k and one.clusters}
        if k == 1 or not whole:
            found[k] = Model(None, 1.0)
            continue
        if larger:
            clusters = lloyd(x, merged(larger[min(larger)], k), ITERATIONS)
        else:
            clusters = lloyd(x, _first_centres(x, k, curve.number), FIRST_ITERATIONS)
        found[k] = Model(clusters, max(inertia(y, clusters.centres) / whole, LEAST_SHARE))
    return found


def _first_centres(x: NDArray[np.float32], k: int, seed: int) -> NDArray[np.float32]:
    from sklearn.cluster import kmeans_plusplus

    centres, _ = kmeans_plusplus(x[:INITIAL_ROWS], k, random_state=seed)
    return np.asarray(centres, np.float32)


def _gap(curves: Sequence[Curve]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the numbers of clusters (k,) and the gap (k, replicate) of points and their twins."""
    k = sorted(curves[0].models)
    logs = np.log([[curve.models[one].share for curve in curves] for one in k])
    return np.array(k), logs[:, REPLICATES:] - logs[:, :REPLICATES]


def _refinement(k: NDArray[np.int64], gap: NDArray[np.float64]) -> list[int]:
    """Return numbers of clusters between the k of the largest gap and its neighbours; few if there are many.

    Examples
    --------
    >>> _refinement(np.array([1, 8, 12, 16]), np.array([0.0, 0.1, 0.3, 0.2]))
    [9, 10, 11, 13, 14, 15]
    >>> _refinement(np.array([1, 32, 48, 64]), np.array([0.0, 0.1, 0.3, 0.2]))
    [36, 40, 44, 52, 56, 60]
    """
    best = int(gap.argmax())
    low, high = k[max(best - 1, 0)], k[min(best + 1, len(k) - 1)]
    step = max(1, -(-int(high - low) // REFINED))
    return [one for one in range(int(k[best]) % step, int(high), step) if one > low and one not in k.tolist()]
