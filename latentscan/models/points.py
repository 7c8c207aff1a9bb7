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
    count: int,
    mean: NDArray[np.floating],
    std: NDArray[np.floating],
    seed: int,
    axes: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """Draw (count, components) from a normal distribution.

    Parameters
    ----------
    count
        How many points.
    mean
        Of each component, (components,).
    std
        Along each axis, (axes,).
    seed
        Seed of the generator.
    axes
        The directions along which values are independent, (axes, component), of length 1 and orthogonal;
        the components themselves if None.

    Raises
    ------
    UsageError
        If mean, std and axes do not fit each other, or are not finite, or a std is negative.
    """
    directions = mean.shape * 2 if axes is None else axes.shape
    if mean.ndim != 1 or (*std.shape, *mean.shape) != directions:
        raise UsageError(
            "Gaussian z-points: expected mean (components,), std (axes,) and axes (axes, components), got "
            f"{mean.shape}, {std.shape} and {directions}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise UsageError(
            "Gaussian z-points: expected finite means and finite std >= 0 (check the store's moments)"
        )
    scaled = std * np.random.default_rng(seed).standard_normal((count, len(std)))
    return np.asarray(mean + (scaled if axes is None else scaled @ axes), np.float32)
