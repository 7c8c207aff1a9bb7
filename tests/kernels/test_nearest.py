from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentscan.kernels.nearest import count_nearer, nearest, robust_centre, squares_between

Rows = NDArray[np.float32]


def clouds(seed: int) -> dict[str, Rows]:
    """Clouds whose distances a matrix product in float32, or even in float64, would round away."""
    rng = np.random.default_rng(seed)
    ball = rng.standard_normal((240, 6))
    outlier = ball.copy()
    outlier[7] *= 1e12
    apart = ball.copy()
    apart[::2, 0] += 1e9
    few = {"ball": ball, "far": ball + 1e6, "tiny": 1e-24 * ball, "huge": 1e15 * ball}
    many = {"outlier": outlier, "two far apart": apart, "copies": np.repeat(ball[:30], 8, axis=0)}
    return {name: rows.astype(np.float32) for name, rows in {**few, **many, "one": 0 * ball}.items()}


def brute_force(rows: Rows, queries: Rows, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    squares = ((queries[:, np.newaxis].astype(np.float64) - rows) ** 2).sum(axis=2)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squares, order, axis=1)


@pytest.mark.parametrize("name", clouds(0))
def test_the_nearest_are_those_of_differences_in_float64(name: str) -> None:
    rows = clouds(0)[name]
    numbers, squares = nearest(rows, rows, 9)
    expected_numbers, expected = brute_force(rows, rows, 9)
    np.testing.assert_allclose(squares, expected, rtol=1e-12)
    close = np.isclose(np.diff(expected, axis=1), 0, rtol=0, atol=1e-12 * expected[:, 1:])
    assert (numbers == expected_numbers)[:, :-1][~close].all()


@pytest.mark.parametrize("name", clouds(1))
def test_ranks_are_those_of_differences_in_float64(name: str) -> None:
    rows = clouds(1)[name]
    chosen = np.random.default_rng(0).integers(len(rows), size=(len(rows), 5))
    thresholds = np.array([squares_between(rows, row, at) for row, at in zip(rows, chosen, strict=True)])
    every = [squares_between(rows, row, np.arange(len(rows))) for row in rows]
    expected = [
        [(own < limit).sum() for limit in wanted] for own, wanted in zip(every, thresholds, strict=True)
    ]
    assert count_nearer(rows, rows, thresholds).tolist() == np.array(expected).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_counts_of_parts_add_up(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (41, 3)).astype(np.float32)
    limits = rng.integers(0, 30, (5, 4)).astype(np.float64)
    whole = count_nearer(rows, rows[:5], limits)
    parts = count_nearer(rows[:cut], rows[:5], limits) + count_nearer(rows[cut:], rows[:5], limits)
    assert (whole == parts).all()


def test_no_row_far_out_moves_the_centre() -> None:
    rows = np.random.default_rng(0).standard_normal((500, 3))
    rows[3] = 1e30
    assert (np.abs(robust_centre(rows)) < 0.3).all()
    assert robust_centre(rows[:0]).tolist() == [0, 0, 0]
