"""How far figures of a sample may be off: standard errors and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.kernels.histogram import RelativeHistogram

    Floats = NDArray[np.float64]

GROUPS = 10  # of rows, each of which is left out once
TWO_SIDED = 2.262  # Student's t of GROUPS - 1 degrees of freedom, of an interval of 95 %
_NORMAL = 1.96
# Student's t for a two-sided interval of 95 %, by the number of values: one degree of freedom less
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
_RESAMPLES = 200


def jackknife_error(without: Floats) -> Floats:
    """Return the standard error of figures (figure,), computed without one of several equal groups of rows.

    Quenouille, M. H. (1956), Notes on bias in estimation; Efron, B., Tibshirani, R. J. (1993), An
    introduction to the bootstrap, section 11.5, delete-d jackknife.

    Parameters
    ----------
    without
        The figures without each group, (group, figure); fewer than two groups say nothing: NaN.

    Examples
    --------
    >>> x = np.arange(10.0)  # the mean of ten numbers, each left out once
    >>> error = jackknife_error(((x.sum() - x) / 9)[:, None])
    >>> np.allclose(error, x.std(ddof=1) / np.sqrt(10))
    True
    """
    groups = len(without)
    if groups < 2:
        return np.full(without.shape[1:], np.nan)
    return np.asarray(np.sqrt((groups - 1) * without.var(axis=0)))


def mean_interval(values: Floats) -> tuple[float, float]:
    """Return the mean of some values (n,), and half its 95 % interval by Student's t; NaN of fewer than two.

    Examples
    --------
    >>> mean, half = mean_interval(np.array([1.0, 2.0, 3.0]))
    >>> mean, round(half, 3)
    (2.0, 2.484)
    """
    if not len(values):
        return float("nan"), float("nan")
    if len(values) == 1:
        return float(values[0]), float("nan")
    t = _T.get(len(values), _NORMAL + 3 / len(values))  # on the safe side beyond the table
    return float(values.mean()), float(t * values.std(ddof=1) / np.sqrt(len(values)))


def quantile_interval(histogram: RelativeHistogram, shares: Floats) -> Floats:
    """Return the 95 % interval of quantiles, (2, share), by the ranks that the binomial distribution allows.

    Hahn, G. J., Meeker, W. Q. (1991), Statistical intervals, section 5.2, with the normal approximation.

    Parameters
    ----------
    histogram
        Of the values.
    shares
        Of the values below each quantile, (share,).
    """
    count = max(histogram.count, 1)
    half = _NORMAL * np.sqrt(shares * (1 - shares) / count)
    return np.stack([histogram.quantile(shares - half), histogram.quantile(shares + half)])


def peak_interval(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return the first and the last bin that is the fullest in 90 % of samples drawn from a histogram.

    Parameters
    ----------
    counts
        Of each bin, (bins,).

    Examples
    --------
    >>> peak_interval(np.array([10, 1000, 990, 20])), peak_interval(np.array([10, 1000, 100]))
    ((1, 2), (1, 1))
    """
    held = np.flatnonzero(counts)
    if not len(held):
        return 0, len(counts) - 1
    total = int(counts.sum())
    drawn = np.random.default_rng(0).multinomial(total, counts[held] / total, _RESAMPLES)
    low, high = np.quantile(held[drawn.argmax(axis=1)], [0.05, 0.95], method="nearest")
    return int(low), int(high)
