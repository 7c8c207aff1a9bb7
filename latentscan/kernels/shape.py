"""The shape of a cloud in few numbers: tails, principal axes, neighbours, and how many dimensions it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROUNDING = 2.0**-22  # of the largest value: a standard deviation below it is float32's rounding
_ROWS_OF_FRAME = 2  # for each axis, below which directions say nothing of the scatter
_STEPS = 60
_SETTLED = 1e-4
_HALVINGS = 80  # of an interval of ln dimension
_LARGEST = 1e6  # dimension that is told from none


@dataclass(frozen=True)
class Principal:
    """Rows along the principal axes of their cloud, from its mean, over a common scale.

    Distances between rows are those of the rows as they were, over that scale.

    Parameters
    ----------
    scores
        (row, axis).
    deviations
        Standard deviations along the axes, the largest first and 1 at most, (axis,).
    """

    scores: Floats
    deviations: Floats

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> Principal:
        """Turn rows (n, component); axes along which they differ by rounding alone are left out.

        Examples
        --------
        >>> found = Principal.of(np.array([[3.0, 1.0], [-3.0, 1.0]]))
        >>> found.deviations, found.scores.ravel()
        (array([1.]), array([ 1., -1.]))
        """
        exact = rows.astype(np.float64)
        floor = ROUNDING * float(np.abs(exact).max(initial=0.0))
        exact -= exact.mean(axis=0)
        _, lengths, axes = np.linalg.svd(exact, full_matrices=False)
        deviations = lengths / np.sqrt(max(len(rows), 1))
        axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, np.newaxis]
        held = deviations > floor
        if not held.any():
            return cls(np.empty((len(rows), 0)), np.empty(0))
        return cls(exact @ axes[held].T / deviations[0], deviations[held] / deviations[0])

    def standard(self, scores: NDArray[np.floating]) -> Floats:
        """Return scores (row, axis) in standard deviations."""
        return np.asarray(scores / self.deviations, np.float64)

    def matched(self, twin: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return scores of an elliptical cloud with the tails of this one, and a twin's directions.

        Of all that the cloud has beyond its covariance, such rows have the tails alone: in the frame of
        `elliptical_frame`, the distances from the mean are those of the rows, and the directions are uniform.

        Parameters
        ----------
        twin
            Gaussian rows with the same covariance, (row, axis).
        """
        frame, lengths = elliptical_frame(self.standard(self.scores))
        directions = self.standard(twin)
        directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        white = (directions * lengths[:, np.newaxis]) @ frame
        return np.asarray(white * self.deviations, np.float32)


def elliptical_frame(standard: Floats) -> tuple[Floats, Floats]:
    """Return the root of the scatter of a cloud, whatever its tails, and how far rows lie in its frame.

    Tyler, D. E. (1987), A distribution-free M-estimator of multivariate scatter, equation 2.2: each row
    counts by its direction alone. Of fewer than two rows for each axis it is the covariance.

    Parameters
    ----------
    standard
        Rows in a frame where their mean is 0 and their covariance is the identity, (n, d).

    Returns
    -------
    A symmetric matrix, (d, d), and the distances, (n,).

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> elliptical_frame(x)[1]
    array([1., 1., 1., 1.])
    """
    rows, axes = standard.shape
    squares, root = np.vecdot(standard, standard), np.eye(axes)
    if rows < _ROWS_OF_FRAME * axes:
        return root, np.sqrt(squares)
    for _ in range(_STEPS):
        weights = np.divide(axes, squares, out=np.zeros(rows), where=squares > 0)
        variances, frame = np.linalg.eigh((standard * weights[:, np.newaxis]).T @ standard / rows)
        variances = np.maximum(variances / variances.mean(), np.finfo(np.float64).eps)
        white = standard @ (frame / np.sqrt(variances))
        before, squares = squares, np.vecdot(white, white)
        root = (frame * np.sqrt(variances)) @ frame.T
        if np.abs(squares - before).max() <= _SETTLED * before.max():
            break
    return root, np.sqrt(squares)


def tail_ratio(standard: Floats) -> tuple[float, float]:
    """Compute Mardia's kurtosis over that of a Gaussian, b₂ / (d (d + 2)), and its standard error.

    The error is the delta method's. Mardia, K. V. (1970), Measures of multivariate skewness and kurtosis
    with applications, section 2.

    Parameters
    ----------
    standard
        Rows in a frame where their covariance is the identity, (n, d).

    Examples
    --------
    >>> tail_ratio(np.array([[1.0], [-1.0]]))[0]
    0.3333333333333333
    """
    rows, axes = standard.shape
    squares = np.vecdot(standard, standard)
    weighted = standard * squares[:, np.newaxis]
    # a row moves the mean and the covariance too, which the distances are measured by
    moves = squares**2 - 2 * np.vecdot(standard @ (weighted.T @ standard / rows), standard)
    moves -= 4 * standard @ weighted.mean(axis=0)
    scale = axes * (axes + 2)
    return float((squares**2).mean() / scale), float(moves.std(ddof=1) / np.sqrt(rows) / scale)


