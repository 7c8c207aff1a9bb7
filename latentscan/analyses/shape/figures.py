"""The figures of a sample of a cloud, of its Gaussian twins, and of twins that also have its tails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.far_out import largest_expected
from latentscan.kernels.gaussian_core import Cut, core_squares
from latentscan.kernels.gaussian_twin import gaussian_twin
from latentscan.kernels.intervals import GROUPS, jackknife_error
from latentscan.kernels.ranks import estimate
from latentscan.kernels.shape import (
    Principal,
    axis_distances,
    gride,
    nearest_squares,
    own_neighbour_shares,
    squares_to,
    tail_ratio,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.float32]

EFFECTS = ("tails", "axis", "neighbours", "dimension")
SCALES = (1, 2, 4, 8, 16, 32, 64)  # n1: distances to the n1-th and to the 2 n1-th neighbour
CUTS = (0.25, 0.5, 0.75, 0.9)
CORE = 0.9  # share of a Gaussian that the core's covariance is of
ROWS_OF_CORE = 5  # rows for each axis, below which a core cannot be told from chance
ROUNDING = 1e-6  # of an effect, where nothing but the covariance decides it
RISK = 0.05  # that any effect of a Gaussian cloud lies outside


@dataclass(frozen=True)
class Measured:
    """A set of rows with its figures.

    Parameters
    ----------
    rows
        (row, component), near the origin.
    nearest
        Squared distances to the nearest other rows, ascending, (row, neighbour).
    figures
        Its figures.
    """

    rows: Rows
    nearest: Floats
    figures: Figures

    @classmethod
    def of(cls, rows: Rows, k: int) -> Measured:
        """Measure rows; k of their nearest are needed at least."""
        squares = squares_to(rows, rows)
        np.fill_diagonal(squares, np.inf)
        most = max(k, *(2 * scale for scale in _scales(len(rows))))
        nearest = nearest_squares(squares, most)
        return cls(rows, nearest, figures_of(rows, nearest))


@dataclass(frozen=True)
class Figures:
    """Figures of one set of rows.

    Parameters
    ----------
    tails
        Mardia's kurtosis over a Gaussian's, and its standard error.
    axes
        Wasserstein-1 distance from a Gaussian along every principal axis, (axis,).
    axis_error
        The jackknife's standard error of the largest of them.
    dimensions
        Estimates at `SCALES`, (scale, 2) with their standard errors; NaN where there are too few rows.
    core
        The share of the core at `CUTS`, (cut,); NaN where there are too few rows.
    """

    tails: tuple[float, float]
    axes: Floats
    axis_error: float
    dimensions: Floats
    core: Floats

    @classmethod
    def nothing(cls) -> Figures:
        """Return the figures of points that are all equal."""
        nothing = (np.nan, np.nan)
        return cls(
            nothing, np.empty(0), np.nan, np.full((len(SCALES), 2), np.nan), np.full(len(CUTS), np.nan)
        )


def figures_of(rows: Rows, nearest: Floats) -> Figures:
    """Compute the figures of rows (n, component), with squared distances to their nearest (n, neighbour)."""
    principal = Principal.of(rows)
    standard = principal.standard(principal.scores)
    apart = axis_distances(standard, _normal(len(rows)))
    return Figures(
        tail_ratio(standard),
        apart,
        _axis_error(standard[:, int(np.argmax(apart))]),
        _dimensions(np.sqrt(nearest)),
        _core(standard),
    )


def joined_share(first: Measured, second: Measured, k: int) -> tuple[float, float]:
    """Return which share of the k nearest is of the own set, where two are joined, and its standard error."""
    between = squares_to(first.rows, second.rows)
    shares = [
        own_neighbour_shares(one.nearest[:, :k], nearest_squares(squares, k))
        for one, squares in ((first, between), (second, between.T))
    ]
    return estimate(np.concatenate(shares))


@dataclass(frozen=True)
class Beside:
    """Effects of the sample, and of sets of rows that it is put beside.

    Parameters
    ----------
    found
        Of the sample, (effect,).
    errors
        Their standard errors over the images, (effect,).
    others
        Of the others, (effect, set).
    low, high
        What the sample's would be between, (effect,), were it another such set; infinite on a side that is
        not looked at.
    dimensions
        Of the others, (scale, set).
    core
        Of the others, (cut, set).
    axes
        The largest distance along each axis of any of the others, (axis,); NaN along one that a set lacks.
    scale
        Position in `SCALES` of the scale where the sample has the fewest dimensions beside the others.
    """

    found: Floats
    errors: Floats
    others: Floats
    low: Floats
    high: Floats
    dimensions: Floats
    core: Floats
    axes: Floats
    scale: int

    @classmethod
    def nothing(cls, twins: int) -> Beside:
        """Return what is found of points that are all equal."""
        none = np.full(len(EFFECTS), np.nan)
        sets = [np.full((len(of), twins), np.nan) for of in (EFFECTS, SCALES, CUTS)]
        return cls(none, none, sets[0], none, none, sets[1], sets[2], np.empty(0), 0)

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Which effects lie outside, (effect,)."""
        return (self.found < self.low) | (self.found > self.high)


