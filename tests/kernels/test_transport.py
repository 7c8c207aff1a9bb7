from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latentscan.kernels.transport import Distance, cumulative, distance_of_samples, wasserstein_distance

counts = st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any)


@given(counts, counts, st.floats(-5, 5), st.floats(0.1, 3))
def test_it_is_that_of_scipy_between_finely_drawn_points(
    a: list[int], b: list[int], start: float, width: float
) -> None:
    edges = [np.arange(len(a) + 1.0), start + width * np.arange(len(b) + 1.0)]
    found = wasserstein_distance(edges[0], cumulative(np.array(a)), edges[1], cumulative(np.array(b)))
    fine = (np.arange(200) + 0.5) / 200
    points = [(e[:-1, None] + np.diff(e)[:, None] * fine).ravel() for e in edges]
    expected = stats.wasserstein_distance(*points, np.repeat(a, 200), np.repeat(b, 200))
    assert found == pytest.approx(expected, abs=0.01)


@given(counts)
def test_nothing_lies_between_a_distribution_and_itself(a: list[int]) -> None:
    edges, shares = np.arange(len(a) + 1.0), cumulative(np.array(a))
    assert wasserstein_distance(edges, shares, edges, shares) == 0
    assert wasserstein_distance(edges, shares, edges + 3, shares) == pytest.approx(3)


def distance(a: np.ndarray, b: np.ndarray) -> Distance:
    counted = [np.unique(one, return_counts=True) for one in (a, b)]
    return distance_of_samples(*counted[0], *counted[1])


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.lists(st.floats(0, 1e6), min_size=1, max_size=20)
)
def test_the_distance_of_samples_is_scipys(a: list[float], b: list[float]) -> None:
    found = distance(np.array(a), np.array(b))
    assert found.value == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9, abs=1e-9)


def test_its_error_is_how_far_samples_vary_and_its_floor_what_equal_ones_differ_by() -> None:
    rng = np.random.default_rng(0)
    apart = [distance(rng.gamma(9, size=300), 1.3 * rng.gamma(9, size=200)) for _ in range(300)]
    assert np.mean([one.error for one in apart]) == pytest.approx(
        np.std([one.value for one in apart]), rel=0.15
    )
    same = [distance(rng.gamma(9, size=300), rng.gamma(9, size=200)) for _ in range(300)]
    assert np.mean([one.floor for one in same]) == pytest.approx(
        np.mean([one.value for one in same]), rel=0.1
    )
