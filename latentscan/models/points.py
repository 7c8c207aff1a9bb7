"""Random z-points to decode: pure functions of (distribution, seed)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.errors import ParameterError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BOUND = 1e30  # float32 has little more


def normal_points(count: int, components: int, seed: int) -> NDArray[np.float32]:
    """Draw (count, components) from the standard normal distribution.

    >>> normal_points(2, 3, seed=0).shape
    (2, 3)
    """
    return np.random.default_rng(seed).standard_normal((count, components)).astype(np.float32)


def uniform_points(count: int, components: int, bound: float, seed: int) -> NDArray[np.float32]:
    """Draw (count, components) evenly from ±bound in every component.

    Parameters
    ----------
    count, components
        The shape.
    bound
        Largest absolute value.
    seed
        Seed of the generator.

    Raises
    ------
    UsageError
        If the bound is not a positive number.
    """
    if not 0 < bound <= MOST_BOUND:
        raise ParameterError(
            f"expected a positive bound up to {MOST_BOUND:g}, such as 3", field="uniform", value=bound
        )
    return np.random.default_rng(seed).uniform(-bound, bound, (count, components)).astype(np.float32)


def gaussian_points(
    count: int, mean: NDArray[np.floating], std: NDArray[np.floating], seed: int
) -> NDArray[np.float32]:
    """Draw (count, components) from independent normal distributions.

    Parameters
    ----------
    count
        How many points.
    mean, std
        Of each component, (components,).
    seed
        Seed of the generator.

    Raises
    ------
    UsageError
        If mean and std do not fit each other, or are not finite, or a std is negative.
    """
    if mean.ndim != 1 or mean.shape != std.shape:
        raise UsageError(
            f"Gaussian z-points: expected mean and std (components,), got {mean.shape} and {std.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise UsageError(
            "Gaussian z-points: expected finite means and finite std >= 0 (check the store's moments)"
        )
    normal = np.random.default_rng(seed).standard_normal((count, len(mean)))
    return np.asarray(mean + std * normal, np.float32)
