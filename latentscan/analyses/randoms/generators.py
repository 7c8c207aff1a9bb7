"""Ways to draw random z-points, and points that are their floors and their ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.models.points import gaussian_points, normal_points, uniform_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.store.results import Result

    Points = NDArray[np.float32]

NORMAL, FITTED = "N(0, 1)", "full covariance"
CEILING, MEAN, HALF = "real images", "their mean", f"{FITTED} × ½"
FLOORS = (MEAN, HALF)


def draw(cloud: Result, rows: Points, count: int, seed: int, bounds: Sequence[float]) -> dict[str, Points]:
    """Return random points (count, component) of every generator, by its name.

    Parameters
    ----------
    cloud
        The mean and the spectrum of z, as `pca` finds them.
    rows
        Rows of z, (n, component), of whose inner half the core is made.
    count, seed
        How many points of each generator, and their seed.
    bounds
        The B of the uniform generators.
    """
    mean, axes = cloud["mean"], cloud["axes"]
    scales = np.sqrt(np.maximum(cloud["eigenvalue"], 0.0))
    components = len(mean)
    core = _inner_half(rows, mean, scales, axes)
    return {
        NORMAL: normal_points(count, components, seed),
        **{f"uniform ±{bound:g}": uniform_points(count, components, bound, seed) for bound in bounds},
        "diagonal covariance": gaussian_points(count, mean, np.sqrt(scales**2 @ axes**2), seed),
        FITTED: gaussian_points(count, mean, scales, seed, axes),
        "core": gaussian_points(count, *core[:2], seed, core[2]),
        HALF: gaussian_points(count, mean, scales / 2, seed, axes),
        MEAN: np.repeat(mean[None].astype(np.float32), count, axis=0),
    }


def _inner_half(
    rows: Points, mean: NDArray[np.float64], scales: NDArray[np.float64], axes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean, standard deviations and axes of the half of the rows nearest by Mahalanobis distance."""
    held = scales > 1e-6 * max(scales.max(), 1e-300)
    whitened = (rows - mean) @ axes[held].T / scales[held]
    squares = (whitened**2).sum(axis=1)
    inner = rows[squares <= np.median(squares)].astype(np.float64)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(inner.T)))
    return inner.mean(axis=0), np.sqrt(np.maximum(values[::-1], 0.0)), vectors[:, ::-1].T
