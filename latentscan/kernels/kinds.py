"""Whether runs of two kinds differ by more than runs of one kind do: ratios, intervals, and equivalence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Runs = NDArray[np.intp]

SAME = 1e-6  # a smaller distance is that of copies, up to rounding

Verdict = Literal["as near as seeds", "farther", "undecided"]


@dataclass(frozen=True)
class Ratio:
    """A ratio of mean distances, with its interval; each (measure,).

    Parameters
    ----------
    value, low, high
        NaN where there are too few runs.
    """

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class TwoKinds:
    """What two kinds of runs have in common; each of (measure,).

    Parameters
    ----------
    cross
        Mean distance of a run of one kind and a run of the other.
    within
        Mean distance of two runs of the first and of the second kind, (2, measure).
    ratio
        `cross` over the mean of both of `within`.
    spread
        `within` of the second kind over that of the first.
    """

    cross: Floats
    within: Floats
    ratio: Ratio
    spread: Ratio


def two_kinds(
    distances: Floats, used: NDArray[np.bool_], first: Runs, second: Runs, errors: float
) -> TwoKinds:
    """Compare two kinds of runs by the distances between all runs.

    The interval is the jackknife's over runs, of the ratio's logarithm: every run is left out once, and each
    kind adds its own variance. Distances that share a run are not independent, runs are. Arvesen, J. N.
    (1969), Jackknifing U-statistics, Annals of Mathematical Statistics 40.

    Parameters
    ----------
    distances
        Of every two runs, (measure, run, run), symmetric.
    used
        Which of them count, (run, run), symmetric.
    first, second
        The runs of each kind.
    errors
        How many standard errors the interval reaches to either side.

    Examples
    --------
    >>> at = np.array([0.0, 1.0, 3.0, 10.0, 11.0, 13.0])
    >>> distances = np.abs(at[:, None] - at)[None]
    >>> found = two_kinds(distances, np.ones((6, 6), bool), np.arange(3), np.arange(3, 6), 2.9)
    >>> found.cross, found.within, found.ratio.value
    (array([10.]), array([[2.],
           [2.]]), array([5.]))
    """
    held = np.where(distances < SAME, 0.0, distances)

    def means(a: Runs, b: Runs) -> Floats:
        return np.stack([_mean(held, used, a, b), _mean(held, used, a, a), _mean(held, used, b, b)])

    whole = means(first, second)
    without = [
        np.stack([means(first[first != run], second) for run in first]),
        np.stack([means(first, second[second != run]) for run in second]),
    ]

    def ratio_of(log: Callable[[Floats], Floats]) -> Ratio:
        return _interval(log(whole), [log(part) for part in without], errors)

    return TwoKinds(whole[0], whole[1:], ratio_of(_log_ratio), ratio_of(_log_spread))


def verdict_of(low: float, high: float, margin: float) -> Verdict:
    """Say what the interval of a ratio allows: two one-sided tests at 5 % each.

    Schuirmann, D. J. (1987), A comparison of the two one-sided tests procedure and the power approach.

    Examples
    --------
    >>> verdict_of(0.9, 1.1, 1.25), verdict_of(1.05, 1.2, 1.25), verdict_of(1.1, 1.4, 1.25)
    ('as near as seeds', 'as near as seeds', 'farther')
    >>> verdict_of(0.9, 1.4, 1.25), verdict_of(np.nan, np.nan, 1.25)
    ('undecided', 'undecided')
    """
    if high < margin:
        return "as near as seeds"
    return "farther" if low > 1 else "undecided"


def _mean(distances: Floats, used: NDArray[np.bool_], a: Runs, b: Runs) -> Floats:
    """Return the mean distance of different runs, one of each group, (measure,); NaN where there are none."""
    pairs = used[np.ix_(a, b)] & (a[:, np.newaxis] != b)
    if not pairs.any():
        return np.full(len(distances), np.nan)
    return np.asarray(distances[:, a][:, :, b][:, pairs].mean(axis=1))


def _log_ratio(means: Floats) -> Floats:
    """Return ln of cross over within, (..., measure), of means (..., 3, measure)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(means[..., 0, :] / ((means[..., 1, :] + means[..., 2, :]) / 2)))


def _log_spread(means: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(means[..., 2, :] / means[..., 1, :]))


def _interval(whole: Floats, without: list[Floats], errors: float) -> Ratio:
    """Return exp of a logarithm, with the interval that its values without each run of a kind give."""
    with np.errstate(invalid="ignore", over="ignore"):
        variance = sum((len(part) - 1) * part.var(axis=0) for part in without)
        half = errors * np.sqrt(variance)
        return Ratio(np.exp(whole), np.exp(whole - half), np.exp(whole + half))