def put_beside(sample: Measured, sets: list[Rows], k: int) -> Beside:
    """Put a sample beside sets of as many rows.

    The share of own neighbours is the mean over the sets; theirs is that of each and the one before.
    """
    own, measured = sample.figures, [Measured.of(rows, k) for rows in sets]
    each = [one.figures for one in measured]
    shares = np.array([joined_share(sample, one, k) for one in measured])
    among = [joined_share(one, measured[at - 1], k)[0] for at, one in enumerate(measured)]
    dimensions = np.stack([one.dimensions[:, 0] for one in each], axis=1)
    lowest, scale = _lowest(own.dimensions[:, 0], dimensions)
    others = [_lowest(dimensions[:, at], np.delete(dimensions, at, axis=1))[0] for at in range(len(sets))]
    relative = own.dimensions[scale, 1] / own.dimensions[scale, 0]
    found = np.array([own.tails[0], own.axes.max(), shares[:, 0].mean(), lowest])
    beside = np.array(
        [[one.tails[0] for one in each], [one.axes.max() for one in each], among, others], np.float64
    )
    along = np.concatenate([one.axes for one in each])
    low, high = _limits(beside)
    high[1] = max(_largest(beside[1]), largest_expected(along, len(own.axes), RISK / len(EFFECTS)))
    return Beside(
        found,
        np.array([own.tails[1], own.axis_error, shares[:, 1].mean(), lowest * relative]),
        beside,
        low,
        high,
        dimensions,
        np.stack([one.core for one in each], axis=1),
        np.max([_padded(one.axes, len(own.axes)) for one in each], axis=0),
        scale,
    )


def twins_of(principal: Principal, count: int, seed: int) -> list[Rows]:
    """Return Gaussian sets of rows with the covariance of a sample."""
    scores = principal.scores
    return [gaussian_twin(scores, np.random.default_rng([seed, number])) for number in range(count)]


def _limits(others: Floats) -> tuple[Floats, Floats]:
    """Return what another value of each effect but the axes would be between; each has its part of the risk.

    Tails may be heavier or lighter; of a share the largest matter, of dimensions the fewest.
    """
    from scipy.stats import t

    count = others.shape[1]
    share = RISK / len(others)
    spread = others.std(axis=1, ddof=1) * np.sqrt(1 + 1 / count)
    spread = np.maximum(spread, ROUNDING * np.abs(others).max(axis=1))
    one, two = (t.ppf(1 - part, count - 1) * spread for part in (share, share / 2))
    middle = others.mean(axis=1)
    low, high = np.full(len(others), -np.inf), np.full(len(others), np.inf)
    low[0], high[0] = (middle - two)[0], (middle + two)[0]
    high[2], low[3] = (middle + one)[2], (middle - one)[3]
    return low, high


def _largest(others: Floats) -> float:
    """Return what another value is below that is the largest of several, as others (set,) are."""
    from scipy.stats import t

    logs, count = np.log(others), len(others)
    errors = t.ppf(1 - RISK / len(EFFECTS), count - 1) * np.sqrt(1 + 1 / count)
    return float(np.exp(logs.mean() + errors * logs.std(ddof=1)))


def _lowest(own: Floats, others: Floats) -> tuple[float, int]:
    """Return the lowest ratio of dimensions (scale,) to the mean of others (scale, set), and its scale."""
    ratios = own / others.mean(axis=1)
    if np.isnan(ratios).all():
        return np.nan, 0
    scale = int(np.nanargmin(ratios))
    return float(ratios[scale]), scale


def _padded(values: Floats, count: int) -> Floats:
    return np.pad(values[:count], (0, max(count - len(values), 0)), constant_values=np.nan)


def _normal(count: int) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(count) + 0.5) / count))


def _axis_error(values: Floats) -> float:
    """Return the jackknife's error of the distance of values (n,) from a Gaussian, without every tenth."""

    def of(rest: Floats) -> float:
        centred = (rest - rest.mean()) / rest.std()
        return float(axis_distances(centred[:, np.newaxis], _normal(len(rest)))[0])

    group = np.arange(len(values)) % GROUPS
    without = np.array([of(values[group != left_out]) for left_out in range(GROUPS)])
    return float(jackknife_error(without[:, np.newaxis])[0])


def _scales(rows: int) -> list[int]:
    return [scale for scale in SCALES if 2 * scale < rows]


def _dimensions(distances: Floats) -> Floats:
    found = np.full((len(SCALES), 2), np.nan)
    for at, scale in enumerate(_scales(len(distances))):
        found[at] = gride(distances[:, scale - 1], distances[:, 2 * scale - 1], scale)
    return found


def _core(standard: Floats) -> Floats:
    from scipy.stats import chi2

    rows, axes = standard.shape
    if rows < ROWS_OF_CORE * axes:
        return np.full(len(CUTS), np.nan)

    def cut(share: float) -> Cut:
        square = float(chi2.ppf(share, axes))
        return Cut(square, share / float(chi2.cdf(square, axes + 2)))

    squares = core_squares(standard, cut(0.5), cut(CORE))
    return np.array([np.mean(squares <= chi2.ppf(share, axes)) / share for share in CUTS])
