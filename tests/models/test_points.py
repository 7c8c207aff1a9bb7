from __future__ import annotations

import numpy as np
import pytest

from latentscan.errors import ParameterError, UsageError
from latentscan.models.points import gaussian_points, normal_points, uniform_points


def test_points_have_the_asked_distribution() -> None:
    normal = normal_points(20_000, 2, seed=1)
    assert normal.shape == (20_000, 2)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(normal.std(axis=0), 1, atol=0.04)
    uniform = uniform_points(20_000, 2, 3.0, seed=1)
    assert np.abs(uniform).max() <= 3
    np.testing.assert_allclose(uniform.std(axis=0), 3 / np.sqrt(3), atol=0.04)
    gaussian = gaussian_points(20_000, np.array([5.0, -2.0]), np.array([0.1, 4.0]), seed=1)
    np.testing.assert_allclose(gaussian.mean(axis=0), [5, -2], atol=0.1)
    np.testing.assert_allclose(gaussian.std(axis=0), [0.1, 4], rtol=0.04)
    turned = gaussian_points(
        20_000, np.zeros(2), np.array([0.1, 4.0]), seed=1, axes=np.array([[0.6, 0.8], [-0.8, 0.6]])
    )
    expected = 0.1**2 * np.outer([0.6, 0.8], [0.6, 0.8]) + 16 * np.outer([-0.8, 0.6], [-0.8, 0.6])
    np.testing.assert_allclose(np.cov(turned.T), expected, rtol=0.04)


def test_points_depend_on_the_seed_alone() -> None:
    np.testing.assert_array_equal(normal_points(4, 3, seed=1), normal_points(4, 3, seed=1))
    assert not np.array_equal(normal_points(4, 3, seed=1), normal_points(4, 3, seed=2))


@pytest.mark.parametrize("bound", [0, -1, np.nan, np.inf])
def test_a_bound_that_is_none_is_refused(bound: float) -> None:
    with pytest.raises(ParameterError, match="expected a positive bound"):
        uniform_points(1, 1, bound, seed=0)


@pytest.mark.parametrize(
    ("mean", "std"), [([0.0], [1.0, 1.0]), ([[0.0]], [[1.0]]), ([np.nan], [1.0]), ([0.0], [-1.0])]
)
def test_moments_that_are_none_are_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(UsageError, match="Gaussian z-points"):
        gaussian_points(1, np.array(mean), np.array(std), seed=0)


def test_axes_of_other_components_are_refused() -> None:
    with pytest.raises(UsageError, match="Gaussian z-points"):
        gaussian_points(1, np.zeros(3), np.ones(2), seed=0, axes=np.eye(2))
