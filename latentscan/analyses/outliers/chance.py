"""What chance explains: the outliers of a Gaussian cloud of the same covariance, and near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.neighbours.graph import graph_of
from latentscan.kernels.far_out import largest_expected, local_density
from latentscan.kernels.gaussian_twin import gaussian_twin
from latentscan.kernels.nearest import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.neighbours.graph import NeighbourGraph
    from latentscan.execution.context import Execution
    from latentscan.kernels.far_out import Whitening

    Floats = NDArray[np.float64]

CHANCE = 0.01  # that any image of a Gaussian cloud is beyond a limit
EDGE_ROWS = 500  # that show how far apart rows are where a Gaussian cloud ends
TWIN_ROWS = 4_000  # Gaussian rows, whose tails say what the most extreme of all is, at least
MOST_TWINS = 8  # of one sample


@dataclass(frozen=True)
class Extreme:
    """The most extreme of as many Gaussian rows as there are images.

    Parameters
    ----------
    expected
        Its median.
    limit
        What it is beyond with a probability of 1 %.
    """

    expected: float
    limit: float


_NO = Extreme(0.0, 0.0)


def mahalanobis_quantile(images: int, axes: int, shares: Floats) -> Floats:
    """Return the Mahalanobis distances that shares of Gaussian rows lie beyond, (share,).

    Their mean and covariance are their own: a square is (n − 1) times a beta variable of axes / 2 and
    (n − axes − 1) / 2. Gnanadesikan, R., Kettenring, J. R. (1972), Robust estimates, residuals, and outlier
    detection with multiresponse data.

    Parameters
    ----------
    images
        How many rows; all is NaN where there are not more than axes and one.
    axes
        Of the cloud.
    shares
        Between 0 and 1, (share,).
    """
    from scipy.special import betainccinv

    if images <= axes + 1 or not axes:
        return np.full(len(shares), np.nan)
    squares = (images - 1) * betainccinv(axes / 2, (images - axes - 1) / 2, shares)
    return np.asarray(np.sqrt(squares))


def mahalanobis_extreme(images: int, axes: int) -> Extreme:
    """Return the largest Mahalanobis distance of so many Gaussian rows.

    Examples
    --------
    >>> found = mahalanobis_extreme(10_000, 2)
    >>> round(found.expected, 2), round(found.limit, 2)
    (4.37, 5.25)
    """
    levels = -np.expm1(np.log1p(-np.array([0.5, CHANCE])) / images)
    return Extreme(*mahalanobis_quantile(images, axes, levels).tolist())


def twins_of(rows: int) -> int:
    """Return how many Gaussian twins a sample of so many rows is put beside.

    Examples
    --------
    >>> [twins_of(rows) for rows in (10, 600, 10_000)]
    [8, 7, 1]
    """
    return min(MOST_TWINS, -(-TWIN_ROWS // max(rows, 1)))


@dataclass(frozen=True)
class Twins:
    """Figures of Gaussian rows with the mean and the covariance of a sample, in one set or several.

    Parameters
    ----------
    radius, neighbour_distance, density
        Of each, (row,).
    edge
        The largest `neighbour_distance` of rows as far out as the farthest of all is expected to be, and as
        it is with a probability of 1 %.
    images, axes
        How many rows there are in all, and axes of the cloud.
    """

    radius: Floats
    neighbour_distance: Floats
    density: Floats
    edge: Extreme
    images: int
    axes: int

    @classmethod
    def of(
        cls,
        rows: NDArray[np.float32],
        k: int,
        seed: int,
        whitening: Whitening,
        images: int,
        execution: Execution,
    ) -> Twins:
        """Make twins of a sample (n, component), and find the k nearest neighbours of their rows.

        The tail of one twin of few rows is too short to tell how far the most extreme one reaches: of 600
        Gaussian rows with 12 components, the logarithm of the limit of the density is −1.14 ± 0.23 from one
        twin (standard deviation over seeds), and −1.01 ± 0.07 from seven.
        """
        count = twins_of(len(rows))
        twins = [gaussian_twin(rows, np.random.default_rng([seed, number])) for number in range(count)]
        radii, distances, densities = [], [], []
        for twin in twins:
            graph = graph_of(twin, k, seed, execution)
            last = graph.distances[:, -1].astype(np.float64)
            radii.append(np.linalg.norm(twin.astype(np.float64), axis=1))
            distances.append(last)
            densities.append(local_density(last, last[graph.indices]))
        farthest = mahalanobis_extreme(images, whitening.axes)
        edge = Extreme(*(_edge(twins[0], k, whitening, far) for far in (farthest.expected, farthest.limit)))
        return cls(
            np.concatenate(radii),
            np.concatenate(distances),
            np.concatenate(densities),
            edge,
            images,
            whitening.axes,
        )

    def extremes(self) -> dict[str, Extreme]:
        """Return the most extreme figures of so many Gaussian rows, by name.

        In few dimensions, distances to neighbours grow so fast towards the edge that their tail, continued,
        lies beyond what the farthest row has: there that is the limit of the distance. On a line, gaps at the
        ends are so wide by chance that no density is too small.
        """
        images = self.images

        def among(values: Floats) -> tuple[float, float]:
            expected, limit = (largest_expected(values, images, chance) for chance in (0.5, CHANCE))
            return expected, limit

        def largest(values: Floats) -> Extreme:  # whose squares fall off exponentially
            return Extreme(*np.sqrt(among(values**2)).tolist())

        def in_orders(values: Floats, sign: int) -> Extreme:  # whose logarithms do, at most
            held = values[values > 0]
            return (
                Extreme(*np.exp(sign * np.array(among(sign * np.log(held)))).tolist()) if len(held) else _NO
            )

        apart = in_orders(self.neighbour_distance, 1)
        return {
            "neighbour_distance": Extreme(
                min(apart.expected, self.edge.expected), min(apart.limit, self.edge.limit)
            ),
            "density": in_orders(self.density, -1) if self.axes > 1 else _NO,
            "largest_radius": largest(self.radius),
            "smallest_radius": in_orders(self.radius, -1),
        }


def _edge(twin: NDArray[np.float32], k: int, whitening: Whitening, far: float) -> float:
    """Return the largest distance to the k-th neighbour of rows so far out in a Gaussian cloud.

    Parameters
    ----------
    twin
        Its rows, (n, component).
    k
        How many neighbours count.
    whitening
        The frame of the cloud.
    far
        The Mahalanobis distance; nothing is known where it is NaN.
    """
    distances = whitening.distances(twin[:EDGE_ROWS])
    if not np.isfinite(far) or not (distances > 0).all():
        return np.inf
    stretched = (twin[:EDGE_ROWS] - whitening.mean) * (far / distances)[:, np.newaxis]
    _, squares = nearest(twin, (whitening.mean + stretched).astype(np.float32), k)
    return float(np.sqrt(squares[:, -1].max()))


@dataclass(frozen=True)
class NearPairs:
    """How many pairs of images are near to one another by chance, where the cloud is smooth.

    A row has (near / r)^d as many neighbours within `near` as within the distance r of its k-th, where the
    cloud about it has d dimensions.

    Parameters
    ----------
    dimension
        Of the cloud about its rows; NaN where no row has two distances.
    ratios, counts
        About each row and its neighbours, the sum of the logarithms of r over the distances to neighbours,
        each of which is 1 / d on average, and how many these are, (row,).
    last
        The distance r of each row's k-th neighbour, (row,).
    pairs
        What the mean share of the k neighbours of a row is multiplied with, for all images.
    """

    dimension: float
    ratios: Floats
    counts: NDArray[np.int64]
    last: Floats
    pairs: float

    @classmethod
    def of(cls, graph: NeighbourGraph, images: int, repeated: float) -> NearPairs:
        """Estimate the dimensions about every row.

        Levina, E., Bickel, P. J. (2004), Maximum likelihood estimation of intrinsic dimension, as the mean
        of the inverses, after MacKay, D. J. C., Ghahramani, Z. (2005). About a row, it is the mean over the
        row and its k neighbours: a part of the cloud with few dimensions has near pairs by chance that the
        mean over the whole cloud would not expect.

        Parameters
        ----------
        graph
            The k nearest neighbours of each row of a sample.
        images
            How many images there are.
        repeated
            Neighbours as near as this are left out: they may be repeats.
        """
        rows, k = graph.distances.shape
        last = graph.distances[:, -1].astype(np.float64)
        others = graph.distances[:, :-1].astype(np.float64)
        counted = (others > repeated) & (last > repeated)[:, np.newaxis]
        ratios = np.log(np.divide(last[:, np.newaxis], others, out=np.ones_like(others), where=counted))
        sums, counts = ratios.sum(axis=1), counted.sum(axis=1)
        fair = max(k - 1, 1)  # since the mean of 1 / r^d is above 1 over that of r^d
        pairs = images * (images - 1) / 2 * fair / (rows - 1) if rows > 1 else np.nan
        dimension = float(counts.sum() / sums.sum()) if sums.any() else float("nan")
        return cls(
            dimension,
            sums + sums[graph.indices].sum(axis=1),
            counts + counts[graph.indices].sum(axis=1),
            last,
            pairs,
        )

    def within(self, near: float) -> float:
        """Return how many pairs are nearer than `near` by chance; NaN where nothing says so.

        Rows that have k neighbours so near are not of a smooth cloud, and left out. Of n ratios with the sum
        S, (1 − ln(r / near) / S)^(n − 1) is on average the very share; with n / S for d it would be larger.
        """
        if not np.isfinite(self.dimension) or not np.isfinite(self.pairs):
            return float("nan")
        held = (self.last > near) & (self.counts > 1) & (self.ratios > 0)
        left = 1 - np.log(self.last[held] / near) / self.ratios[held]
        shares = np.maximum(left, 0.0) ** (self.counts[held] - 1)
        return float(self.pairs * shares.sum() / len(self.last))

    def distance(self, most: float, expected: float = CHANCE) -> float:
        """Return the largest distance up to `most` within which no more pairs are expected.

        Where nothing is known of the dimensions, that is a tenth of `most`.
        """
        if np.isnan(self.within(most)):
            return most / 10
        low, high = np.log(most) - 60, np.log(most)
        if self.within(most) <= expected:
            return most
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.within(np.exp(middle)) <= expected else (low, middle)
        return float(np.exp(low))
