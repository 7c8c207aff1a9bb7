from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.epsilon import epsilon, z_points


@given(st.integers(0, 2**63), st.integers(1, 9), st.lists(st.integers(0, 60), max_size=4))
def test_an_image_draws_the_same_noise_in_any_block(seed: int, components: int, cuts: list[int]) -> None:
    whole = epsilon(seed, 0, 60, components)
    ends = [0, *sorted(cuts), 60]
    parts = [epsilon(seed, a, b, components) for a, b in itertools.pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_noise_is_standard_normal_and_uncorrelated() -> None:
    drawn = epsilon(1, 0, 40_000, 6)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01
    np.testing.assert_allclose(np.corrcoef(drawn, rowvar=False), np.eye(6), atol=0.03)
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.1


def test_seeds_differ_and_the_limit_holds_elementwise() -> None:
    one, other = epsilon(1, 0, 1000, 4), epsilon(2, 0, 1000, 4)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
    limited = epsilon(1, 0, 1000, 4, limit=0.5)
    np.testing.assert_array_equal(limited, np.clip(one, -0.5, 0.5))


def test_z_is_mu_and_scaled_noise() -> None:
    rng = np.random.default_rng(0)
    mu, logvar, noise = rng.standard_normal((3, 50, 4)).astype(np.float32)
    expected = mu + np.exp(logvar.astype(np.float64) / 2) * noise * 0.7
    np.testing.assert_allclose(z_points(mu, logvar, noise, 0.7), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(z_points(mu, logvar, noise, 0.0), mu)
