"""Whether what lies between points comes back from a way there and back, as the points themselves do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.coverage import Share, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)  # places on a line; the first and the last are its ends
QUANTILE = 0.95  # of the ends, beyond which a point has not come back
LEAST_MISS = 0.01  # of the usual length: what comes back as near as that has come back
MOST_BY_CHANCE = 2 * (1 - QUANTILE)  # share of inner points up to which nothing is made of it


@dataclass(frozen=True)
class Fragments:
    """What comes back on lines between points.

    Parameters
    ----------
    share
        The share of inner points that miss themselves by more than `threshold`.
    threshold
        The 95 % quantile of what the ends miss themselves by, and at least `LEAST_MISS`.
    at_ends, in_middle
        The median of what points at the ends, and in the middle, miss themselves by.
    """

    share: Share
    threshold: float
    at_ends: float
    in_middle: float

    @property
    def verdict(self) -> str:
        """``"fragments"``, ``"none"`` or ``"undecided"``, as far as the interval allows."""
        if self.share.low > MOST_BY_CHANCE:
            return "fragments"
        return "none" if self.share.high < MOST_BY_CHANCE else "undecided"


def points_between(first: NDArray[np.float32], last: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the points at `GRID` on the lines between points (line, component), (line, place, component).

    Examples
    --------
    >>> ends = np.array([[0, 4]], np.float32), np.array([[4, 0]], np.float32)
    >>> points_between(*ends)[0, :2].tolist()
    [[0.0, 4.0], [1.0, 3.0]]
    """
    places = np.array(GRID)[:, None]
    along = (1 - places) * first[:, None].astype(np.float64) + places * last[:, None]
    return along.astype(np.float32)


def usual_length(points: NDArray[np.float32], weights: Floats) -> float:
    """Return the median length of lines (line, place, component); parameters are those of `misses`."""
    return float(np.median(np.sqrt((points[:, -1].astype(np.float64) - points[:, 0]) ** 2 @ weights)))


def misses(points: NDArray[np.float32], back: NDArray[np.float32], weights: Floats) -> Floats:
    """Return by how much points miss themselves, over the usual length of a line, (line, place).

    One length for all: over its own, the ends of a short line, between neighbours, would seem to miss
    themselves by much, and no other point by more. Infinity where something comes back that is no number.

    Parameters
    ----------
    points
        On lines, (line, place, component), of which most are longer than 0.
    back
        What comes back of them, of the same shape.
    weights
        Of the squared differences along each component, (component,).

    Examples
    --------
    >>> line = points_between(np.zeros((1, 2), np.float32), np.array([[3, 4]], np.float32))
    >>> misses(line, line + np.array([0, 1], np.float32), np.ones(2)).round(3).tolist()
    [[0.2, 0.2, 0.2, 0.2, 0.2]]
    """
    found = np.sqrt((back - points.astype(np.float64)) ** 2 @ weights) / usual_length(points, weights)
    return np.where(np.isfinite(found), found, np.inf)


def fragments(found: Floats) -> Fragments:
    """Return what `misses` (line, place) say of the places between the ends."""
    ends, inner = found[:, [0, -1]], found[:, 1:-1]
    threshold = max(float(np.quantile(ends, QUANTILE, method="higher")), LEAST_MISS)
    middle = inner[:, inner.shape[1] // 2]
    return Fragments(
        clustered_share(inner > threshold), threshold, float(np.median(ends)), float(np.median(middle))
    )


def clustered_share(hits: NDArray[np.bool_]) -> Share:
    """Return the share of hits (cluster, member), and its 95 % interval where members of a cluster are alike.

    Wilson's interval (1927) of p hits among n' = p (1 - p) / v, the effective number of members, where v is
    the variance of p by the shares of the clusters p_k: sum (p_k - p)² / (m (m - 1)). So it is with Korn, E.
    L., Graubard, B. I. (1998), Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data, for another interval; n' is at most the number of members, as there.
    Where all clusters have the same share, which says nothing of how alike members are, it is the number of
    clusters m: as if all members of one were the same.

    Examples
    --------
    >>> alike = clustered_share(np.repeat([[True], [False]], [8, 32], axis=0).repeat(3, axis=1))
    >>> alike.value, round(alike.low, 2), round(alike.high, 2)  # as of 8 among 39, and not of 24 among 120
    (0.2, 0.1, 0.35)
    """
    shares = hits.mean(axis=1)
    clusters, value = len(shares), float(shares.mean())
    variance = float(shares.var(ddof=1)) / clusters if clusters > 1 else 0.0
    effective = min(value * (1 - value) / variance, hits.size) if variance > 0 else clusters
    return wilson(value * effective, effective)
