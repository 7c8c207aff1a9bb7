"""How alike two clouds of points are that stand for the same images: linear CKA, and its standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.kernels.covariance import Covariance

LOST = 1e-9  # share of a norm that is left without a row, below which its digits are lost


def linear_cka(joint: Covariance, first: slice, second: slice) -> tuple[float, float]:
    """Compute the linear CKA of two groups of components, and its mean if the rows of one were shuffled.

    ‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖) with Frobenius norms and centred components: 1 where one is the other rotated,
    scaled and shifted. Kornblith, S., Norouzi, M., Lee, H., Hinton, G. (2019), Similarity of neural
    network representations revisited, table 1. The mean of ‖XᵀPY‖² over all permutations P is
    tr(XᵀX) tr(YᵀY) / (n − 1): few rows of many components look alike by chance. Both are NaN where all
    rows of a group are equal.

    Parameters
    ----------
    joint
        The covariance of the components of both groups side by side.
    first, second
        The components of each group.

    Examples
    --------
    >>> from latentscan.kernels.covariance import covariance
    >>> x = np.array([[0.0], [1.0], [5.0]], np.float32)
    >>> linear_cka(covariance(np.hstack([x, 5 - 2 * x])), slice(0, 1), slice(1, 2))
    (1.0, 0.5)
    """
    own, others = joint.scatter[first, first], joint.scatter[second, second]
    size = np.linalg.norm(own) * np.linalg.norm(others)
    if not size > 0:
        return np.nan, np.nan
    cross = np.sum(joint.scatter[first, second] ** 2)
    chance = np.trace(own) * np.trace(others) / (joint.count - 1)
    return min(float(cross / size), 1.0), float(chance / size)


def cka_without_each(
    joint: Covariance, first: slice, second: slice, deviations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute what linear CKA would be without each of some rows, (m,).

    Without row i, the scatter S becomes S − n / (n − 1) d dᵀ, where d is the deviation of the row from the
    mean of all: the three norms of CKA follow from products of d with S. Where one row holds nearly all of
    a norm, what is left without it is not known; it is taken as 0.

    Parameters
    ----------
    joint
        The covariance of the components of both groups side by side, of all rows.
    first, second
        The components of each group.
    deviations
        Of the rows, (m, components of both groups and others).

    Examples
    --------
    >>> from latentscan.kernels.covariance import covariance
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0]])
    >>> c = covariance(x)
    >>> np.round(cka_without_each(c, slice(0, 1), slice(1, 2), x - c.mean), 4)
    array([0.75  , 0.8929, 0.8929, 0.75  ])
    """
    weight = joint.count / (joint.count - 1)
    x, y = deviations[:, first], deviations[:, second]
    cross, _ = _without(joint.scatter[first, second], x, y, weight)
    own, own_norm = _without(joint.scatter[first, first], x, x, weight)
    others, others_norm = _without(joint.scatter[second, second], y, y, weight)
    known = (own > LOST * own_norm) & (others > LOST * others_norm)
    size = np.sqrt(np.where(known, own, 1)) * np.sqrt(np.where(known, others, 1))
    return np.where(known, np.clip(cross / size, 0, 1), 0.0)


def _without(
    part: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], weight: float
) -> tuple[NDArray[np.float64], float]:
    """Return the squared norm of a part of the scatter without each row, (m,), and with all."""
    norm = float(np.sum(part**2))
    products, lengths = np.vecdot(x @ part, y), np.vecdot(x, x) * np.vecdot(y, y)
    return norm - 2 * weight * products + weight**2 * lengths, norm


def jackknife_error_of_squares(count: int, squares: float) -> float:
    """Return the standard error of a statistic of n rows from what it is without each of them.

    Efron, B., Stein, C. (1981), The jackknife estimate of variance, equation 1.4.

    Parameters
    ----------
    count
        n.
    squares
        Sum of the squared deviations of the n values without a row from their mean.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 5.0])
    >>> without_each = (x.sum() - x) / 2
    >>> error = jackknife_error_of_squares(3, ((without_each - without_each.mean()) ** 2).sum())
    >>> bool(np.isclose(error, x.std(ddof=1) / 3**0.5))
    True
    """
    return float(np.sqrt((count - 1) / count * squares)) if count > 2 else float("nan")
