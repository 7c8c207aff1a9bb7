"""The distribution of the radius of a Gaussian cloud, whatever its mean and covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL = 6.0  # a radius is so many of the largest standard deviations off with a probability of about 1e-8
NEGLIGIBLE = 1e-12
_MOST_POINTS = 1 << 17
_MOST_WORK = 1 << 22  # points times components
_VALUES = 1 << 15  # of one step


def radius_range(
    variances: NDArray[np.float64], means: NDArray[np.float64], tail: float = TAIL
) -> tuple[float, float]:
    """Return bounds between which nearly all radii of a Gaussian lie.

    The radius of a standard normal vector changes by no more than the vector does, so it is as concentrated
    as one component: Cirel'son, B. S., Ibragimov, I. A., Sudakov, V. N. (1976), Norms of
    Gaussian sample functions.

    Parameters
    ----------
    variances, means
        Of each component, (components,).
    tail
        How far they are from the root mean square radius, in standard deviations of the component that has
        the largest one.

    Examples
    --------
    >>> radius_range(np.ones(100), np.zeros(100))
    (4.0, 16.0)
    """
    middle = float(np.sqrt(np.sum(variances + means**2)))
    spread = tail * float(np.sqrt(variances.max()))
    return max(middle - spread, 0.0), middle + spread


def squared_radius_std(variances: NDArray[np.float64], means: NDArray[np.float64]) -> float:
    """Return the standard deviation of the squared radius of a Gaussian, √(2 tr S² + 4 mᵀSm).

    Parameters
    ----------
    variances, means
        Of each component, (components,), in a frame in which the components are uncorrelated.

    Examples
    --------
    >>> squared_radius_std(np.ones(8), np.zeros(8))
    4.0
    """
    return float(np.sqrt(2 * np.sum(variances**2) + 4 * np.sum(means**2 * variances)))


def radius_cdf(
    edges: NDArray[np.float64], variances: NDArray[np.float64], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the share of a Gaussian's radii below each edge, (n,).

    The squared radius is a sum of squares of normal variables; its characteristic function is known, and
    is inverted by the midpoint rule, whose error is that of taking the distribution as one period of a
    periodic one. With hundreds of components the error is about 1e-9; with one, whose density has a pole
    where its squared radius is zero, it is below 1e-3.

    Davies, R. B. (1973), Numerical inversion of a characteristic function, equation 5; Imhof, J. P.
    (1961), Computing the distribution of quadratic forms in normal variables, equation 2.3.

    Parameters
    ----------
    edges
        Radii, ascending, (n,).
    variances, means
        Of each component, (components,), in a frame in which the components are uncorrelated.

    Examples
    --------
    >>> radius_cdf(np.array([0.0, 1.0, 2.0]), np.ones(2), np.zeros(2)).round(4)
    array([0.    , 0.3935, 0.8647])
    """
    middle = float(np.sqrt(np.sum(variances + means**2)))
    low, high = radius_range(variances, means)
    if high - low <= NEGLIGIBLE * middle:
        return np.asarray(edges > middle, np.float64)
    # in units of the root mean square radius, around 1
    lambdas, squares, multiples = _distinct(variances / middle**2, (means / middle) ** 2)
    low, high, x = low / middle, high / middle, edges / middle
    within = (x > low) & (x < high)
    step = 2 * np.pi / ((high - low) * (high + low))
    points = _points(step, lambdas, squares, multiples)
    middles = np.arange(points, dtype=np.float64) + 0.5
    terms = _characteristic(step * middles, lambdas, squares, multiples) / (np.pi * middles)
    places = step * (x[within] - 1) * (x[within] + 1)
    shares = (x >= high).astype(np.float64)
    shares[within] = 0.5 - _fourier_sum(terms, places).imag
    return np.maximum.accumulate(np.clip(shares, 0, 1))


def _distinct(
    lambdas: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Join components of the same variance: the variances, summed squares of means, and how many they are."""
    values, which = np.unique(lambdas, return_inverse=True)
    multiples = np.bincount(which).astype(np.float64)
    return values, np.bincount(which, squares).astype(np.float64), multiples


def _points(
    step: float, lambdas: NDArray[np.float64], squares: NDArray[np.float64], multiples: NDArray[np.float64]
) -> int:
    """Count the points at which the characteristic function is not negligible, as far as there is time."""
    most = min(_MOST_POINTS, _MOST_WORK // len(lambdas))
    counts = np.geomspace(16, most, 100)
    sizes = np.abs(_characteristic(step * counts, lambdas, squares, multiples))
    return int(counts[min(int(np.count_nonzero(sizes > NEGLIGIBLE)), len(counts) - 1)])


def _characteristic(
    t: NDArray[np.float64],
    lambdas: NDArray[np.float64],
    squares: NDArray[np.float64],
    multiples: NDArray[np.float64],
) -> NDArray[np.complex128]:
    """Evaluate the characteristic function of the squared radius less its mean at t (points,).

    The logarithm is a sum over the components λ, m of −½ log(1 − 2iλt) + im²t / (1 − 2iλt) − i(λ + m²)t.
    """
    logarithm = np.zeros(len(t), np.complex128)
    together = max(1, _VALUES // len(t))
    for start in range(0, len(lambdas), together):
        some = slice(start, start + together)
        square, multiple = squares[some, np.newaxis] * t, multiples[some, np.newaxis]
        w = 2 * lambdas[some, np.newaxis] * t
        w2 = w * w
        logarithm.real -= np.sum(multiple / 4 * np.log1p(w2) + square * w / (1 + w2), axis=0)
        logarithm.imag += np.sum(multiple / 2 * (np.arctan(w) - w) - square * w2 / (1 + w2), axis=0)
    return np.exp(logarithm)


def _fourier_sum(terms: NDArray[np.complex128], places: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Sum terms_k exp(−i(k + ½)place) over k for each place, (places,).

    With k = row · width + column it is a matrix product, which needs as few exponentials as there are rows
    and columns.
    """
    width = int(np.ceil(np.sqrt(len(terms))))
    padded = np.zeros(width * width, np.complex128)
    padded[: len(terms)] = terms
    columns = np.exp(-1j * np.outer(np.arange(width) + 0.5, places))
    rows = np.exp(-1j * np.outer(np.arange(width) * width, places))
    return np.asarray(np.sum(rows * (padded.reshape(width, width) @ columns), axis=0))
