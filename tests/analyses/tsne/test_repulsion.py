from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscan.analyses.tsne.repulsion import SPACING, WIDEST, Convolution, Grid, Surroundings


def exact(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    apart = points[:, None] - points[None]
    similarity = 1 / (1 + (apart**2).sum(axis=2))
    return similarity.sum(axis=1), (apart * similarity[..., None] ** 2).sum(axis=1)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 400),
    st.integers(0, 2**32 - 1),
    st.floats(-6, 2.3).map(lambda power: 10**power),
    st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
def test_the_sums_are_those_over_all_pairs(
    count: int, seed: int, scale: float, shift: tuple[float, float]
) -> None:
    points = np.random.default_rng(seed).standard_normal((count, 2)) * scale + np.array(shift) * scale
    grid = Grid.over(points)
    similarity, push = Convolution().field(grid, grid.weights(points)).at(points)
    expected, expected_push = exact(points)
    assert relative_error(similarity, expected) < 0.02
    assert np.abs(push - expected_push).max() < 0.06 * max(np.abs(expected_push).max(), min(scale, 0.5))


def test_it_is_no_less_exact_than_openTSNE() -> None:  # noqa: N802
    from openTSNE._tsne import estimate_negative_gradient_fft_2d

    points = np.random.default_rng(0).uniform(-100, 100, (3000, 2))
    grid = Grid.over(points)
    assert grid.spacing == SPACING
    _, push = Convolution().field(grid, grid.weights(points)).at(points)
    gradient = np.zeros_like(points)
    total = estimate_negative_gradient_fft_2d(points, gradient, 3, 50, 1.0)
    _, expected = exact(points)
    assert relative_error(push, expected) < relative_error(-gradient * total, expected) < 0.1


def test_the_weights_of_a_point_sum_to_one_even_off_the_grid() -> None:
    grid = Grid.over(np.array([[0.0, 0.0], [3.0, 4.0]]))
    weights = grid.weights(np.array([[1.0, 1.0], [0.0, 4.0], [-900.0, 900.0]]))
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1, rtol=1e-6)


def test_points_at_one_place_push_nobody() -> None:
    points = np.full((5, 2), 3.25)
    grid = Grid.over(points)
    similarity, push = Convolution().field(grid, grid.weights(points)).at(points)
    np.testing.assert_allclose(similarity, 5, rtol=0.02)
    np.testing.assert_allclose(push, 0, atol=1e-3)


def test_a_point_far_out_makes_no_larger_grid() -> None:
    rng = np.random.default_rng(1)
    points = np.concatenate(
        [15 * rng.standard_normal((800, 2)), [[2000.0, -70.0], [1e6, 1e6], [2000.5, -70.0]]]
    )
    found = Surroundings(points, Convolution())
    assert found._grid.nodes <= WIDEST
    similarity, push = found.itself()
    expected, expected_push = exact(points)
    np.testing.assert_allclose(similarity, expected, rtol=0.01)
    assert relative_error(push, expected_push) < 0.02
    np.testing.assert_allclose(push[-3:], expected_push[-3:], rtol=1e-4)
    others = np.concatenate([points[:50] + 0.1, [[900.0, 3.0], [2001.0, -70.0]]])
    similarity, push = found.at(others)
    apart = others[:, None] - points
    near = 1 / (1 + (apart**2).sum(axis=2))
    np.testing.assert_allclose(similarity, near.sum(axis=1), rtol=0.01)
    assert relative_error(push, (apart * near[..., None] ** 2).sum(axis=1)) < 0.02


def test_without_one_the_sums_are_those_of_the_grid() -> None:
    points = 20 * np.random.default_rng(2).standard_normal((500, 2))
    grid = Grid.over(points)
    expected = Convolution().field(grid, grid.weights(points)).at(points)
    for found in (
        Surroundings(points, Convolution()).itself(),
        Surroundings(points, Convolution()).at(points),
    ):
        assert all(one.tobytes() == two.tobytes() for one, two in zip(found, expected, strict=True))
