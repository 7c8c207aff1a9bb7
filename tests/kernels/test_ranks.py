from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from latentscan.kernels.ranks import (
    estimate,
    kept_of,
    nearest_on_map,
    neighbour_ranks,
    overlap_of,
    trustworthiness_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cloud(seed: int, n: int, away: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 12)) * np.linspace(3, 0.1, 12) + away).astype(np.float32)


def trustworthiness(
    rows: NDArray[np.float32], embedding: NDArray[Any], queries: NDArray[Any], neighbours: int
) -> float:
    near = nearest_on_map(embedding, queries, neighbours)
    return float(trustworthiness_of(neighbour_ranks(rows, near, queries), len(rows)).mean())


@pytest.mark.parametrize("neighbours", [1, 7, 40])
@pytest.mark.parametrize("quality", ["good", "bad", "random"])
def test_on_all_points_it_is_scikit_learns(neighbours: int, quality: str) -> None:
    rows = cloud(1, 323)
    columns = {"good": rows[:, :2], "bad": rows[:, 7:9], "random": cloud(2, len(rows))[:, :2]}
    embedding = columns[quality].astype(np.float64)
    found = trustworthiness(rows, embedding, np.arange(len(rows)), neighbours)
    expected = sklearn_trustworthiness(rows.astype(np.float64), embedding, n_neighbors=neighbours)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_sample_of_queries_estimates_the_whole() -> None:
    rows = cloud(3, 3000)
    embedding = rows[:, :2]
    whole = trustworthiness(rows, embedding, np.arange(3000), 10)
    sampled = trustworthiness(rows, embedding, np.random.default_rng(0).choice(3000, 500, replace=False), 10)
    assert 0.6 < whole < 0.99
    assert sampled == pytest.approx(whole, abs=0.01)


def test_a_cloud_or_a_map_far_from_zero_loses_nothing() -> None:
    rows = (np.round(cloud(4, 400) * 256) / 256).astype(np.float32)
    embedding = np.round(rows[:, :2].astype(np.float64) * 256) / 256
    queries = np.arange(400)
    near = trustworthiness(rows, embedding, queries, 8)
    assert trustworthiness(rows + np.float32(512), embedding + 2.0**30, queries, 8) == pytest.approx(
        near, abs=1e-4
    )


def test_neighbours_on_a_line_kept_and_lost() -> None:
    line = np.arange(101, dtype=np.float32)[:, np.newaxis]
    queries = np.arange(101)
    assert trustworthiness(line, -3 * line + 5, queries, 10) == 1
    assert trustworthiness(line, (line * 37) % 101, queries, 10) < 0.7


def test_equal_rows_are_not_held_against_an_embedding() -> None:
    rows = np.repeat(cloud(5, 20), 10, axis=0)
    embedding = np.repeat(cloud(5, 20)[:, :2], 10, axis=0)
    assert trustworthiness(rows, embedding, np.arange(200), 9) == 1


@pytest.mark.parametrize("neighbours", [0, 5])
def test_too_many_neighbours(neighbours: int) -> None:
    with pytest.raises(ValueError, match=f"neighbours = {neighbours}: expected .* half of 10 rows"):
        trustworthiness(cloud(6, 10), cloud(6, 10)[:, :2], np.arange(10), neighbours)


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 12))
def test_the_overlap_is_that_of_the_sets(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (np.array([rng.choice(20, k, replace=False) for _ in range(n)]) for _ in "ab")
    shares = [len(set(x) & set(y)) / k for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert overlap_of(a, b).tolist() == pytest.approx(shares)
    assert (overlap_of(a, a[:, ::-1]) == 1).all()


def test_what_is_kept_is_the_share_of_both_lists_of_neighbours() -> None:
    rows = cloud(8, 300)
    embedding = rows[:, :2].astype(np.float64)
    queries, k = np.arange(0, 300, 3), 9
    found = kept_of(neighbour_ranks(rows, nearest_on_map(embedding, queries, k), queries))

    def lists(points: NDArray[Any]) -> NDArray[np.int64]:
        apart = ((points[queries, np.newaxis].astype(np.float64) - points) ** 2).sum(axis=2)
        apart[np.arange(len(queries)), queries] = np.inf
        return np.asarray(np.argsort(apart, axis=1)[:, :k])

    np.testing.assert_allclose(found, overlap_of(lists(rows), lists(embedding)))


def test_a_row_far_out_or_a_far_cloud_changes_no_rank_of_the_others() -> None:
    rows = (np.round(cloud(9, 200) * 256) / 256).astype(np.float32)
    embedding, queries = rows[:, :2], np.arange(200)
    near = nearest_on_map(embedding, queries, 7)
    expected = neighbour_ranks(rows, near, queries)
    assert (neighbour_ranks(rows + np.float32(512), near, queries) == expected).all()
    far = np.concatenate([rows, np.full((1, 12), 1e12, np.float32)])
    assert (neighbour_ranks(far, near, queries) == expected).all()


def test_the_error_is_how_far_samples_vary() -> None:
    rng = np.random.default_rng(0)
    samples = [estimate(rng.gamma(2, size=200)) for _ in range(400)]
    spread = np.std([one.value for one in samples])
    assert np.mean([one.error for one in samples]) == pytest.approx(spread, rel=0.12)
    assert np.isnan(estimate(np.ones(1)).error)
