"""Per-image figures, ranked lists of outliers with what chance explains, and groups of near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request, count_attributes
from latentscan.analyses.functions import call
from latentscan.analyses.neighbours.graph import NEIGHBOURS, GraphParameters, NeighbourGraph
from latentscan.analyses.neighbours.index import build_index
from latentscan.analyses.origins import StoreAndOrigins
from latentscan.analyses.outliers.chance import (
    Extreme,
    NearPairs,
    Twins,
    mahalanobis_extreme,
    mahalanobis_quantile,
)
from latentscan.analyses.outliers.cost import outliers_cost
from latentscan.analyses.outliers.duplicates import find_duplicates
from latentscan.analyses.outliers.exact import exact_figures
from latentscan.analyses.outliers.figures import Cloud, Found, Measure
from latentscan.analyses.outliers.parameters import MOST_DUPLICATE, OutliersParameters
from latentscan.analyses.outliers.reconstruction import excess_extreme, reconstruction_excess
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.kernels.reduction import Counts, Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import gather_rows
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.analysis import Task
    from latentscan.analyses.functions import Options
    from latentscan.analyses.outliers.duplicates import Duplicates
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.reader import LatentStore

    Floats = NDArray[np.floating]

LISTS = ("score", "mahalanobis", "neighbour_distance", "density", "largest_radius", "smallest_radius")
RECONSTRUCTION = "reconstruction_excess"  # the list, and the figure, where the images are made again
SCORED = ("mahalanobis", "neighbour_distance", "density")
TAIL_POINTS = 200
SMALLEST = ("density", "smallest_radius")  # lists whose first is the smallest


def find_outliers(task: Task[OutliersParameters, StoreAndOrigins]) -> Result:
    """Compute the figures of all images, list the most extreme ones, and group the near-duplicates.

    Raises
    ------
    TooFewImagesError
        If there is one image only.
    """
    parameters, snapshot, execution = task.parameters, task.inputs.snapshot, task.execution
    array = parameters.points_of(snapshot.schema)
    searched = task.result_of(_graph(parameters))
    graph, sample = NeighbourGraph.of_result(searched), searched["image"]
    excess = reconstruction_excess(task.inputs, array, execution)
    cloud, k = Cloud.of(task.result_of(_cloud(parameters))), graph.indices.shape[1]
    rows = gather_rows(snapshot, array, sample, execution)
    last = graph.distances[:, -1]
    typical = float(np.median(last))
    by_chance = NearPairs.of(graph, snapshot.schema.images, MOST_DUPLICATE * typical)
    near = (
        parameters.duplicate * typical
        if parameters.duplicate
        else by_chance.distance(MOST_DUPLICATE * typical)
    )
    measure = Measure(
        snapshot,
        array,
        cloud,
        build_index(rows, k, parameters.seed, execution),
        sample,
        last,
        k,
        cloud.grid(snapshot.schema.images, near),
        near,
    )
    reduction: Reduction[Found, tuple[Found, Counts]] = Reduction(
        (array,), measure, Found.merge, lambda found, counts: (found, counts)
    )
    found, counts = reduce_store(snapshot, reduction, execution, label="figures of images")
    twins = Twins.of(rows, k, parameters.seed, cloud.whitening, counts.good, execution)
    figures = _Figures.of(found, _extremes(twins), excess)
    shown = figures.shown(parameters.listed)
    duplicates = find_duplicates(snapshot, array, found.cells, near, execution)
    variables = {
        **_per_image(figures, snapshot.schema.images),
        **figures.lists(parameters.listed),
        **_duplicate_variables(duplicates),
        **_gaussian_tail(counts.good, cloud.whitening.axes),
    }
    images = found.figures.images[shown]
    variables["shown_image"] = Variable(("shown",), images)
    if snapshot.schema.images > parameters.sample:
        exact = exact_figures(snapshot, array, images, k, execution)
        near_image, distance, density = exact.images[:, 0], exact.distances[:, -1], exact.density
    else:
        at = _positions(sample, images)
        near_image = sample[graph.indices[at, 0]]
        distance, density = (
            figures.values[name][shown].astype(np.float64) for name in ("neighbour_distance", "density")
        )
    variables["shown_nearest_image"] = Variable(("shown",), near_image)
    variables["shown_neighbour_distance"] = Variable(("shown",), distance)
    variables["shown_density"] = Variable(("shown",), density)
    attributes = {
        **count_attributes(counts, snapshot.schema),
        "array": array,
        "nearest": k,
        "sampled": len(sample),
        "search_recall": graph.recall,
        "axes": cloud.whitening.axes,
        "duplicate_distance": near,
        "duplicate_share": near / typical if typical else 0.0,
        "duplicate_groups": int(duplicates.groups.max(initial=-1)) + 1,
        "duplicate_images": len(duplicates.images),
        "duplicates_expected": _finite(by_chance.within(near)),
        "duplicates_searched": duplicates.share,
        "duplicates_not_compared": duplicates.not_compared,
        "dimension": _finite(by_chance.dimension),
    }
    return Result(variables, attributes)


def _graph(parameters: OutliersParameters) -> Request:
    """Return the request of the neighbours within a sample of the images."""
    graph = GraphParameters(
        points=parameters.sample,
        seed=parameters.seed,
        array=parameters.array,
        neighbours=parameters.nearest,
    )
    return Request(NEIGHBOURS, graph)


def _cloud(parameters: OutliersParameters) -> Request:
    """Return the request of the frame of the cloud."""
    return Request(PCA, PcaParameters(array=parameters.array))


def _requires(parameters: OutliersParameters) -> list[Request]:
    return [_cloud(parameters), _graph(parameters)]


LABELS = {  # what each variable is, and its unit
    "radius": ("radius (L2 norm)", "1"),
    "mahalanobis": ("Mahalanobis distance from the mean", "1"),
    "neighbour_distance": ("distance to the k-th nearest image of the sample", "1"),
    "density": ("local density, as a share of that around the nearest images", "1"),
    "score": ("outlier score, above 1 beyond a limit of chance", "1"),
    RECONSTRUCTION: ("reconstruction loss above the floor of the image", "nats, or squares"),
    "list": ("what images are listed by", ""),
    "listed_image": ("row of a listed image, -1 for none", "1"),
    "listed": ("its figure", "1"),
    "expected": ("median of the most extreme figure of as many Gaussian rows", "1"),
    "limit": ("what that is beyond with a probability of 1 %", "1"),
    "beyond": ("images beyond the limit", "1"),
    "shown_image": ("row of an image that is listed", "1"),
    "shown_nearest_image": ("row of the image nearest to it", "1"),
    "shown_neighbour_distance": ("its distance to the k-th nearest of all images", "1"),
    "shown_density": ("its local density among all images", "1"),
    "gaussian_beyond": ("Gaussian rows that are expected beyond a distance", "1"),
    "gaussian_mahalanobis": ("that Mahalanobis distance", "1"),
    "duplicate_image": ("row of an image that has a near-duplicate", "1"),
    "duplicate_group": ("group of near-duplicates, the largest first", "1"),
    "duplicate_distance": ("distance from the first image of the group", "1"),
}

OUTLIERS = Analysis(
    name="outliers",
    version=4,
    parameters=OutliersParameters,
    inputs=StoreAndOrigins,
    requires=_requires,
    compute=find_outliers,
    cost=outliers_cost,
    labels=LABELS,
    rows=("listed_image", "shown_image", "shown_nearest_image", "duplicate_image"),
)


def outliers(
    store: LatentStore,
    model: str | None = None,
    images: str | None = None,
    root: str | None = None,
    *,
    nearest: int = 10,
    sample: int = 10_000,
    seed: int = 0,
    listed: int = 20,
    duplicate: float = 0,
    array: PointsChoice = "auto",
    **options: Unpack[Options],
) -> Dataset:
    """Find images that lie far out or alone, and images that are nearly the same.

    Parameters
    ----------
    store
        The latent store.
    model
        The run folder that wrote it, or its decoder; with it and `images`, each image is made again.
    images
        The images that it is of.
    root
        The folder that a list's paths are relative to.
    nearest
        The k of the distance to the k-th nearest neighbour.
    sample
        Images among which neighbours are looked for; all if there are fewer.
    seed
        Seed of the sample, and of its Gaussian twins.
    listed
        Images in a list.
    duplicate
        Images nearer than this share of the median distance to the k-th neighbour are near-duplicates; 0 for
        the largest share, up to 0.01, at which no more than 0.01 pairs are expected by chance.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    **options
        See `Options`.

    Returns
    -------
    Figures of every image, float32, NaN for one without latents: `radius`, `mahalanobis` (in the frame of
    the whole cloud), `neighbour_distance` (to the k-th nearest of a sample of the images), `density` (the
    mean of that distance of the k nearest, as a share of the own one) and `score` (image): the largest of
    the last three in times of the limit below. Where model and images are named, also
    `reconstruction_excess`: the reconstruction loss above the floor that the grey of the image sets (see
    `ledger`).

    `listed_image` (list, rank), its figure `listed` and the path `listed_image_path`, are the most extreme
    images by each `list`. What as many rows of a Gaussian with the same mean and covariance would have is
    beside them (list): `expected`, the median of the most extreme one, and `limit`, which it is beyond with
    a probability of 1 %; `beyond` counts the images beyond the limit. Both are in closed form for
    `mahalanobis`, and come from the tail of Gaussian twins of the sample for others, where no distance is
    beyond those at the edge of a twin. Those of `reconstruction_excess` are of a log-normal distribution with
    the same median and quartiles. `shown_image` (shown) are all that are listed, with
    `shown_neighbour_distance`, `shown_density` and `shown_nearest_image` among all images, whatever the
    sample.

    `gaussian_beyond` (tail) of as many Gaussian rows are expected beyond `gaussian_mahalanobis` (tail).

    `duplicate_image` (duplicate), with its `duplicate_group` and `duplicate_distance` from the first of the
    group, are the images no farther apart than the attribute `duplicate_distance`, which is `duplicate_share`
    of the median distance to the k-th neighbour; `duplicates_expected` is how many pairs are so near by
    chance, in a smooth cloud of as many dimensions as it has about each of its rows, `dimension` on average.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    UsageError
        If the model or the images are not those of the store, or only one of them is named.
    ParameterError
        If a parameter does not fit, or there is one image only.
    """
    given = {
        "nearest": nearest,
        "sample": sample,
        "seed": seed,
        "listed": listed,
        "duplicate": duplicate,
        "array": array,
    }
    named = {"store": store, "model": model, "images": images, "root": root}
    return call(OUTLIERS, named, given, options)


def _extremes(twins: Twins) -> dict[str, Extreme]:
    found = {
        "score": Extreme(np.nan, 1.0),
        "mahalanobis": mahalanobis_extreme(twins.images, twins.axes),
        **twins.extremes(),
    }
    return {name: found[name] for name in LISTS}


@dataclass(frozen=True)
class _Figures:
    """Figures of the good images, each (image,), by list; and the most extreme Gaussian ones."""

    images: NDArray[np.int64]
    values: dict[str, Floats]
    extremes: dict[str, Extreme]

    @classmethod
    def of(cls, found: Found, extremes: dict[str, Extreme], excess: NDArray[np.float64] | None) -> _Figures:
        figures = found.figures
        values: dict[str, Floats] = {
            "mahalanobis": figures.mahalanobis,
            "neighbour_distance": figures.neighbour_distance,
            "density": figures.density,
            "largest_radius": figures.radius,
            "smallest_radius": figures.radius,
        }
        ratios = [_in_limits(name, values[name], extremes[name].limit) for name in SCORED]
        values["score"] = np.max(ratios, axis=0).astype(np.float32)
        if excess is not None:
            values[RECONSTRUCTION] = excess[figures.images].astype(np.float32)
            extremes = {**extremes, RECONSTRUCTION: excess_extreme(excess)}
        return cls(figures.images, values, extremes)

    def order(self, name: str, count: int) -> NDArray[np.intp]:
        """Return the positions of the most extreme images of a list, the first of equal ones first."""
        values = self.values[name] if name in SMALLEST else -self.values[name]
        values = np.where(np.isnan(values), np.inf, values)
        if count < len(values):
            last = np.partition(values, count - 1)[count - 1]
            among = np.flatnonzero(values <= last)
        else:
            among = np.arange(len(values))
        return among[np.argsort(values[among], kind="stable")][:count]

    def shown(self, count: int) -> NDArray[np.intp]:
        """Return the positions of the images of any list, ascending."""
        return np.unique(np.concatenate([self.order(name, count) for name in self.extremes]))

    def lists(self, count: int) -> dict[str, Variable]:
        count = min(count, len(self.images))
        names = list(self.extremes)
        order = np.stack([self.order(name, count) for name in names])
        values = np.stack(
            [self.values[name][at].astype(np.float64) for name, at in zip(names, order, strict=True)]
        )
        limits = np.array([self.extremes[name].limit for name in names])
        beyond = [
            np.count_nonzero(self.values[n] < limit if n in SMALLEST else self.values[n] > limit)
            for n, limit in zip(names, limits.tolist(), strict=True)
        ]
        return {
            "list": Variable(("list",), np.array(names, object)),
            "listed_image": Variable(("list", "rank"), np.where(np.isnan(values), -1, self.images[order])),
            "listed": Variable(("list", "rank"), values),
            "expected": Variable(("list",), np.array([self.extremes[name].expected for name in names])),
            "limit": Variable(("list",), limits),
            "beyond": Variable(("list",), np.array(beyond, np.int64)),
        }


def _in_limits(name: str, values: Floats, limit: float) -> Floats:
    """Return figures (image,) in times of their limit, 0 where there is none."""
    if not np.isfinite(limit) or limit <= 0:
        return np.zeros(len(values))
    exact = values.astype(np.float64)
    if name not in SMALLEST:
        return exact / limit
    return np.divide(limit, exact, out=np.zeros(len(exact)), where=exact > 0)


def _per_image(figures: _Figures, images: int) -> dict[str, Variable]:
    found = {}
    more = [RECONSTRUCTION] if RECONSTRUCTION in figures.values else []
    for name in ("radius", *SCORED, "score", *more):
        values = np.full(images, np.nan, np.float32)
        values[figures.images] = figures.values["largest_radius" if name == "radius" else name]
        found[name] = Variable(("image",), values)
    return found


def _duplicate_variables(found: Duplicates) -> dict[str, Variable]:
    dims = ("duplicate",)
    return {
        "duplicate_image": Variable(dims, found.images),
        "duplicate_group": Variable(dims, found.groups),
        "duplicate_distance": Variable(dims, found.distances),
    }


def _gaussian_tail(images: int, axes: int) -> dict[str, Variable]:
    """Return how many of so many Gaussian rows are beyond Mahalanobis distances."""
    beyond = np.geomspace(max(images - 1, 1), 0.5, TAIL_POINTS)
    return {
        "gaussian_beyond": Variable(("tail",), beyond),
        "gaussian_mahalanobis": Variable(("tail",), mahalanobis_quantile(images, axes, beyond / images)),
    }


def _positions(sample: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where images (n,) are in a sample that holds them."""
    order = np.argsort(sample)
    return order[np.searchsorted(sample[order], images)]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
