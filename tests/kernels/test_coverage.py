from __future__ import annotations

import numpy as np
import pytest

from latentscan.kernels.coverage import Reference, fidelity, principal_space, wilson

RNG = np.random.default_rng(2)


def brute(real: np.ndarray, made: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage, point by point."""
    own = np.linalg.norm(real[:, None] - real[None], axis=2)
    radius = np.sort(own, axis=1)[:, k]
    other = np.linalg.norm(made[:, None] - made[None], axis=2)
    reach = np.sort(other, axis=1)[:, k]
    between = np.linalg.norm(real[:, None] - made[None], axis=2)
    inside = between <= radius[:, None]
    return (
        float(inside.any(axis=0).mean()),
        float((between <= reach[None]).any(axis=1).mean()),
        float(inside.sum(axis=0).mean() / k),
        float(inside.any(axis=1).mean()),
    )


@pytest.mark.parametrize("k", [1, 5])
def test_figures_are_those_of_brute_force(k: int) -> None:
    real, made = RNG.standard_normal((60, 3)), 0.7 * RNG.standard_normal((47, 3)) + 0.5
    found = fidelity(Reference.of(real, k), made)
    values = (found.precision.value, found.recall.value, found.density.value, found.coverage.value)
    assert values == pytest.approx(brute(real, made, k))
    for share in (found.precision, found.recall, found.density, found.coverage):
        assert share.low <= share.value <= share.high


def test_the_same_distribution_has_precision_recall_density_and_coverage() -> None:
    found = [
        fidelity(Reference.of(one, 5), other)
        for one, other in zip(*RNG.standard_normal((2, 20, 300, 5)), strict=True)
    ]
    assert np.mean([one.density.value for one in found]) == pytest.approx(1, abs=0.05)
    # of Gaussians, a ball of k real neighbours is missed by all of as many points with chance 2^-k
    assert np.mean([one.coverage.value for one in found]) == pytest.approx(1 - 2**-5, abs=0.02)
    assert np.mean([one.precision.value for one in found]) > 0.85
    hits = [one.coverage.low <= 1 - 2**-5 <= one.coverage.high for one in found]
    assert np.mean(hits) >= 0.8


def test_intervals_hold_the_mean_of_all_samples() -> None:
    rng = np.random.default_rng(0)
    found = [
        fidelity(Reference.of(rng.standard_normal((120, 12)), 5), rng.standard_normal((120, 12)))
        for _ in range(200)
    ]
    for name in ("precision", "recall", "density", "coverage"):
        shares = [getattr(one, name) for one in found]
        mean = np.mean([share.value for share in shares])
        assert np.mean([not share.low <= mean <= share.high for share in shares]) <= 0.05, name


def test_one_point_again_and_again_is_precise_and_covers_nothing() -> None:
    real = RNG.standard_normal((400, 2))
    found = fidelity(Reference.of(real, 5), np.zeros((300, 2)))
    assert found.precision.value == 1
    assert found.coverage.value < 0.1
    far = fidelity(Reference.of(real, 5), np.full((300, 2), 50.0))
    assert (far.precision.value, far.coverage.value, far.density.value) == (0, 0, 0)


def test_half_of_a_mixture_is_half_covered() -> None:
    real = RNG.standard_normal((500, 3)) + np.repeat([[-20.0], [20.0]], 250, axis=0)
    found = fidelity(Reference.of(real, 5), RNG.standard_normal((500, 3)) + 20)
    assert found.coverage.low < 0.5 < found.coverage.high + 0.02
    assert found.precision.value > 0.85


def test_wilson_is_never_empty() -> None:
    assert wilson(0, 50).high > 0.05
    assert wilson(50, 50).low < 0.95


def test_the_principal_space_is_that_of_the_covariance() -> None:
    images = RNG.standard_normal((30, 80)) * np.linspace(3, 0.1, 80)
    mean, axes = principal_space(images, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-9)
    values = np.linalg.eigvalsh(np.cov(images.T))[::-1][:4]
    np.testing.assert_allclose(((images - mean) @ axes).var(axis=0, ddof=1), values, rtol=1e-9)
    assert principal_space(np.ones((5, 7)), 4)[1].shape == (7, 0)
