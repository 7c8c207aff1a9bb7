"""Principal axes of the whole cloud, and the Gaussian that would have its radii."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from latentscan.analyses.cache import Run, kept
from latentscan.analyses.rows import Points, all_rejected, require_points
from latentscan.kernels.covariance import CloudPartial, cloud_partial
from latentscan.kernels.radius_law import radius_cdf, radius_range, squared_radius_std
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.kernels.transport import cumulative, earth_movers_distance
from latentscan.scan.reduce import reduce_store
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.kernels.adaptive import AdaptiveHistogram
    from latentscan.kernels.covariance import Covariance
    from latentscan.store.reader import LatentStore

    Floats = NDArray[np.float64]

VERSION = 1  # to be raised when the numbers or their names change, so that older results are not read
SHARES = (0.9, 0.95, 0.99)
MOST_BINS = 250  # of the radii
SHOWN_TAIL = 4.0  # largest standard deviations to either side of a law that they reach over


class PcaParameters(BaseModel):
    """Whose principal axes `pca` finds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    array: Points = Field(default="z", description="z or mu")


class Spectrum(NamedTuple):
    """Variances along the principal axes (axis,), descending, and the axes (axis, component)."""

    eigenvalues: Floats
    axes: Floats


def pca(
    store: LatentStore,
    parameters: PcaParameters | None = None,
    run: Run | None = None,
    digests: NDArray[np.uint8] | None = None,
) -> Result:
    """Find the principal axes of the cloud of points, and which Gaussian has its radii.

    Parameters
    ----------
    digests
        The commit record (block, array, 32) of the blocks to look at; read anew if None.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If the store lacks the array, or the result cannot be kept where it should be.
    """
    parameters, run = parameters or PcaParameters(), run or Run()
    require_points(store, parameters.array)
    compute = partial(_compute, store, array=parameters.array, run=run)
    return kept("pca", VERSION, store, parameters, run, compute, digests=digests)


def _compute(store: LatentStore, digests: NDArray[np.uint8], array: Points, run: Run) -> Result:
    def chunk(block: LatentBlock) -> CloudPartial:
        return cloud_partial(block.latents[array], block.rejected)

    reduction: Reduction[CloudPartial, Result] = Reduction(
        arrays=(array,),
        chunk=chunk,
        combine=CloudPartial.merge,
        finalize=partial(_result, store=store, array=array),
    )
    return reduce_store(store, reduction, digests, label="pca", executor=run.executor, progress=run.progress)


def _result(found: CloudPartial, store: LatentStore, array: Points) -> Result:
    count, rejected = found.covariance.count, found.rejected
    if not count:
        raise all_rejected(store, rejected)
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
        "images": count + rejected,
        "unwritten": store.schema.images - count - rejected,
        "rejected": rejected,
        "components": len(mean),
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
    distances = np.array([earth_movers_distance(edges, measured, edges, law) for law in below])
    return {
        "law": Variable(("law",), np.array(list(laws))),
        "radius_edge": Variable(("edge",), edges),
        "radius_histogram": Variable(("bin",), counts),
        "radius_law": Variable(("law", "bin"), shares),
        "law_radius_mean": Variable(("law",), means),
        "law_radius_std": Variable(("law",), stds),
        "law_square_std": Variable(("law",), np.array([squared_radius_std(*law) for law in laws.values()])),
        "radius_emd": Variable(("law",), distances),
    }


def coarsened(
    histogram: AdaptiveHistogram, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Join the bins of a histogram of one column until few of them reach over its values and [low, high].

    Gives their edges (bins + 1,) and counts (bins,).
    """
    held = np.flatnonzero(histogram.counts[0])
    starts = histogram.edges[0, :-1]
    width = float(np.ldexp(1.0, int(histogram.exponents[0])))
    low, high = min(low, float(starts[held[0]])), max(high, float(starts[held[-1]]) + width)
    while high / width - low / width > MOST_BINS - 2:
        width *= 2
    first = np.floor(low / width)
    bins = int(np.ceil(high / width) - first)
    places = (np.floor(starts[held] / width) - first).astype(np.int64)
    counts = np.bincount(places, histogram.counts[0, held], minlength=bins).astype(np.int64)
    return (first + np.arange(bins + 1.0)) * width, counts
