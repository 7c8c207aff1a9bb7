"""k-means with many k and several seeds: inertia curves, centres, cluster sizes, and the gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.analysis import Analysis, Request
from latentscan.analyses.functions import call
from latentscan.analyses.kmeans.centres import CENTRES
from latentscan.analyses.kmeans.cloud import CLOUD, cloud_request, frame_of
from latentscan.analyses.kmeans.cost import kmeans_cost
from latentscan.analyses.kmeans.gap import GAP, gap_request
from latentscan.analyses.kmeans.natural import NATURAL
from latentscan.analyses.kmeans.parameters import KMeansParameters
from latentscan.kernels.inertia import InertiaPartial, Models, inertia_partial
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.analysis import Task
    from latentscan.analyses.functions import Options
    from latentscan.analyses.inputs import OneStore
    from latentscan.execution.context import Execution
    from latentscan.scan.rows import Points, PointsChoice
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.reader import LatentStore


def assess(task: Task[KMeansParameters, OneStore]) -> Result:
    """Compute what is found of trained models in one pass over the blocks that are written."""
    parameters, snapshot = task.parameters, task.inputs.snapshot
    points = parameters.points_of(snapshot.schema)
    trained = task.result_of(Request(CENTRES, parameters.training))
    cloud = task.result_of(cloud_request(parameters))
    gap = task.result_of(gap_request(parameters)) if parameters.reference else None
    centres = {name: trained[name] for name in ("centres", "centre_k", "centre_seed")}
    if parameters.reference:
        centres = _joined(centres, task.result_of(Request(NATURAL, parameters.training)))
    ks, seeds = np.unique(centres["centre_k"]), np.array(parameters.all_seeds)
    of_model = np.repeat(ks, len(seeds))
    models = Models.of(centres["centres"], of_model.tolist(), frame_of(cloud))
    labelled = np.flatnonzero(np.isin(of_model, parameters.labels)).tolist()

    found = _inertia(snapshot, points, models, labelled, task.execution)
    inertia = found.inertia.reshape(len(ks), len(seeds))
    variables = {
        "k": Variable(("k",), ks),
        "seed": Variable(("seed",), seeds),
        "inertia": Variable(("k", "seed"), inertia),
        "inertia_mean": Variable(("k",), inertia.mean(axis=1)),
        "total": Variable((), np.array(found.total_inertia)),
        "size": Variable(("centre",), found.sizes),
        "member": Variable(("centre",), found.members),
        "far_image": cloud.variables["far_image"],
        "centres": Variable(("centre", "component"), centres["centres"]),
        "centre_k": Variable(("centre",), centres["centre_k"]),
        "centre_seed": Variable(("centre",), centres["centre_seed"]),
    }
    if len(seeds) > 1:
        variables["inertia_std"] = Variable(("k",), inertia.std(axis=1, ddof=1))
    if labelled:
        variables |= _best_labels(found, inertia, ks, parameters, snapshot.schema.images)
    attributes = {
        "array": points,
        "images": snapshot.schema.images,
        "clustered": found.rows,
        "components": snapshot.schema.components,
        "batches": trained.attributes["batches"],
        "passes": trained.attributes["passes"],
        "far": cloud.attributes["far"],
        "median_distance": cloud.attributes["median_distance"],
    }
    if gap is not None:
        variables |= _gap_variables(gap, ks, inertia.mean(axis=1))
        attributes |= {f"gap_{name}": gap.attributes[name] for name in GAP_ATTRIBUTES}
    return Result(variables, attributes)


def _requires(parameters: KMeansParameters) -> list[Request]:
    training = parameters.training
    judged = [gap_request(parameters), Request(NATURAL, training)] if parameters.reference else []
    return [Request(CENTRES, training), cloud_request(parameters), *judged]


GAP_ATTRIBUTES = ("rows", "replicates", "verdict", "best", "range", "missing")
LABELS = {  # what each variable is, and its unit
    "k": ("number of clusters", "1"),
    "seed": ("seed", "1"),
    "inertia": ("inertia", "1"),
    "inertia_mean": ("mean inertia over the seeds", "1"),
    "inertia_std": ("standard deviation of the inertia over the seeds", "1"),
    "total": ("inertia of one cluster", "1"),
    "reference": ("inertia that Gaussian data would have by the gap", "1"),
    "centres": ("centre of a cluster", "1"),
    "centre_k": ("number of clusters of the model of a centre", "1"),
    "centre_seed": ("seed of the model of a centre", "1"),
    "size": ("images in a cluster", "1"),
    "member": ("an image in a cluster, -1 for none", "1"),
    "far_image": ("row of an image far out", "1"),
    "gap_k": ("number of clusters of the gap", "1"),
    "gap": ("log of the inertia of Gaussian data over that of the points", "1"),
    "gap_mean": ("mean gap over the samples", "1"),
    "gap_std": ("standard deviation of the gap over the samples", "1"),
    "label_k": ("number of clusters whose labels are given", "1"),
    "label_seed": ("seed of the best model of that number of clusters", "1"),
    "labels": ("cluster of an image, -1 for none", "1"),
}

KMEANS = Analysis(
    name="kmeans",
    version=4,
    parameters=KMeansParameters,
    requires=_requires,
    compute=assess,
    cost=kmeans_cost,
    parts=(CLOUD, CENTRES, GAP, NATURAL),
    labels=LABELS,
    rows=("far_image", "member"),
)


def kmeans(
    store: LatentStore,
    *,
    k: str | int | Iterable[int] = "2:80:2",
    seeds: int = 3,
    seed: int = 0,
    batch_rows: int = 4096,
    passes: int = 0,
    array: PointsChoice = "auto",
    labels: str | int | Iterable[int] = (),
    reference: bool = True,
    **options: Unpack[Options],
) -> Dataset:
    """Cluster the points of a store with many k and several seeds: inertia curves, sizes, centres.

    Parameters
    ----------
    store
        The latent store.
    k
        Numbers of clusters: ``"FIRST:LAST:STEP"`` with LAST included, or numbers.
    seeds
        How many models of every k.
    seed
        The first seed.
    batch_rows
        Images in a batch; no fewer than the largest k.
    passes
        How often each image is seen; 0 for as often as 40 batches need.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    labels
        Those of `k` for which the cluster of each image is returned.
    reference
        Whether the gap is computed too: how much less inertia the points have than Gaussian data. The
        number of clusters that it names is computed beside `k`.
    **options
        See `Options`.

    Returns
    -------
    `inertia` (k, seed), its `inertia_mean` and `inertia_std` over the seeds (k); `total` (), the inertia of
    one cluster; `centres` (centre, component) of one model after another, with `size`, `centre_k`,
    `centre_seed` and `member`, an image of each cluster (centre); `labels` (label_k, image) of the best model
    of a k, the one of `label_seed` (label_k), −1 for an image without latents; `far_image` (far), the rows
    far out. `member_path` (centre) and `far_image_path` (far) are the paths of these images.

    The `gap` (gap_k, replicate) of samples of the rows, with `gap_mean` and `gap_std` over them (gap_k), is
    how much less inertia they have than Gaussian data of the same covariance, as a logarithm, for numbers of
    clusters of its own, `gap_k`; the attributes `gap_verdict`, `gap_best` and `gap_range` say what follows.
    `reference` (k) is the inertia that Gaussian data would have by that, NaN beyond the last `gap_k`.

    Raises
    ------
    ParameterError
        If there are fewer images than centres, or fewer in a batch.
    StoreError
        If the store is incomplete or damaged.
    """
    given = {
        "k": k,
        "seeds": seeds,
        "seed": seed,
        "batch_rows": batch_rows,
        "passes": passes,
        "array": array,
        "labels": labels,
        "reference": reference,
    }
    return call(KMEANS, {"store": store}, given, options)


def _gap_variables(gap: Result, ks: NDArray[np.int64], inertia: NDArray[np.float64]) -> dict[str, Variable]:
    """Return the gap, and the inertia of Gaussian data (k,) that it means for the inertia of the points.

    Between two of its k, the gap is interpolated along the logarithm of k.
    """
    of_gap = gap["k"]
    between = np.interp(np.log(ks), np.log(of_gap), gap["gap_mean"], right=np.nan)
    return {
        "reference": Variable(("k",), inertia * np.exp(between)),
        "gap_k": Variable(("gap_k",), of_gap),
        "gap": Variable(("gap_k", "replicate"), gap["gap"]),
        "gap_mean": Variable(("gap_k",), gap["gap_mean"]),
        "gap_std": Variable(("gap_k",), gap["gap_std"]),
    }


def _joined(centres: dict[str, NDArray[Any]], others: Result) -> dict[str, NDArray[Any]]:
    """Return the centres of all models by name, those with the fewest first."""
    order = np.argsort(np.concatenate([centres["centre_k"], others["centre_k"]]), kind="stable")
    return {name: np.concatenate([values, others[name]])[order] for name, values in centres.items()}


def _inertia(
    snapshot: Snapshot, array: Points, models: Models, labelled: Sequence[int], execution: Execution
) -> InertiaPartial:
    def chunk(block: LatentBlock) -> InertiaPartial:
        return inertia_partial(block.latents[array], block.images, models, labelled)

    reduction: Reduction[InertiaPartial, InertiaPartial] = Reduction((array,), chunk, InertiaPartial.merge)
    return reduce_store(snapshot, reduction, execution, label="inertia")


def _best_labels(
    found: InertiaPartial,
    inertia: NDArray[np.float64],
    ks: NDArray[np.int64],
    parameters: KMeansParameters,
    images: int,
) -> dict[str, Variable]:
    """Pick, for every k whose labels are wanted, those of the model with the lowest inertia."""
    best = inertia[np.isin(ks, parameters.labels)].argmin(axis=1)
    columns = np.arange(len(best)) * inertia.shape[1] + best
    labels = np.full((len(best), images), -1, np.int32)
    labels[:, found.images] = found.labels[:, columns].T
    return {
        "label_k": Variable(("label_k",), np.array(parameters.labels)),
        "label_seed": Variable(("label_k",), np.array(parameters.all_seeds)[best]),
        "labels": Variable(("label_k", "image"), labels),
    }
