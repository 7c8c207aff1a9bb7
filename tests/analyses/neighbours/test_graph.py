from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from latentscan.analyses.cache import Run
from latentscan.analyses.neighbours.graph import GraphParameters, NeighbourGraph, graph_of, neighbour_graph
from latentscan.analyses.neighbours.index import EXACT_ROWS, RECALL, Index, index_of
from latentscan.analyses.rows import sampled_images
from latentscan.encoding.ingest import ingest
from latentscan.errors import UsageError
from latentscan.execution.executor import Stopped
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.progress import Advance
    from latentscan.store.reader import LatentStore

    Rows = NDArray[np.float32]

MANY = EXACT_ROWS + 2_001  # sorted into cells
K = 15


def cloud(n: int, components: int = 24, away: float = 0.0) -> Rows:
    """An ellipsoid whose later components hold little, as latents are."""
    rng = np.random.default_rng(n)
    widths = 5 * 0.6 ** np.arange(components)
    return (rng.standard_normal((n, components)) * widths + away).astype(np.float32)


def brute_force(rows: Rows, queries: Rows, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    exact = NearestNeighbors(algorithm="brute").fit(rows.astype(np.float64))
    distances, indices = exact.kneighbors(queries.astype(np.float64), k)
    return distances, indices


@pytest.fixture(scope="module")
def many() -> Rows:
    return cloud(MANY)


@pytest.fixture(scope="module")
def cells(many: Rows) -> Index:
    return index_of(many, K, 0, Run())


@pytest.fixture(scope="module")
def graph(many: Rows) -> NeighbourGraph:
    return graph_of(many, K, 0, Run(executor=ThreadedExecutor(2)))


@pytest.mark.parametrize("away", [0.0, 1000.0])
@pytest.mark.parametrize("n", [K + 1, 700])
def test_a_small_graph_is_exact(n: int, away: float) -> None:
    rows = cloud(n, away=away)
    found = graph_of(rows, K, 0, Run())
    distances, indices = brute_force(rows - np.float32(away), rows - np.float32(away), K + 1)
    assert (found.method, found.recall) == ("exact", 1.0)
    assert found.indices.dtype == np.int32
    assert found.distances.dtype == np.float32
    np.testing.assert_array_equal(found.indices, indices[:, 1:])
    np.testing.assert_allclose(found.distances, distances[:, 1:], rtol=1e-4 if away else 1e-5)


def test_the_recall_of_a_large_graph_is_as_claimed(many: Rows, graph: NeighbourGraph) -> None:
    assert graph.method == "ivf"
    assert RECALL <= graph.recall <= 1
    queries = np.random.default_rng(1).choice(len(many), 1000, replace=False)
    distances, indices = brute_force(many, many[queries], K + 1)
    common = [len(np.intersect1d(a, b)) for a, b in zip(indices[:, 1:], graph.indices[queries], strict=True)]
    assert np.mean(common) / K == pytest.approx(graph.recall, abs=0.006)
    own = np.linalg.norm(many[queries, np.newaxis] - many[graph.indices[queries]], axis=2)
    np.testing.assert_allclose(graph.distances[queries], own, rtol=1e-5)
    assert (np.diff(graph.distances, axis=1) >= 0).all()
    assert (graph.distances[queries] >= distances[:, 1:] * (1 - 1e-5)).all()
    assert (graph.indices != np.arange(len(many))[:, np.newaxis]).all()


def test_threads_do_not_change_a_bit(many: Rows, graph: NeighbourGraph) -> None:
    one = graph_of(many, K, 0, Run(executor=ThreadedExecutor(1)))
    assert one.indices.tobytes() == graph.indices.tobytes()
    assert one.distances.tobytes() == graph.distances.tobytes()
    assert one.recall == graph.recall
    few, twice = (graph_of(many[:1500], K, 0, Run(executor=ThreadedExecutor(threads))) for threads in (1, 2))
    assert few.distances.tobytes() == twice.distances.tobytes()


@pytest.mark.parametrize("method", ["exact", "ivf"])
def test_what_is_found_does_not_depend_on_the_batch(cells: Index, method: str) -> None:
    index = cells if method == "ivf" else replace(cells, probes=0)
    assert index.method == method
    queries = cloud(1100)
    whole = index.search(queries, K)
    for size in (1, 19, 20, 333, 512, 1000):
        for start in (0, 7, 700):
            part = slice(start, start + size)
            for found, expected in zip(index.search(queries[part], K), whole, strict=True):
                assert found.tobytes() == expected[part].tobytes()


def test_where_cells_hold_too_few_the_search_is_exact(many: Rows, cells: Index) -> None:
    assert cells.probes > 1
    narrow = replace(cells, probes=1)
    queries = many[:40]
    distances = brute_force(many, queries, 2000)[0]
    np.testing.assert_allclose(narrow.search(queries, 2000)[1], distances, rtol=1e-4, atol=1e-3)
    assert (narrow.search(queries, 50)[1] > distances[:, :50] * 1.001).any()  # and this one is not


def test_noise_without_structure_is_searched_exactly() -> None:
    rows = np.random.default_rng(0).standard_normal((EXACT_ROWS + 1, 48)).astype(np.float32)
    index = index_of(rows, K, 0, Run())
    assert (index.method, index.recall) == ("exact", 1.0)


@pytest.mark.parametrize("copies", [2, K, 4 * K])
def test_equal_rows_neighbour_each_other_but_never_themselves(copies: int) -> None:
    rows = np.repeat(cloud(40), copies, axis=0)[np.random.default_rng(0).permutation(40 * copies)]
    found = graph_of(rows, K, 0, Run())
    assert (found.indices != np.arange(len(rows))[:, np.newaxis]).all()
    assert (np.diff(np.sort(found.indices, axis=1), axis=1) > 0).all()
    equal = min(copies - 1, K)
    assert (found.distances[:, :equal] == 0).all()
    assert (found.distances[:, equal:] > 0).all()
    assert (rows[found.indices[:, :equal]] == rows[:, np.newaxis]).all()


def test_of_equally_near_rows_the_lower_number_comes_first() -> None:
    lattice = np.stack(np.divmod(np.arange(MANY), 179), axis=1) @ [[1, 1], [0, 1]]
    found = graph_of(lattice.astype(np.float32), K, 0, Run())
    ties = np.diff(found.distances, axis=1) == 0
    assert ties.mean() > 0.2
    assert (np.diff(found.indices, axis=1)[ties] > 0).all()


def test_many_rows_that_are_all_equal() -> None:
    index = index_of(np.ones((EXACT_ROWS + 1, 3), np.float32), K, 0, Run())
    assert (index.search(np.zeros((1, 3), np.float32), K)[1] == np.float32(3**0.5)).all()


def test_the_first_neighbours_are_a_graph() -> None:
    rows = cloud(300)
    found, few = graph_of(rows, K, 0, Run()), graph_of(rows, 4, 0, Run())
    assert found.first(4).indices.tobytes() == few.indices.tobytes()
    assert found.first(4).distances.tobytes() == few.distances.tobytes()
    with pytest.raises(UsageError, match="16 neighbours were asked of a graph of 15"):
        found.first(K + 1)


def test_more_neighbours_than_rows() -> None:
    with pytest.raises(UsageError, match="15 neighbours of each of 15 images"):
        graph_of(cloud(K), K, 0, Run())
    with pytest.raises(UsageError, match="6 neighbours were asked of 5 rows"):
        index_of(cloud(5), 3, 0, Run()).search(cloud(2), 6)


def test_a_search_can_be_stopped(cells: Index) -> None:
    with pytest.raises(Stopped):
        cells.search(cloud(10), K, stopped=lambda: True)


def test_progress_counts_the_points() -> None:
    told: list[int] = []

    class Listener:
        @contextmanager
        def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
            told.append(-total)
            yield lambda amount, /, **_: told.append(amount)

    graph_of(cloud(2500), K, 0, Run(progress=Listener()))
    assert told[0] == -2500
    assert sum(told) == 0


def store_of(folder: Path) -> LatentStore:
    rows = cloud(600)
    rows[77, 0] = np.nan
    np.save(folder / "z.npy", rows)
    ingest({"z": folder / "z.npy"}, str(folder / "z.zarr"), chunk_rows=128)
    return open_store(str(folder / "z.zarr"))


def test_the_graph_of_a_store_is_kept(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    parameters = GraphParameters(points=400, seed=2, neighbours=K)
    found = neighbour_graph(store, parameters, Run())
    images = sampled_images(store, 400, 2, store.readable_digests(allow_partial=False), Run())
    expected = graph_of(cloud(600)[images], K, 2, Run())
    assert found.indices.tobytes() == expected.indices.tobytes()
    assert found.distances.tobytes() == expected.distances.tobytes()
    (tmp_path / "z.zarr" / "z" / "c" / "0" / "0").unlink()
    again = neighbour_graph(store, parameters, Run())
    assert (again.recall, again.method) == (1.0, "exact")
    assert again.indices.tobytes() == found.indices.tobytes()


def test_what_a_store_cannot_give(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    with pytest.raises(UsageError, match="599 neighbours of each of 599 images"):
        neighbour_graph(store, GraphParameters(points=10_000, neighbours=599), Run())
    with pytest.raises(UsageError, match="90 neighbours of each of 80 images"):
        neighbour_graph(store, GraphParameters(points=80), Run())
    with pytest.raises(UsageError, match="--array mu"):
        neighbour_graph(store, GraphParameters(array="mu"), Run())
