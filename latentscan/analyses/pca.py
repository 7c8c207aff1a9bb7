"""Principal axes of the whole cloud, and the Gaussian that would have its radii."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from latentscan.analyses.analysis import Analysis, PointsParameters, count_attributes
from latentscan.analyses.functions import call
from latentscan.kernels.collapse import participation_ratio
from latentscan.kernels.covariance import GroupedCloud, grouped_cloud, without
from latentscan.kernels.histogram import even_edges
from latentscan.kernels.intervals import GROUPS, jackknife_error
from latentscan.kernels.radius_law import radius_cdf, radius_range, squared_radius_std
from latentscan.kernels.reduction import Footprint, LatentBlock, Reduction
from latentscan.kernels.transport import wasserstein_distance
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.functions import Options
    from latentscan.kernels.covariance import CloudPartial, Covariance
    from latentscan.kernels.histogram import RelativeHistogram
    from latentscan.kernels.reduction import Counts
    from latentscan.scan.rows import Points, PointsChoice
    from latentscan.scan.snapshot import StoreFacts
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

    Floats = NDArray[np.float64]

SHARES = (0.9, 0.95, 0.99)
MOST_BINS = 250  # of the radii
RUNS = 4  # of images that follow one another, in a group that is left out for a standard error
LONGEST_RUN = 4096
OUTERMOST = 5e-4  # share of the radii at either end that need not lie in the bins of the others
SHOWN_TAIL = 4.0  # largest standard deviations to either side of a law that they reach over


class PcaParameters(PointsParameters):
    """Whose principal axes `pca` finds."""


class Spectrum(NamedTuple):
    """Variances along the principal axes (axis,), descending, and the axes (axis, component)."""

    eigenvalues: Floats
    axes: Floats


def pca_reduction(store: StoreFacts, parameters: PcaParameters) -> Reduction[GroupedCloud, Result]:
    """Return the covariance and the radii of the points as a reduction."""
    points, components = parameters.points_of(store.schema), store.schema.components
    run = int(np.clip(store.schema.images // (RUNS * GROUPS), 1, LONGEST_RUN))

    def chunk(block: LatentBlock) -> GroupedCloud:
        return grouped_cloud(block.latents[points], block.images, run)

    return Reduction(
        arrays=(points,),
        chunk=chunk,
        combine=GroupedCloud.merge,
        finalize=partial(_result, schema=store.schema, array=points),
        footprint=Footprint(partial_bytes=int(1.4 * GROUPS * components**2 * 8)),  # and what is made of it
    )


LABELS = {  # what each variable is, and its unit
    "mean": ("mean over the images", "1"),
    "eigenvalue": ("variance along a principal axis", "1"),
    "axes": ("principal axis", "1"),
    "explained": ("share of the variance along the first axes", "1"),
    "law": ("Gaussian whose radii are predicted", ""),
    "radius_edge": ("edges of the bins of radii", "1"),
    "radius_histogram": ("images by radius", "1"),
    "radius_law": ("predicted share of the images by radius", "1"),
    "law_radius_mean": ("predicted mean of the radii", "1"),
    "law_radius_std": ("predicted standard deviation of the radii", "1"),
    "wasserstein_error": ("standard error of that distance", "1"),
    "law_square_std": ("predicted standard deviation of the squared radii", "1"),
    "wasserstein_distance": ("Wasserstein-1 distance of the radii from the prediction", "1"),
}

PCA = Analysis(
    name="pca",
    version=2,
    parameters=PcaParameters,
    reduction=pca_reduction,
    labels=LABELS,
)


def pca(store: LatentStore, *, array: PointsChoice = "auto", **options: Unpack[Options]) -> Dataset:
    """Find the principal axes of the cloud of points, and which Gaussian has its radii.

    Parameters
    ----------
    store
        The latent store.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    **options
        See `Options`.

    Returns
    -------
    `eigenvalue` (axis), the variances along the principal axes, descending; `axes` (axis, component), each
    with its largest entry positive; `mean` (component); `explained` (axis), the share of the variance that
    the first axes hold. Of the radii, `radius_histogram` (bin) with `radius_edge` (edge), and beside it
    `radius_law` (law, bin), what Gaussians with the full covariance, its diagonal, and one variance have;
    `wasserstein_distance` (law) is the Wasserstein-1 distance from each. Radii say little of the shape of a
    cloud with many components: clusters and filaments have those of a Gaussian, too.

    Standard errors, `wasserstein_error` and the attribute `participation_ratio_error`, are from leaving out
    one of ten groups of rows after another (jackknife); each group is made of runs of rows that follow one
    another. A Gaussian without the group has the mean and variance of its squared radii in closed form; the
    rest of its distribution is taken to be that of the whole. Eigenvalues below the attribute
    `eigenvalue_floor` are rounding.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If the store lacks the array.
    """
    return call(PCA, {"store": store}, {"array": array}, options)


def _result(grouped: GroupedCloud, counts: Counts, *, schema: Schema, array: Points) -> Result:
    found, parts = grouped.whole, grouped.parts
    mean = found.covariance.mean
    spectrum = _spectrum(found.covariance)
    total = float(spectrum.eigenvalues.sum())
    explained = np.minimum(np.cumsum(spectrum.eigenvalues) / (total or 1.0), 1.0)
    floor = len(mean) * float(np.finfo(np.float64).eps * spectrum.eigenvalues[0])
    variables = {
        "mean": Variable(("component",), mean),
        "eigenvalue": Variable(("axis",), spectrum.eigenvalues),
        "axes": Variable(("axis", "component"), spectrum.axes),
        "explained": Variable(("axis",), explained),
    }
    others = [] if len(parts) < 2 else [without(found.covariance, part.covariance) for part in parts]
    radius_mean, square_mean = found.lengths.mean.tolist()
    radius_std, square_std = np.sqrt(found.lengths.variance).tolist()
    attributes: dict[str, Any] = {
        "array": array,
        **count_attributes(counts, schema),
        "mean_distance": float(np.linalg.norm(mean)),
        "total_variance": total,
        "participation_ratio": participation_ratio(found.covariance.matrix),
        "participation_ratio_error": _error([participation_ratio(other.matrix) for other in others]),
        "eigenvalue_floor": floor,
        "shares": list(SHARES),
        "axes_for_shares": [_axes_for(share, explained) if total else 0 for share in SHARES],
        "radius_mean": radius_mean,
        "radius_std": radius_std,
        "square_mean": square_mean,
        "square_std": square_std,
    }
    return Result(variables | _law_variables(found, spectrum, parts, others), attributes)


def _error(values: Sequence[float]) -> float | None:
    """Return the standard error of a figure from those without each group; None where there are no groups."""
    return float(jackknife_error(np.array(values)[:, np.newaxis])[0]) if values else None


def _spectrum(covariance: Covariance) -> Spectrum:
    """Find the principal axes, each with its largest entry positive."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # else the last bits depend on the number of processors
        eigenvalues, vectors = np.linalg.eigh(covariance.matrix)
    axes = vectors[:, ::-1].T
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return Spectrum(np.maximum(eigenvalues[::-1], 0.0), axes * np.sign(largest))


