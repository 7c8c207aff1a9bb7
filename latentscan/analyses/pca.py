"""Principal axes of the whole cloud, and the Gaussian that would have its radii."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from latentscan.analyses.analysis import Analysis, PointsParameters, count_attributes
from latentscan.analyses.functions import call
from latentscan.kernels.covariance import CloudPartial, cloud_partial
from latentscan.kernels.radius_law import radius_cdf, radius_range, squared_radius_std
from latentscan.kernels.reduction import Footprint, LatentBlock, Reduction
from latentscan.kernels.transport import cumulative, wasserstein_distance
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.functions import Options
    from latentscan.kernels.adaptive import AdaptiveHistogram
    from latentscan.kernels.covariance import Covariance
    from latentscan.kernels.reduction import Counts
    from latentscan.scan.rows import Points, PointsChoice
    from latentscan.scan.snapshot import StoreFacts
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

    Floats = NDArray[np.float64]

SHARES = (0.9, 0.95, 0.99)
MOST_BINS = 250  # of the radii
SHOWN_TAIL = 4.0  # largest standard deviations to either side of a law that they reach over


class PcaParameters(PointsParameters):
    """Whose principal axes `pca` finds."""


class Spectrum(NamedTuple):
    """Variances along the principal axes (axis,), descending, and the axes (axis, component)."""

    eigenvalues: Floats
    axes: Floats


def pca_reduction(store: StoreFacts, parameters: PcaParameters) -> Reduction[CloudPartial, Result]:
    """Return the covariance and the radii of the points as a reduction."""
    points = parameters.points_of(store.schema)

    def chunk(block: LatentBlock) -> CloudPartial:
        return cloud_partial(block.latents[points])

    return Reduction(
        arrays=(points,),
        chunk=chunk,
        combine=CloudPartial.merge,
        finalize=partial(_result, schema=store.schema, array=points),
        footprint=Footprint(partial_bytes=store.schema.components**2 * 8),
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
    `wasserstein_distance` (law) is the Wasserstein-1 distance from each.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If the store lacks the array.
    """
    return call(PCA, {"store": store}, {"array": array}, options)


def _result(found: CloudPartial, counts: Counts, *, schema: Schema, array: Points) -> Result:
    mean = found.covariance.mean
    spectrum = _spectrum(found.covariance)
    total = float(spectrum.eigenvalues.sum())
    explained = np.minimum(np.cumsum(spectrum.eigenvalues) / (total or 1.0), 1.0)
    variables = {
        "mean": Variable(("component",), mean),
        "eigenvalue": Variable(("axis",), spectrum.eigenvalues),
        "axes": Variable(("axis", "component"), spectrum.axes),
        "explained": Variable(("axis",), explained),
    }
    radius_mean, square_mean = found.lengths.mean.tolist()
    radius_std, square_std = np.sqrt(found.lengths.variance).tolist()
    attributes: dict[str, Any] = {
        "array": array,
        **count_attributes(counts, schema),
        "mean_distance": float(np.linalg.norm(mean)),
        "total_variance": total,
        "participation_ratio": _participation_ratio(spectrum.eigenvalues),
        "shares": list(SHARES),
        "axes_for_shares": [_axes_for(share, explained) if total else 0 for share in SHARES],
        "radius_mean": radius_mean,
        "radius_std": radius_std,
        "square_mean": square_mean,
        "square_std": square_std,
    }
    return Result(variables | _law_variables(found, spectrum), attributes)


def _spectrum(covariance: Covariance) -> Spectrum:
    """Find the principal axes, each with its largest entry positive."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # else the last bits depend on the number of processors
        eigenvalues, vectors = np.linalg.eigh(covariance.matrix)
    axes = vectors[:, ::-1].T
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return Spectrum(np.maximum(eigenvalues[::-1], 0.0), axes * np.sign(largest))


def _participation_ratio(eigenvalues: Floats) -> float:
    """Count the axes that take part, (Σλ)² / Σλ²; 0 where nothing varies."""
    squares = float(np.sum(eigenvalues**2))
    return float(eigenvalues.sum() ** 2 / squares) if squares else 0.0


def _axes_for(share: float, explained: Floats) -> int:
    """Count the first axes that explain a share of the variance."""
    return min(int(np.searchsorted(explained, share)) + 1, len(explained))


def _law_variables(found: CloudPartial, spectrum: Spectrum) -> dict[str, Variable]:
    """Predict the radii of Gaussians that know more or less of the cloud."""
    mean, eigenvalues = found.covariance.mean, spectrum.eigenvalues
    variances = np.maximum(found.covariance.matrix.diagonal(), 0.0)
    laws = {
        "full": (eigenvalues, spectrum.axes @ mean),
        "diagonal": (variances, mean),
        "isotropic": (np.full_like(mean, variances.mean()), mean),
    }
    ranges = np.array([radius_range(*law, tail=SHOWN_TAIL) for law in laws.values()])
    edges, counts = coarsened(found.histogram, ranges[:, 0].min(), ranges[:, 1].max())
    below = np.array([radius_cdf(edges, *law) for law in laws.values()])
    below[:, 0], below[:, -1] = 0.0, 1.0
    shares = np.diff(below)
    centres = (edges[1:] + edges[:-1]) / 2
    means = shares @ centres
    stds = np.sqrt(np.maximum(np.sum(shares * (centres - means[:, None]) ** 2, axis=1), 0.0))
    measured = cumulative(counts)
    distances = np.array([wasserstein_distance(edges, measured, edges, law) for law in below])
    return {
        "law": Variable(("law",), np.array(list(laws))),
        "radius_edge": Variable(("edge",), edges),
        "radius_histogram": Variable(("bin",), counts),
        "radius_law": Variable(("law", "bin"), shares),
        "law_radius_mean": Variable(("law",), means),
        "law_radius_std": Variable(("law",), stds),
        "law_square_std": Variable(("law",), np.array([squared_radius_std(*law) for law in laws.values()])),
        "wasserstein_distance": Variable(("law",), distances),
    }


def coarsened(
    histogram: AdaptiveHistogram, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Join the bins of a histogram of one column until few of them reach over its values and [low, high].

    Parameters
    ----------
    histogram
        The histogram.
    low, high
        What the bins reach over at least.

    Returns
    -------
    Their edges (bins + 1,) and counts (bins,).
    """
    held = np.flatnonzero(histogram.counts[0])
    starts = histogram.edges[0, :-1]
    width = float(np.ldexp(1.0, int(histogram.exponents[0])))
    low, high = min(low, float(starts[held[0]])), max(high, float(starts[held[-1]]) + width)
    while high / width - low / width > MOST_BINS - 2:
        width *= 2
    first = np.floor(low / width)
    bins = int(np.ceil(high / width) - first)
    bin_of = (np.floor(starts[held] / width) - first).astype(np.int64)
    counts = np.bincount(bin_of, histogram.counts[0, held], minlength=bins).astype(np.int64)
    return (first + np.arange(bins + 1.0)) * width, counts
