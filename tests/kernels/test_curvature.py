from __future__ import annotations

import numpy as np
import pytest

from latentscan.kernels.curvature import agreement, curvature, settled_logvar

SHAPE = (3, 4, 2)  # height, width, channels


def decoded(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(z @ weights)))).reshape(-1, *SHAPE)


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_the_curvature_is_the_second_derivative_of_the_loss_of_a_sigmoid(loss: str) -> None:
    rng = np.random.default_rng(0)
    weights, z = rng.standard_normal((5, 24)), rng.standard_normal(5)
    step = 1e-4
    ahead, behind = (decoded(z + side * step * np.eye(5), weights) for side in (1, -1))
    found = curvature(ahead, behind, np.full(5, step), loss)  # type: ignore[arg-type]
    image = decoded(z[None], weights)[0]
    inside = image * (1 - image)
    if loss == "bce":
        # of a logistic model, the second derivative of the cross-entropy itself
        expected = [(inside * w.reshape(SHAPE) ** 2).mean(axis=2).sum() for w in weights]

        def cross_entropy(point: np.ndarray) -> float:
            out = decoded(point[None], weights)[0]
            return float(-(image * np.log(out) + (1 - image) * np.log(1 - out)).mean(axis=2).sum())

        wide, along = 1e-3, np.eye(5)[2]
        bend = sum(cross_entropy(z + side * wide * along) for side in (1, -1)) - 2 * cross_entropy(z)
        assert bend / wide**2 == pytest.approx(expected[2], rel=1e-4)
    else:
        expected = [2 * ((inside * w.reshape(SHAPE)) ** 2).mean(axis=2).sum() for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_pixels_whose_digits_are_lost_add_next_to_nothing() -> None:
    ahead = np.ones((1, 64, 64, 3), np.float32)
    behind = ahead - np.float32(6e-8)
    assert curvature(ahead, behind, np.array([0.05]), "bce")[0] < 1e-4


def test_the_settled_logvar_is_where_the_loss_is_lowest() -> None:
    for bend, fact, noise in ((3.0, 1.0, 1.0), (40.0, 1e-5, 1.0), (0.0, 2.0, 1.0), (2.0, 0.5, 0.25)):
        logvar = np.linspace(-20, 2, 200_001)
        loss = bend * noise * np.exp(logvar) / 2 + fact * (np.exp(logvar) - logvar) / 2
        found = settled_logvar(np.array([bend]), fact, noise)[0]
        assert found == pytest.approx(logvar[loss.argmin()], abs=2e-4)


def entries(
    rng: np.random.Generator, slope: float, offset: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    expected = -2 + rng.standard_normal(12) + 0.3 * rng.standard_normal((40, 12))
    shared = noise * rng.standard_normal((40, 1))  # of all components of an image
    return expected, slope * expected + offset + shared + noise * rng.standard_normal((40, 12))


def test_figures_are_those_of_numpy_and_intervals_hold_the_truth() -> None:
    held = np.zeros(2)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        expected, stored = entries(rng, 0.8, 0.3, 0.2)
        found = agreement(expected, stored)
        assert found.correlation.value == pytest.approx(np.corrcoef(expected.ravel(), stored.ravel())[0, 1])
        assert found.slope.value == pytest.approx(np.polyfit(expected.ravel(), stored.ravel(), 1)[0])
        assert found.correlation.lower < found.correlation.value < found.correlation.upper
        true = 0.3 - 0.2 * expected.mean()
        held += (
            found.slope.lower <= 0.8 <= found.slope.upper,
            found.offset.lower <= true <= found.offset.upper,
        )
    assert (held >= 52).all()


def test_intervals_of_few_images_lie_about_the_true_correlation() -> None:
    rng, true = np.random.default_rng(0), 0.9
    middles = []
    for _ in range(800):
        expected = rng.standard_normal((8, 5))
        shared, own = rng.standard_normal((8, 1)), rng.standard_normal((8, 5))
        noise = (shared + own) / np.sqrt(2) * np.sqrt(1 / true**2 - 1)
        found = agreement(expected, expected + noise).correlation
        middles.append(np.arctanh([found.lower, found.upper]).mean())
    error = np.std(middles) / np.sqrt(len(middles))
    assert np.mean(middles) == pytest.approx(np.arctanh(true), abs=3 * error)
    assert error < 0.01  # of a bias of 0.07 that is left without correction


def test_images_are_compared_apart_from_components() -> None:
    rng = np.random.default_rng(0)
    level = np.linspace(-5, 0, 10)
    expected = level + 0.1 * rng.standard_normal((30, 10))
    found = agreement(expected, level + 0.1 * rng.standard_normal((30, 10)))
    assert found.correlation.value > 0.99
    assert abs(found.within.value) < 0.2


def test_what_does_not_vary_has_no_correlation() -> None:
    found = agreement(np.zeros((9, 3)), np.random.default_rng(0).standard_normal((9, 3)))
    assert np.isnan(found.correlation.value)
    assert np.isfinite(found.offset.lower)