def _axes_for(share: float, explained: Floats) -> int:
    """Count the first axes that explain a share of the variance."""
    return min(int(np.searchsorted(explained, share)) + 1, len(explained))


def _law_variables(
    found: CloudPartial, spectrum: Spectrum, parts: Sequence[CloudPartial], others: Sequence[Covariance]
) -> dict[str, Variable]:
    """Predict the radii of Gaussians that know more or less of the cloud."""
    mean, eigenvalues = found.covariance.mean, spectrum.eigenvalues
    variances = np.maximum(found.covariance.matrix.diagonal(), 0.0)
    laws = {
        "full": (eigenvalues, spectrum.axes @ mean),
        "diagonal": (variances, mean),
        "isotropic": (np.full_like(mean, variances.mean()), mean),
    }
    ranges = np.array([radius_range(*law, tail=SHOWN_TAIL) for law in laws.values()])
    edges = bin_edges(found.radii, ranges[:, 0].min(), ranges[:, 1].max())
    below = np.array([radius_cdf(edges, *law) for law in laws.values()])
    below[:, 0], below[:, -1] = 0.0, 1.0
    shares = np.diff(below)
    centres = (edges[1:] + edges[:-1]) / 2
    means = shares @ centres
    stds = np.sqrt(np.maximum(np.sum(shares * (centres - means[:, None]) ** 2, axis=1), 0.0))
    distances = [wasserstein_distance(*found.radii.curve, edges, law) for law in below]
    squares = _square_moments(found.covariance)
    moved = [
        [_moved(edges, *pair) for pair in zip(squares, _square_moments(other), strict=True)]
        for other in others
    ]
    apart = [
        [
            wasserstein_distance(*found.radii.without(part.radii).curve, its_edges, law)
            for its_edges, law in zip(all_edges, below, strict=True)
        ]
        for part, all_edges in zip(parts, moved, strict=False)
    ]
    errors = jackknife_error(np.array(apart)) if apart else np.full(len(laws), np.nan)
    return {
        "law": Variable(("law",), np.array(list(laws))),
        "radius_edge": Variable(("edge",), edges),
        "radius_histogram": Variable(("bin",), found.radii.counts_in(edges)[1:-1]),
        "radius_law": Variable(("law", "bin"), shares),
        "law_radius_mean": Variable(("law",), means),
        "law_radius_std": Variable(("law",), stds),
        "law_square_std": Variable(("law",), np.array([squared_radius_std(*law) for law in laws.values()])),
        "wasserstein_distance": Variable(("law",), np.array(distances)),
        "wasserstein_error": Variable(("law",), errors),
    }


def _square_moments(covariance: Covariance) -> list[tuple[float, float]]:
    """Return mean and standard deviation of the squared radii of each law: full, diagonal, isotropic."""
    mean, matrix = covariance.mean, covariance.matrix
    variances = np.maximum(matrix.diagonal(), 0.0)
    even = np.full_like(mean, variances.mean())
    full = float(np.sqrt(2 * np.sum(matrix**2) + 4 * max(float(mean @ matrix @ mean), 0.0)))
    middle = float(variances.sum() + mean @ mean)
    return [
        (middle, full),
        (middle, squared_radius_std(variances, mean)),
        (middle, squared_radius_std(even, mean)),
    ]


def _moved(edges: Floats, whole: tuple[float, float], other: tuple[float, float]) -> Floats:
    """Move radii so that the mean and the standard deviation of their squares become others."""
    (mean, std), (other_mean, other_std) = whole, other
    scale = other_std / std if std else 1.0
    return np.sqrt(np.maximum(other_mean + (edges**2 - mean) * scale, 0.0))


def bin_edges(radii: RelativeHistogram, low: float, high: float) -> Floats:
    """Choose bins for radii and what is predicted of them in [low, high]: even ones, and one at either end.

    The first and the last bin hold those radii that lie so far out that even bins over all would be wide.

    Parameters
    ----------
    radii
        The radii.
    low, high
        What the even bins reach over at least.
    """
    inner_low, inner_high = radii.quantile(np.array([OUTERMOST, 1 - OUTERMOST]))
    edges = even_edges(min(low, inner_low), max(high, inner_high), MOST_BINS)
    first, last = radii.ends
    before = [first] if first < edges[0] else []
    return np.concatenate([before, edges, [last] if last > edges[-1] else []])
