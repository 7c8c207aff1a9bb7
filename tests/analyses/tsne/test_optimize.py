from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openTSNE
import pytest

from latentscan.analyses.cache import Run
from latentscan.analyses.neighbours.graph import NeighbourGraph, graph_of
from latentscan.analyses.tsne.optimize import Schedule, State, Watch, affinities, make_map, starting_places
from latentscan.execution.executor import Stopped

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PERPLEXITY = 12


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(4)
    centres = 4 * rng.standard_normal((7, 20))
    return (centres[rng.integers(7, size=700)] + rng.standard_normal((700, 20))).astype(np.float32)


@pytest.fixture(scope="module")
def graph(rows: np.ndarray) -> NeighbourGraph:
    return graph_of(rows, 3 * PERPLEXITY, 0, Run())


@pytest.fixture(scope="module")
def start(rows: np.ndarray) -> State:
    return State.start(starting_places((rows - rows.mean(axis=0))[:, :2].astype(np.float64), 0))


def bits(found: tuple[State, float]) -> tuple[bytes, float]:
    return found[0].embedding.tobytes(), found[1]


def joint_of(graph: NeighbourGraph, threads: int = 1) -> csr_matrix:
    return affinities(graph, PERPLEXITY, threads)


def test_the_affinities_are_openTSNEs_own(rows: np.ndarray, graph: NeighbourGraph) -> None:  # noqa: N802
    expected = openTSNE.affinity.PerplexityBasedNN(rows, perplexity=PERPLEXITY, method="exact").P
    assert abs(joint_of(graph) - expected).max() < 1e-5 * expected.max()


def test_a_smaller_perplexity_takes_the_nearest_alone(rows: np.ndarray, graph: NeighbourGraph) -> None:
    expected = openTSNE.affinity.PerplexityBasedNN(rows, perplexity=5, method="exact").P
    assert abs(affinities(graph, 5, 1) - expected).max() < 1e-5 * expected.max()


def test_the_divergence_is_as_low_as_openTSNEs(graph: NeighbourGraph, start: State) -> None:  # noqa: N802
    plain = openTSNE.TSNE(
        early_exaggeration=12,
        early_exaggeration_iter=100,
        n_iter=300,
        negative_gradient_method="bh",
    )
    fixed = openTSNE.affinity.PrecomputedAffinities(joint_of(graph), normalize=False)
    expected = plain.fit(affinities=fixed, initialization=start.embedding)
    state, divergence = make_map(joint_of(graph), start, Schedule(400, 12), Watch(), 1)
    assert divergence < 1.01 * expected.kl_divergence
    assert abs(state.embedding.mean(axis=0)).max() < 1e-9
    again = openTSNE.TSNEEmbedding(state.embedding, fixed, negative_gradient_method="bh", theta=0.1)
    assert again.optimize(0).kl_divergence == pytest.approx(divergence, rel=2e-3)


def test_threads_do_not_change_a_bit(graph: NeighbourGraph, start: State) -> None:
    one, two = (
        make_map(joint_of(graph, threads), start, Schedule(120, 12), Watch(), threads) for threads in (1, 2)
    )
    assert bits(one) == bits(two)


@pytest.mark.parametrize("at", [0, 1, 29, 30, 31, 77, 119])
def test_a_map_that_was_stopped_goes_on_to_the_same_bits(
    graph: NeighbourGraph, start: State, at: int
) -> None:
    whole = make_map(joint_of(graph), start, Schedule(120, 12), Watch(), 1)
    kept: list[State] = []
    asked = iter(range(10_000))
    watch = Watch(stopped=lambda: next(asked) >= at, keep=kept.append)
    with pytest.raises(Stopped):
        make_map(joint_of(graph), start, Schedule(120, 12), watch, 1)
    assert len(kept) == 1
    assert kept[0].done <= at
    assert bits(make_map(joint_of(graph), kept[0], Schedule(120, 12), Watch(), 1)) == bits(whole)


def test_a_failing_watcher_does_not_lose_the_map(graph: NeighbourGraph, start: State) -> None:
    def fail(_done: int, _divergence: float) -> None:
        raise KeyboardInterrupt

    kept: list[State] = []
    with pytest.raises(KeyboardInterrupt):
        make_map(joint_of(graph), start, Schedule(240, 12), Watch(report=fail, keep=kept.append), 1)
    whole = make_map(joint_of(graph), start, Schedule(240, 12), Watch(), 1)
    assert kept[0].done == 49
    assert bits(make_map(joint_of(graph), kept[0], Schedule(240, 12), Watch(), 1)) == bits(whole)


def test_every_iteration_is_reported_once(graph: NeighbourGraph, start: State) -> None:
    told: list[int] = []
    watch = Watch(report=lambda done, _: told.append(done))
    last, _ = make_map(joint_of(graph), start, Schedule(130, 12), watch, 1)
    assert sum(told) == 130 == last.done
    assert len(told) > 2


@pytest.mark.parametrize("iterations", [1, 3, 4])
def test_few_iterations(graph: NeighbourGraph, start: State, iterations: int) -> None:
    state, divergence = make_map(joint_of(graph), start, Schedule(iterations, 12), Watch(), 1)
    assert state.done == iterations
    assert np.isfinite(divergence)


def test_the_input_stays_as_it_was(graph: NeighbourGraph, start: State) -> None:
    joint = joint_of(graph)
    before = joint.data.copy(), start.embedding.copy(), start.gains.copy()
    make_map(joint, start, Schedule(20, 12), Watch(), 1)
    for array, expected in zip((joint.data, start.embedding, start.gains), before, strict=True):
        assert array.tobytes() == expected.tobytes()


def test_places_to_start_from() -> None:
    line = np.linspace(-3, 5, 50)[:, None]
    places = starting_places(line, 0)
    assert places.shape == (50, 2)
    assert places[:, 0].std() == pytest.approx(1e-4, rel=0.01)
    assert np.isfinite(starting_places(0 * line, 0)).all()
