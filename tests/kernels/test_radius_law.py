from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from latentscan.kernels.radius_law import radius_cdf, radius_range, squared_radius_std

Floats = NDArray[np.float64]
SAMPLES = 200_000


def edges_of(variances: Floats, means: Floats, count: int = 200) -> Floats:
    return np.linspace(*radius_range(variances, means), count)


def sampled_radii(variances: Floats, means: Floats) -> Floats:
    rng = np.random.default_rng(0)
    squares = np.zeros(SAMPLES)
    for variance, mean in zip(variances, means, strict=True):
        squares += (np.sqrt(variance) * rng.standard_normal(SAMPLES) + mean) ** 2
    return np.asarray(np.sort(np.sqrt(squares)))


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e6])
@pytest.mark.parametrize(("components", "error"), [(1, 1e-3), (2, 1e-5), (3, 1e-6), (10, 1e-9), (256, 1e-9)])
def test_a_centred_round_cloud_has_the_radii_of_the_chi_distribution(
    components: int, error: float, scale: float
) -> None:
    variances, means = np.full(components, scale**2), np.zeros(components)
    edges = edges_of(variances, means, 500)
    expected = stats.chi.cdf(edges / scale, components)
    np.testing.assert_allclose(radius_cdf(edges, variances, means), expected, rtol=0, atol=error)


@pytest.mark.parametrize("offset", [0.3, 3.0, 30.0])
@pytest.mark.parametrize(("components", "error"), [(1, 1e-3), (2, 1e-5), (3, 1e-6), (10, 1e-7), (256, 1e-7)])
def test_an_off_centre_round_cloud_has_those_of_the_noncentral_one(
    components: int, error: float, offset: float
) -> None:
    variances, means = np.ones(components), np.full(components, offset / np.sqrt(components))
    edges = edges_of(variances, means)
    expected = stats.ncx2.cdf(edges**2, components, offset**2)
    np.testing.assert_allclose(radius_cdf(edges, variances, means), expected, rtol=0, atol=error)


CLOUDS = {
    "a factor of ten from each to the next": (10.0 ** -np.arange(8), np.zeros(8)),
    "lognormal": (np.exp(np.linspace(-5, 5, 256)), np.linspace(-1, 1, 256)),
    "one large": (np.r_[1.0, np.linspace(1e-8, 1e-6, 63)], np.zeros(64)),
    "some do not vary": (np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.5, 1.0, 2.0])),
    "one varies, far off": (np.array([1.0, 0.0]), np.array([0.0, 100.0])),
}


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS.keys())
def test_any_cloud_has_the_radii_that_are_drawn(cloud: tuple[Floats, Floats]) -> None:
    edges, radii = edges_of(*cloud), sampled_radii(*cloud)
    drawn = np.searchsorted(radii, edges) / SAMPLES
    np.testing.assert_allclose(radius_cdf(edges, *cloud), drawn, rtol=0, atol=4 * 0.5 / np.sqrt(SAMPLES))
    assert (radii**2).std() == pytest.approx(squared_radius_std(*cloud), rel=0.02)


@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_a_cloud_that_does_not_vary_has_one_radius(mean: float) -> None:
    edges = np.array([0.0, 2.9, 3.1, 9.0])
    found = radius_cdf(edges, np.zeros(2), np.array([mean, 0.0]))
    assert found.tolist() == (edges > mean).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-30, 30)), min_size=1, max_size=6))
def test_shares_ascend_from_0_to_1(components: list[tuple[float, float]]) -> None:
    variances, means = np.array(components).T
    low, high = radius_range(variances, means)
    found = radius_cdf(np.linspace(0.9 * low, 1.1 * high + 1, 50), variances, means)
    assert (np.diff(found) >= 0).all()
    assert found[0] <= 0.01
    assert found[-1] == 1
