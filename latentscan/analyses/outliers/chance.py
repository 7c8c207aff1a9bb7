"""What chance explains: the outliers of a Gaussian cloud of the same covariance, and near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.neighbours.graph import graph_of
from latentscan.kernels.far_out import largest_expected, local_density
from latentscan.kernels.gaussian_twin import gaussian_twin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.neighbours.graph import NeighbourGraph
    from latentscan.execution.context import Execution

    Floats = NDArray[np.float64]

CHANCE = 0.01  # that any image of a Gaussian cloud is beyond a limit


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


@dataclass(frozen=True)
class Twin:
    """Figures of Gaussian rows with the mean and the covariance of a sample, each (row,)."""

    radius: Floats
    neighbour_distance: Floats
    density: Floats

    @classmethod
    def of(cls, rows: NDArray[np.float32], k: int, seed: int, execution: Execution) -> Twin:
        """Make the twin of a sample (n, component), and find the k nearest neighbours of its rows."""
        twin = gaussian_twin(rows, np.random.default_rng(seed))
        graph = graph_of(twin, k, seed, execution)
        last = graph.distances[:, -1].astype(np.float64)
        radius = np.linalg.norm(twin.astype(np.float64), axis=1)
        return cls(radius, last, local_density(last, last[graph.indices]))

    def extremes(self, images: int) -> dict[str, Extreme]:
        """Return the most extreme figures of so many Gaussian rows, by name."""

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

        return {
            "neighbour_distance": in_orders(self.neighbour_distance, 1),
            "density": in_orders(self.density, -1),
            "largest_radius": largest(self.radius),
            "smallest_radius": in_orders(self.radius, -1),
        }


def dimension(graph: NeighbourGraph, near: float) -> float:
    """Estimate how many dimensions the cloud has about its rows; NaN where no row has two distances.

    Levina, E., Bickel, P. J. (2004), Maximum likelihood estimation of intrinsic dimension, as the mean of
    the inverses, after MacKay, D. J. C., Ghahramani, Z. (2005).

    Parameters
    ----------
    graph
        The k nearest neighbours of each row.
    near
        Neighbours as near as this are left out.
    """
    last = graph.distances[:, -1:].astype(np.float64)
    others = graph.distances[:, :-1].astype(np.float64)
    counted = (others > near) & (last > near)
    if not counted.any():
        return float("nan")
    ratios = np.log(np.divide(last, others, out=np.ones_like(others), where=counted))
    mean = ratios.sum() / counted.sum()
    return float(1 / mean) if mean > 0 else float("nan")


def expected_pairs(graph: NeighbourGraph, images: int, near: float, dimensions: float) -> float:
    """Return how many pairs of images are nearer than `near` by chance, where the cloud is smooth.

    Within the distance r of its k-th neighbour, a row has (near / r)^dimensions as many neighbours.
    """
    rows, k = graph.distances.shape
    last = graph.distances[:, -1].astype(np.float64)
    if not np.isfinite(dimensions) or rows < 2:
        return float("nan")
    shares = np.divide(near, last, out=np.ones(rows), where=last > near) ** dimensions
    return float(images * (images - 1) / 2 * k / (rows - 1) * shares.mean())
