from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import procrustes as scipy_procrustes

from latentscan.kernels.procrustes import disparity_without_each, procrustes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def orthogonal(rng: np.random.Generator, axes: int, determinant: int) -> NDArray[np.float64]:
    q = np.linalg.qr(rng.standard_normal((axes, axes)))[0]
    if np.sign(np.linalg.det(q)) != determinant:
        q[:, 0] *= -1
    return q


@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.sampled_from([-1, 1]),
    st.floats(1e-3, 1e3),
    st.sampled_from([0.0, 30.0, 1e3]),
)
def test_a_moved_map_comes_back(seed: int, axes: int, determinant: int, scale: float, away: float) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal((50, axes)) + away
    turned = orthogonal(rng, axes, determinant)
    moving = (reference @ turned.T - rng.standard_normal(axes)) / scale
    alignment = procrustes(reference, moving)
    np.testing.assert_allclose(alignment.apply(moving), reference, atol=1e-8 * max(1, away))
    np.testing.assert_allclose(alignment.rotation, turned, atol=1e-8)
    assert alignment.scale == pytest.approx(scale)
    assert alignment.disparity == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
def test_the_disparity_is_scipys_and_no_alignment_is_better(noise: float) -> None:
    rng = np.random.default_rng(3)
    reference = rng.standard_normal((300, 2)) * [5, 1]
    moving = (reference + noise * rng.standard_normal((300, 2)))[:, ::-1] * 0.2
    alignment = procrustes(reference, moving)
    assert alignment.disparity == pytest.approx(scipy_procrustes(reference, moving)[2])

    def squares(rotation: NDArray[np.float64], scale: float, shift: NDArray[np.float64]) -> float:
        return float(((moving @ rotation * scale + shift - reference) ** 2).sum())

    moving = moving - moving.mean(axis=0)  # so that its scale does not move it
    shift = reference.mean(axis=0)
    scale = alignment.scale * np.sqrt(1 - alignment.disparity)  # the one that leaves least
    best = squares(alignment.rotation, scale, shift)
    spread = ((reference - reference.mean(axis=0)) ** 2).sum()
    assert best / spread == pytest.approx(alignment.disparity)
    turn = np.array([[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]])
    assert best < squares(alignment.rotation @ turn, scale, shift)
    assert best < squares(alignment.rotation, scale * 1.01, shift)
    assert best < squares(alignment.rotation, scale, shift + 0.01)


def test_maps_in_float32_and_points_beyond_them() -> None:
    rng = np.random.default_rng(4)
    reference = rng.standard_normal((100, 2)).astype(np.float32)
    moving = np.float32(2) * reference[:, ::-1] - np.float32(4)
    alignment = procrustes(reference, moving)
    assert np.linalg.det(alignment.rotation) == pytest.approx(-1)
    np.testing.assert_allclose(alignment.apply(np.array([[6.0, -2.0]])), [[1.0, 5.0]], atol=1e-5)


def test_unrelated_maps_have_nothing_in_common_but_get_the_same_size() -> None:
    rng = np.random.default_rng(5)
    reference, moving = rng.standard_normal((9000, 2)), 7 * rng.standard_normal((9000, 2))
    alignment = procrustes(reference, moving)
    assert alignment.disparity > 0.99
    moved = alignment.apply(moving)
    assert np.var(moved, axis=0).sum() == pytest.approx(np.var(reference, axis=0).sum())
    np.testing.assert_allclose(moved.mean(axis=0), reference.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("collapsed", ["reference", "moving"])
def test_a_map_of_one_point_is_laid_on_the_mean(collapsed: str) -> None:
    maps = {"reference": np.random.default_rng(6).standard_normal((20, 2)), "moving": np.ones((20, 2))}
    if collapsed == "reference":
        maps = {"reference": maps["moving"], "moving": maps["reference"]}
    alignment = procrustes(**maps)
    assert alignment.disparity == 1
    np.testing.assert_allclose(
        alignment.apply(maps["moving"]).mean(axis=0), maps["reference"].mean(axis=0), atol=1e-12
    )


def test_the_disparity_without_each_point_is_that_of_the_others() -> None:
    rng = np.random.default_rng(3)
    reference = rng.standard_normal((30, 2)) + 50
    moving = reference @ np.array([[0.0, 2.0], [-2.0, 0.0]]) + rng.standard_normal((30, 2))
    expected = [
        procrustes(np.delete(reference, row, axis=0), np.delete(moving, row, axis=0)).disparity
        for row in range(30)
    ]
    np.testing.assert_allclose(disparity_without_each(reference, moving), expected, rtol=1e-9)
