from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.neighbours.graph import NEIGHBOURS, GraphParameters, NeighbourGraph, graph_of
from latentscan.analyses.neighbours.index import RECALL
from latentscan.errors import ParameterError, TooFewImagesError, UsageError
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.scan.rows import sample_images
from latentscan.scan.snapshot import Snapshot
from tests.analyses.neighbours.clouds import MANY, K, Rows, brute_force, cloud
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.progress import Advance
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result


@pytest.fixture(scope="module")
def graph(many: Rows) -> NeighbourGraph:
    return graph_of(many, K, 0, Execution(ThreadedExecutor(2)))


@pytest.mark.parametrize("away", [0.0, 1000.0])
@pytest.mark.parametrize("n", [K + 1, 700])
def test_a_small_graph_is_exact(n: int, away: float) -> None:
    rows = cloud(n, away=away)
    found = graph_of(rows, K, 0, Execution())
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
    one = graph_of(many, K, 0, Execution(ThreadedExecutor(1)))
    assert one.indices.tobytes() == graph.indices.tobytes()
    assert one.distances.tobytes() == graph.distances.tobytes()
    assert one.recall == graph.recall
    few, twice = (graph_of(many[:1500], K, 0, Execution(ThreadedExecutor(threads))) for threads in (1, 2))
    assert few.distances.tobytes() == twice.distances.tobytes()


@pytest.mark.parametrize("copies", [2, K, 4 * K])
def test_equal_rows_neighbour_each_other_but_never_themselves(copies: int) -> None:
    rows = np.repeat(cloud(40), copies, axis=0)[np.random.default_rng(0).permutation(40 * copies)]
    found = graph_of(rows, K, 0, Execution())
    assert (found.indices != np.arange(len(rows))[:, np.newaxis]).all()
    assert (np.diff(np.sort(found.indices, axis=1), axis=1) > 0).all()
    equal = min(copies - 1, K)
    assert (found.distances[:, :equal] == 0).all()
    assert (found.distances[:, equal:] > 0).all()
    assert (rows[found.indices[:, :equal]] == rows[:, np.newaxis]).all()


def test_of_equally_near_rows_the_lower_number_comes_first() -> None:
    lattice = np.stack(np.divmod(np.arange(MANY), 179), axis=1) @ [[1, 1], [0, 1]]
    found = graph_of(lattice.astype(np.float32), K, 0, Execution())
    ties = np.diff(found.distances, axis=1) == 0
    assert ties.mean() > 0.2
    assert (np.diff(found.indices, axis=1)[ties] > 0).all()


def test_the_first_neighbours_are_a_graph() -> None:
    rows = cloud(300)
    found, few = graph_of(rows, K, 0, Execution()), graph_of(rows, 4, 0, Execution())
    assert found.first(4).indices.tobytes() == few.indices.tobytes()
    assert found.first(4).distances.tobytes() == few.distances.tobytes()
    with pytest.raises(UsageError, match="16 neighbours were asked of a graph of 15"):
        found.first(K + 1)


def test_more_neighbours_than_rows() -> None:
    with pytest.raises(TooFewImagesError, match="the 15 images") as refused:
        graph_of(cloud(K), K, 0, Execution())
    assert (refused.value.field, refused.value.value) == ("neighbours", K)


def test_progress_counts_the_points() -> None:
    told: list[int] = []

    class Listener:
        @contextmanager
        def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
            told.append(-total)
            yield lambda amount, /, **_: told.append(amount)

    graph_of(cloud(2500), K, 0, Execution(progress=Listener()))
    assert told[0] == -2500
    assert sum(told) == 0


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    rows = cloud(600)
    rows[77, 0] = np.nan
    return build_store(tmp_path / "z.zarr", arrays={"z": rows}, chunk_rows=128)


def neighbours(store: LatentStore, **parameters: Any) -> Result:
    request = Request(NEIGHBOURS, GraphParameters(**parameters))
    return Cache().result(request, OneStore(Snapshot.of(store)))


def test_the_graph_of_a_store_is_that_of_its_sample_and_is_cached(tmp_path: Path, store: LatentStore) -> None:
    found = neighbours(store, points=400, seed=2, neighbours=K)
    images = sample_images(Snapshot.of(store), 400, 2, Execution()).images
    expected = graph_of(cloud(600)[images], K, 2, Execution())
    assert found["image"].tolist() == images.tolist()
    assert found["indices"].tobytes() == expected.indices.tobytes()
    assert found["distances"].tobytes() == expected.distances.tobytes()
    (tmp_path / "z.zarr" / "z" / "c" / "0" / "0").unlink()
    again = NeighbourGraph.of_result(neighbours(store, points=400, seed=2, neighbours=K))
    assert (again.recall, again.method) == (1.0, "exact")
    assert again.indices.tobytes() == expected.indices.tobytes()


def test_of_few_images_all_others_are_neighbours(store: LatentStore) -> None:
    assert neighbours(store, points=10_000, neighbours=599)["indices"].shape == (599, 598)
    assert neighbours(store, points=80)["indices"].shape == (80, 79)


def test_what_a_store_cannot_give(tmp_path: Path, store: LatentStore) -> None:
    with pytest.raises(ParameterError) as absent:
        neighbours(store, array="mu")
    assert absent.value.field == "array"
    with pytest.raises(TooFewImagesError):
        neighbours(build_store(tmp_path / "one.zarr", images=3, rejected=(0, 2)))
