from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.lloyd import Clusters, inertia, lloyd, merged


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


@given(st.integers(2, 120), st.integers(1, 9), st.integers(1, 6))
def test_iterations_move_centres_to_the_means_of_their_rows(count: int, k: int, iterations: int) -> None:
    x = rows(count)
    centres = x[:k].astype(np.float64)
    for _ in range(iterations):
        distances = ((x[:, None] - centres) ** 2).sum(axis=2)
        nearest = distances.argmin(axis=1)
        centres = np.array([x[nearest == n].mean(axis=0, dtype=np.float64) for n in range(len(centres))])
    found = lloyd(x, x[:k], iterations)
    np.testing.assert_allclose(found.centres, centres, atol=1e-5)
    assert found.sizes.tolist() == np.bincount(nearest, minlength=len(centres)).tolist()
    squares = ((x[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
    assert inertia(x, found.centres) == pytest.approx(squares.sum(), rel=1e-4, abs=1e-4)


def test_more_iterations_never_raise_inertia_and_a_centre_without_rows_stays() -> None:
    x = rows(300)
    found = [inertia(x, lloyd(x, x[:8], n).centres) for n in range(1, 8)]
    assert (np.diff(found) <= 1e-3).all()
    lonely = np.array([[0, 0, 0, 0], [90, 0, 0, 0]], np.float32)
    clusters = lloyd(x, lonely, 3)
    assert clusters.centres[1].tolist() == lonely[1].tolist()
    assert clusters.sizes.tolist() == [300, 0]


@pytest.mark.parametrize("count", [1, 4, 9])
def test_merging_is_that_of_ward_in_scipy(count: int) -> None:
    from scipy.cluster.hierarchy import fcluster, ward

    x = rows(30)
    labels = fcluster(ward(x.astype(np.float64)), count, "maxclust")
    expected = np.array([x[labels == label].mean(axis=0, dtype=np.float64) for label in np.unique(labels)])
    found = merged(Clusters(x, np.ones(30, np.int64)), count)
    order = [np.lexsort(centres.round(3).T) for centres in (found, expected)]
    np.testing.assert_allclose(found[order[0]], expected[order[1]], atol=1e-5)


def test_merging_weighs_clusters_by_their_rows_and_leaves_out_empty_ones() -> None:
    centres = np.array([[0.0], [1.0], [5.0], [7.0]], np.float32)
    left = merged(Clusters(centres, np.array([9, 1, 0, 2])), 2)
    assert left.ravel().tolist() == pytest.approx([0.1, 7.0])
    assert len(merged(Clusters(centres, np.array([9, 1, 0, 2])), 4)) == 3


def test_inertia_is_never_below_0() -> None:
    x = np.repeat(rows(3), 50, axis=0) + np.float32(0.1)
    assert 0 <= inertia(x, x[::50]) < 1e-3
