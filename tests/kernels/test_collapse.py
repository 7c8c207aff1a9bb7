from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from latentscan.kernels.collapse import (
    ClippedNoise,
    CollapsePartial,
    collapse_partial,
    count_above,
    effective_number,
    erfc,
    participation_ratio,
    radius_difference,
)
from latentscan.kernels.epsilon import epsilon, z_points
from latentscan.kernels.reduction import LatentBlock

LIMIT, FACTOR, THRESHOLD = 1.5, 0.7, 0.3


def block(rows: int, start: int = 0, seed: int = 0) -> LatentBlock:
    rng = np.random.default_rng(seed)
    mu = rng.standard_normal((rows, 5)).astype(np.float32) * np.array([2, 1, 1, 0.1, 0], np.float32)
    logvar = (rng.standard_normal((rows, 5)) - np.array([4, 2, 1, 0.5, 0])).astype(np.float32)
    z = z_points(mu, logvar, epsilon(seed, 0, rows, 5, LIMIT), FACTOR)
    return LatentBlock(np.arange(start, start + rows), {"mu": mu, "logvar": logvar, "z": z})


def part(whole: LatentBlock, rows: slice) -> LatentBlock:
    return LatentBlock(whole.images[rows], {name: array[rows] for name, array in whole.latents.items()})


def partial(one: LatentBlock) -> CollapsePartial:
    return collapse_partial(one, ClippedNoise(LIMIT, FACTOR), THRESHOLD)


def test_sums_are_those_of_numpy_on_the_whole() -> None:
    whole = block(700)
    mu, logvar, z = (whole.latents[name].astype(np.float64) for name in ("mu", "logvar", "z"))
    found = partial(whole)
    assert found.noise_variance is not None
    assert found.kl is not None
    assert found.deviations is not None
    np.testing.assert_allclose(found.points.matrix, np.cov(mu.T, bias=True), atol=1e-6)
    np.testing.assert_allclose(found.noise_variance, np.exp(logvar).sum(axis=0))
    kl = -0.5 * (1 + logvar - mu**2 - np.exp(logvar))
    np.testing.assert_allclose(found.kl, kl.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviations.absolute, np.abs(z - mu).sum(axis=0), rtol=1e-5)
    assert found.deviations.above.tolist() == (np.abs(z - mu) > THRESHOLD).sum(axis=0).tolist()
    radii = np.linalg.norm(z, axis=1) - np.linalg.norm(mu, axis=1)
    assert found.deviations.radius == pytest.approx(np.abs(radii).sum())


@given(st.lists(st.integers(0, 120), min_size=1, max_size=3))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    whole = block(120)
    edges = [0, *sorted(cuts), 120]
    parts = [partial(part(whole, slice(*span))) for span in pairwise(edges)]
    left = parts[0]
    for one in parts[1:]:
        left = left.merge(one)
    right = parts[-1]
    for one in parts[-2::-1]:
        right = one.merge(right)
    expected = partial(whole)
    for found in (left, right):
        assert found.deviations is not None
        assert expected.deviations is not None
        assert found.points.count == 120
        np.testing.assert_allclose(found.points.scatter, expected.points.scatter, atol=1e-2)
        np.testing.assert_allclose(found.kl, expected.kl, rtol=1e-5, atol=1e-5)  # type: ignore[arg-type]
        assert found.deviations.above.tolist() == expected.deviations.above.tolist()
        np.testing.assert_allclose(found.deviations.expected_above, expected.deviations.expected_above)
        assert found.deviations.expected_radius == pytest.approx(expected.deviations.expected_radius)


def test_closed_forms_are_what_is_measured() -> None:
    found = partial(block(20_000)).deviations
    noise = ClippedNoise(LIMIT, FACTOR)
    assert found is not None
    np.testing.assert_allclose(noise.mean_absolute * found.scale, found.absolute, rtol=0.02)
    np.testing.assert_allclose(found.expected_above, found.above, rtol=0.05)
    assert found.expected_radius == pytest.approx(found.radius, rel=0.03)


@pytest.mark.parametrize("limit", [0.5, 1.0, 3.0, 5.0, math.inf])
def test_moments_of_clipped_noise(limit: float) -> None:
    noise = ClippedNoise(limit, 2.0)
    x = np.linspace(-12, 12, 400_001)
    weights = stats.norm.pdf(x) * (x[1] - x[0])
    clipped = 2.0 * np.clip(x, -limit, limit)
    assert noise.mean_absolute == pytest.approx(weights @ np.abs(clipped), rel=1e-6)
    assert noise.mean_square == pytest.approx(weights @ clipped**2, rel=1e-6)
    assert noise.mean_fourth == pytest.approx(weights @ clipped**4, rel=1e-6)


def test_noise_of_factor_zero_is_none() -> None:
    noise = ClippedNoise(5.0, 0.0)
    assert (noise.mean_absolute, noise.mean_square) == (0.0, 0.0)
    assert noise.share_above(np.array([0.1, 1.0])).tolist() == [0.0, 0.0]


def test_erfc_is_scipys() -> None:
    x = np.linspace(-6, 9, 5001)
    np.testing.assert_allclose(erfc(x), special.erfc(x), rtol=1.3e-7)
    assert erfc(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(("r", "mean", "variance"), [(5.0, 2.0, 1.0), (1.0, 20.0, 40.0), (0.0, 64.0, 100.0)])
def test_the_difference_of_radii_by_two_moments(r: float, mean: float, variance: float) -> None:
    """Of a gamma distribution, which D resembles where many components have noise."""
    sampled = np.random.default_rng(0).gamma(mean**2 / variance, variance / mean, 400_000)
    expected = np.abs(np.sqrt(r * r + sampled) - r).mean()
    found = radius_difference(np.array([r]), np.array([mean]), np.array([variance]))[0]
    assert found == pytest.approx(expected, rel=0.02)


def test_a_line_has_one_dimension_whatever_the_components() -> None:
    direction = np.array([3.0, 1.0, -2.0, 0.5])
    assert participation_ratio(np.outer(direction, direction)) == pytest.approx(1)
    assert participation_ratio(np.zeros((3, 3))) == 0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_the_effective_number_lies_between_one_and_all(parts: list[float]) -> None:
    found = effective_number(np.array(parts))
    positive = sum(value > 0 for value in parts)
    assert (1 - 1e-9) * (positive > 0) <= found <= positive * (1 + 1e-9)


def test_counts_fall_as_thresholds_rise() -> None:
    assert count_above(np.array([1.0, 0.5, 0.1, 0.0]), (0.0, 0.1, 0.7)).tolist() == [3, 2, 1]


def test_what_has_no_logvar_has_points_alone() -> None:
    latents = {"z": block(30).latents["z"]}
    found = partial(LatentBlock(np.arange(30), latents))
    assert found.points.count == 30
    assert (found.noise_variance, found.kl, found.deviations) == (None, None, None)
