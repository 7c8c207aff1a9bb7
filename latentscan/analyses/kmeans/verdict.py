"""What the gap says of the number of clusters, and what it cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 0.02  # a gap that is structure: 2 % less inertia than Gaussian data have
CLEAR = 4.0  # standard deviations over the samples that a gap has to be
RANGE, NATURAL = 1.0, 2.0  # standard deviations: of the range that is given, of the one that is judged
PEAK = 2.5  # standard deviations that a peak is above the middle of its neighbours
WIDEST = 2  # the last number of clusters of a range over the first: a wider one names no number
FEWEST = 16  # the largest number of clusters has to be, to say that there is nothing, or no end
ROWS_PER_COMPONENT = 2  # of a sample: with fewer, the covariance alone explains almost any rows


@dataclass(frozen=True)
class Verdict:
    """What the gap says.

    Parameters
    ----------
    kind
        ``nothing`` beyond the covariance, ``about`` so many clusters, structure with ``no natural k``, or
        ``undecided``.
    k
        The number of clusters with the largest gap.
    low, high
        The numbers about it whose gap is within a standard deviation of that; within two, where none is
        natural.
    missing
        What is missing for a verdict; empty where there is one.
    """

    kind: str
    k: int
    low: int
    high: int
    missing: str = ""


def judge(k: NDArray[np.int64], gap: NDArray[np.float64], rows: int, components: int) -> Verdict:
    """Judge the gap of several samples.

    There is nothing beyond the covariance unless the largest mean gap is 0.02 and 4 standard deviations. A
    number of clusters is natural if the gap has a peak there: it is higher by 2.5 standard deviations than
    between its neighbours, and all numbers whose gap is within 2 standard deviations of it lie within a
    factor of 2, and before the last. The gap of a continuum in noise has a largest value too, but on a
    smooth top. Differences are taken sample by sample, since the samples of a curve rise and fall together.

    Parameters
    ----------
    k
        Numbers of clusters, (k,), ascending from 1.
    gap
        The gap, (k, sample).
    rows, components
        Of a sample.

    Examples
    --------
    >>> k, gap = np.array([1, 2, 3, 4, 16]), np.array([0.0, 0.1, 0.3, 0.2, 0.1])
    >>> judge(k, gap[:, None] + [[-0.001, 0.001]], rows=2000, components=8)
    Verdict(kind='about', k=3, low=3, high=3, missing='')
    """
    mean, spread = gap.mean(axis=1), gap.std(axis=1, ddof=1)
    best, last = int(mean.argmax()), len(k) - 1
    one, two = (_near(gap[best] - gap, deviations) for deviations in (RANGE, NATURAL))
    far = np.flatnonzero(~one)
    low = int(k[far[far < best].max(initial=-1) + 1])
    high = int(k[far[far > best].min(initial=len(k)) - 1])
    widest = int(k[two].min()), int(k[two].max())
    few = k[last] < FEWEST or rows < ROWS_PER_COMPONENT * components
    if mean[best] >= max(LEAST, CLEAR * spread[best]):
        if _is_peak(k, gap, best) and widest[1] < min(k[last], WIDEST * widest[0] + 1):
            return Verdict("about", int(k[best]), low, high)
        low, high = widest
        kind = "undecided" if few else "no natural k"
    elif np.median(gap, axis=1).max() >= LEAST:
        return Verdict("undecided", int(k[best]), low, high, "samples that agree")
    else:
        kind = "undecided" if few else "nothing"
    return Verdict(kind, int(k[best]), low, high, "more images" if kind == "undecided" else "")


def _near(below: NDArray[np.float64], deviations: float) -> NDArray[np.bool_]:
    """Return which k (k,) are below the largest gap (k, sample) by some standard deviations at most."""
    is_near: NDArray[np.bool_] = below.mean(axis=1) <= deviations * below.std(axis=1, ddof=1)
    return is_near


def _is_peak(k: NDArray[np.int64], gap: NDArray[np.float64], best: int) -> bool:
    """Check whether the gap (k, sample) has a peak: beside it at a twelfth of k, at a step of 1 at least."""
    step = max(1, round(int(k[best]) / 12))
    beside = np.log([k[best] - step, k[best] + step])
    above = np.array([one[best] - np.interp(beside, np.log(k), one).mean() for one in gap.T])
    return bool(above.mean() >= PEAK * above.std(ddof=1))
