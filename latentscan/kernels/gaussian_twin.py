"""Gaussian rows that have exactly the mean and the covariance of given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def gaussian_twin(x: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """Sample Gaussian rows (n, component) with the mean and the covariance of given ones, to the last digit.

    Given their own mean and covariance S, n Gaussian rows are, about their mean, Q S^½ √n with random
    orthonormal columns Q orthogonal to the vector of ones. So if the rows themselves are Gaussian, they and
    their twin are exchangeable, whatever n: any statistic of both differs by chance alone. Langsrud, Ø.
    (2005), Rotation tests, Statistics and Computing 15, section 2.

    Parameters
    ----------
    x
        Rows, (n, component).
    rng
        Its state decides the twin.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [2.0, 0.0], [4.0, 5.0], [6.0, 2.0]])
    >>> twin = gaussian_twin(x, np.random.default_rng(0))
    >>> np.allclose(twin.mean(axis=0), x.mean(axis=0)), np.allclose(np.cov(twin.T), np.cov(x.T))
    (True, True)
    """
    exact = x.astype(np.float64)
    mean = exact.mean(axis=0)
    exact -= mean
    rank = min(len(x) - 1, x.shape[1])
    squares, axes = np.linalg.eigh(exact.T @ exact)
    lengths = np.sqrt(np.maximum(squares[::-1][:rank], 0.0))
    normal = rng.standard_normal((len(x), rank))
    normal -= normal.mean(axis=0)
    columns, triangle = np.linalg.qr(normal)
    columns *= np.sign(triangle.diagonal()) * lengths
    twin: NDArray[np.float32] = (columns @ axes[:, ::-1][:, :rank].T + mean).astype(np.float32)
    return twin
