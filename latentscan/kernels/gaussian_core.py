"""The share of a cloud that lies as the core of one Gaussian would: a robust fit, and counts within it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STEPS = 100  # most of a fit; few are needed


class Cut(NamedTuple):
    """Where a share of Gaussian rows lies.

    Parameters
    ----------
    square
        The squared Mahalanobis distance that the share is within: a quantile of χ² of d degrees of freedom.
    factor
        What the covariance of the rows within is smaller by: the share over that of χ² of d + 2 there.
    """

    square: float
    factor: float


def core_squares(rows: Floats, half: Cut, fixed: Cut) -> Floats:
    """Compute squared Mahalanobis distances in the frame of a cloud's core, (n,).

    First the half of the rows with the smallest covariance is sought, from that which lies nearest in the
    frame of all, by concentration steps (Rousseeuw, P. J., Van Driessen, K. (1999), A fast algorithm for the
    minimum covariance determinant estimator, theorem 1); then the rows within a fixed distance give mean and
    covariance until they stay the same.

    Parameters
    ----------
    rows
        (n, axis), with a covariance that has an inverse.
    half
        The cut of a share of 1/2.
    fixed
        That of the rows that the second fit is of.

    Examples
    --------
    >>> x = np.concatenate([np.linspace(-1, 1, 9), [50.0, 60.0]])[:, None]
    >>> bool(core_squares(x, Cut(0.455, 7.0), Cut(2.7, 1.5))[-1] > 100)
    True
    """
    count = len(rows) // 2 + 1
    squares = _squares(rows, rows.mean(axis=0), np.cov(rows, rowvar=False, bias=True))
    chosen = np.sort(np.argsort(squares, kind="stable")[:count])
    for _ in range(STEPS):
        squares = _squares_of(rows, chosen, half.factor)
        nearest = np.sort(np.argsort(squares, kind="stable")[:count])
        if np.array_equal(nearest, chosen):
            break
        chosen = nearest
    # of few rows, or of tails, the half is narrower or wider than a Gaussian's: its median says by how much
    squares *= half.square / np.median(squares)
    chosen = np.flatnonzero(squares <= fixed.square)
    for _ in range(STEPS):
        squares = _squares_of(rows, chosen, fixed.factor)
        within = np.flatnonzero(squares <= fixed.square)
        if np.array_equal(within, chosen) or len(within) < count // 2:
            break
        chosen = within
    return squares


def _squares_of(rows: Floats, chosen: NDArray[np.intp], factor: float) -> Floats:
    held = rows[chosen]
    return _squares(rows, held.mean(axis=0), factor * np.cov(held, rowvar=False, bias=True))


def _squares(rows: Floats, mean: Floats, covariance: Floats) -> Floats:
    variances, axes = np.linalg.eigh(np.atleast_2d(covariance))
    white = (rows - mean) @ axes / np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny))
    return np.asarray(np.vecdot(white, white))
