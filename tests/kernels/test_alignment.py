from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from latentscan.kernels.alignment import cka_without_each, jackknife_error_of_squares, linear_cka
from latentscan.kernels.covariance import covariance

Floats = NDArray[np.float32]


def cloud(rows: int, columns: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, columns)) * np.geomspace(0.3, 4, columns)).astype(np.float32)


def cka(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[float, float]:
    columns = x.shape[1]
    joint = covariance(np.hstack([x, y]).astype(np.float32))
    return linear_cka(joint, slice(columns), slice(columns, columns + y.shape[1]))


def plain_cka(x: Floats, y: Floats) -> float:
    """The same from the kernels of all pairs of rows, as HSIC defines it."""
    k, m = (d @ d.T for d in (c - c.mean(axis=0) for c in (x.astype(np.float64), y.astype(np.float64))))
    return float(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def test_cka_is_that_of_the_kernels() -> None:
    x = cloud(300, 7, 0) + 50
    y = np.hstack([(x[:, 4:] - 50) ** 3, cloud(300, 2, 1)])
    found, _ = cka(x, y)
    assert 0.05 < found < 0.95
    assert found == pytest.approx(plain_cka(x, y), rel=1e-5)
    assert found == pytest.approx(cka(y, x)[0], rel=1e-6)


def test_cka_of_a_rotated_scaled_shifted_cloud_is_one() -> None:
    x = cloud(200, 6, 0)
    rotation, _ = np.linalg.qr(cloud(6, 6, 2))
    assert cka(x, 30 * x @ rotation - 4)[0] == pytest.approx(1, abs=1e-5)


def test_chance_is_what_shuffled_rows_give() -> None:
    x, rng = cloud(60, 5, 0), np.random.default_rng(3)
    y = x @ rng.standard_normal((5, 4))
    shuffled = np.mean([cka(x, rng.permutation(y))[0] for _ in range(2000)])
    assert shuffled == pytest.approx(cka(x, y)[1], rel=0.03)


def test_cka_of_a_single_point_is_not_a_number() -> None:
    assert np.isnan(cka(np.ones((5, 2)), cloud(5, 2, 0))).all()


def without_each(x: Floats, y: Floats) -> NDArray[np.float64]:
    columns = x.shape[1]
    both = np.hstack([x, y]).astype(np.float64)
    joint = covariance(both)
    return cka_without_each(joint, slice(columns), slice(columns, both.shape[1]), both - joint.mean)


def test_cka_without_each_row_is_that_of_the_other_rows() -> None:
    x = cloud(40, 5, 0)
    y = np.hstack([x[:, :2], cloud(40, 2, 1)])
    found = without_each(x, y)
    expected = [plain_cka(np.delete(x, row, axis=0), np.delete(y, row, axis=0)) for row in range(40)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_jackknife_is_how_far_cka_of_samples_varies() -> None:
    def drawn(seed: int) -> tuple[Floats, Floats]:
        x = cloud(300, 4, seed)
        return x, np.hstack([x[:, 2:] / 4, cloud(300, 2, 1000 + seed)])

    several = [drawn(seed) for seed in range(150)]
    found = np.array([plain_cka(*one) for one in several])
    errors = []
    for one in several:
        without = without_each(*one)
        errors.append(jackknife_error_of_squares(300, float(((without - without.mean()) ** 2).sum())))
    assert np.mean(errors) == pytest.approx(found.std(), rel=0.15)


def test_one_row_that_decides_shows_in_the_error() -> None:
    x, y = cloud(200, 3, 0), cloud(200, 3, 1)
    x[5], y[5] = 1e12, 1e12
    assert cka(x, y)[0] == pytest.approx(1)
    without = without_each(x, y)
    assert jackknife_error_of_squares(200, float(((without - without.mean()) ** 2).sum())) > 0.9