def axis_distances(standard: Floats, normal: Floats) -> Floats:
    """Compute the Wasserstein-1 distance from a Gaussian along every axis, in standard deviations, (axis,).

    Parameters
    ----------
    standard
        Rows in standard deviations from the mean, (n, axis).
    normal
        The Gaussian's quantiles at (1/2, 3/2, ...) / n, (n,).

    Examples
    --------
    >>> axis_distances(np.array([[0.5], [-0.5]]), np.array([-0.6745, 0.6745])).round(4)
    array([0.1745])
    """
    return np.asarray(np.abs(np.sort(standard, axis=0) - normal[:, np.newaxis]).mean(axis=0))


def squares_to(rows: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
    """Compute the squared distances of rows near the origin from others, (n, m).

    Examples
    --------
    >>> squares_to(np.array([[0.0, 1.0]]), np.array([[3.0, 5.0], [0.0, 1.0]]))
    array([[25.,  0.]])
    """
    a, b = rows.astype(np.float64), others.astype(np.float64)
    found = a @ b.T
    found *= -2
    found += np.vecdot(a, a)[:, np.newaxis]
    found += np.vecdot(b, b)
    return np.asarray(np.maximum(found, 0, out=found))


def nearest_squares(squares: Floats, k: int) -> Floats:
    """Return the k smallest of each row, ascending, (n, k).

    Examples
    --------
    >>> nearest_squares(np.array([[3.0, 1.0, 2.0]]), 2)
    array([[1., 2.]])
    """
    return np.asarray(np.sort(np.partition(squares, k - 1, axis=1)[:, :k], axis=1))


def own_neighbour_shares(own: Floats, across: Floats) -> Floats:
    """Compute which share of its k nearest each row has in its own set, where two sets are joined, (n,).

    Its mean is about 1/2 where both are samples of one distribution. Schilling, M. F. (1986), Multivariate
    two-sample tests based on nearest neighbors.

    Parameters
    ----------
    own, across
        Squared distances to the k nearest others of the own set, and to the k nearest of the other set,
        ascending, (n, k).

    Examples
    --------
    >>> own_neighbour_shares(np.array([[1.0, 4.0]]), np.array([[2.0, 3.0]]))
    array([0.5])
    """
    k = own.shape[1]
    order = np.argsort(np.concatenate([own, across], axis=1), axis=1, kind="stable")[:, :k]
    return np.asarray((order < k).mean(axis=1))


def gride(near: Floats, far: Floats, n1: int) -> tuple[float, float]:
    """Estimate how many dimensions a cloud has at a scale, and the standard error over its rows.

    The likelihood of the ratio of the distances to the 2 n₁-th and to the n₁-th nearest, where the density
    does not change between them. Denti, F., Doimo, D., Laio, A., Mira, A. (2022), The generalized ratios
    intrinsic dimension estimator, equation 6; for n₁ = 1 the two nearest neighbours' estimate of Facco, E.,
    d'Errico, M., Rodriguez, A., Laio, A. (2017).

    Parameters
    ----------
    near, far
        Distances to the n₁-th and the 2 n₁-th nearest, (row,); rows on top of one another are left out.
    n1
        n₁.

    Returns
    -------
    NaN where no two distances differ.

    Examples
    --------
    >>> near = np.full(1000, 1.0)
    >>> far = (1 - (np.arange(1000) + 0.5) / 1000) ** (-1 / 3)
    >>> round(gride(near, far, 1)[0], 1)
    3.0
    """
    held = (near > 0) & (far > near)
    logs = np.log(far[held] / near[held])
    if not len(logs):
        return np.nan, np.nan

    def slopes(dimension: float) -> Floats:
        """Return the derivative of each row's likelihood by the dimension."""
        growth = -np.expm1(-dimension * logs)
        found: Floats = 1 / dimension + (n1 - 1) * logs / growth - (2 * n1 - 1) * logs
        return found

    low, high = np.log(1 / _LARGEST), np.log(_LARGEST)
    for _ in range(_HALVINGS):  # the sum falls with the dimension
        middle = (low + high) / 2
        if slopes(float(np.exp(middle))).sum() > 0:
            low = middle
        else:
            high = middle
    dimension = float(np.exp((low + high) / 2))
    step = 1e-4 * dimension
    curvature = (slopes(dimension + step).sum() - slopes(dimension - step).sum()) / (2 * step)
    error = float(np.sqrt(np.sum(slopes(dimension) ** 2)) / abs(curvature)) if curvature else np.nan
    return dimension, error
