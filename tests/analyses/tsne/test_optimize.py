from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openTSNE
import pytest

from latentscan.analyses.neighbours.graph import NeighbourGraph, graph_of
from latentscan.analyses.tsne.optimize import (
    REPORT_EVERY,
    Callbacks,
    Schedule,
    State,
    affinities,
    initial_embedding,
    optimize,
)
from latentscan.execution.context import Execution
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
    return graph_of(rows, 3 * PERPLEXITY, 0, Execution())


@pytest.fixture(scope="module")
def start(rows: np.ndarray) -> State:
    return State.start(initial_embedding((rows - rows.mean(axis=0))[:, :2].astype(np.float64), 0))


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
    state, divergence = optimize(joint_of(graph), start, Schedule(400, 12), Callbacks(), 1)
    assert divergence < 1.01 * expected.kl_divergence
    assert abs(state.embedding.mean(axis=0)).max() < 1e-9
    again = openTSNE.TSNEEmbedding(state.embedding, fixed, negative_gradient_method="bh", theta=0.1)
    assert again.optimize(0).kl_divergence == pytest.approx(divergence, rel=2e-3)


def test_threads_do_not_change_a_bit(graph: NeighbourGraph, start: State) -> None:
    one, two = (
        optimize(joint_of(graph, threads), start, Schedule(120, 12), Callbacks(), threads)
        for threads in (1, 2)
    )
    assert bits(one) == bits(two)


@pytest.mark.parametrize("at", [0, 1, 29, 30, 31, 77, 119])
def test_an_embedding_that_was_stopped_goes_on_to_the_same_bits(
    graph: NeighbourGraph, start: State, at: int
) -> None:
    whole = optimize(joint_of(graph), start, Schedule(120, 12), Callbacks(), 1)
    saved: list[State] = []
    asked = iter(range(10_000))
    callbacks = Callbacks(stopped=lambda: next(asked) >= at, save=saved.append)
    with pytest.raises(Stopped):
        optimize(joint_of(graph), start, Schedule(120, 12), callbacks, 1)
    assert len(saved) == 1
    assert saved[0].done <= at
    assert bits(optimize(joint_of(graph), saved[0], Schedule(120, 12), Callbacks(), 1)) == bits(whole)


def test_a_failing_callback_does_not_lose_the_embedding(graph: NeighbourGraph, start: State) -> None:
    def fail(_done: int, _divergence: float) -> None:
        raise KeyboardInterrupt

    saved: list[State] = []
    with pytest.raises(KeyboardInterrupt):
        optimize(joint_of(graph), start, Schedule(240, 12), Callbacks(report=fail, save=saved.append), 1)
    whole = optimize(joint_of(graph), start, Schedule(240, 12), Callbacks(), 1)
    assert saved[0].done == REPORT_EVERY - 1
    assert bits(optimize(joint_of(graph), saved[0], Schedule(240, 12), Callbacks(), 1)) == bits(whole)


def test_every_iteration_is_reported_once(graph: NeighbourGraph, start: State) -> None:
    reported: list[int] = []
    callbacks = Callbacks(report=lambda done, _: reported.append(done))
    last, _ = optimize(joint_of(graph), start, Schedule(130, 12), callbacks, 1)
    assert sum(reported) == 130 == last.done
    assert len(reported) > 2


@pytest.mark.parametrize("iterations", [1, 3, 4])
def test_few_iterations(graph: NeighbourGraph, start: State, iterations: int) -> None:
    state, divergence = optimize(joint_of(graph), start, Schedule(iterations, 12), Callbacks(), 1)
    assert state.done == iterations
    assert np.isfinite(divergence)


def test_the_input_stays_as_it_was(graph: NeighbourGraph, start: State) -> None:
    joint = joint_of(graph)
    before = joint.data.copy(), start.embedding.copy(), start.gains.copy()
    optimize(joint, start, Schedule(20, 12), Callbacks(), 1)
    for array, expected in zip((joint.data, start.embedding, start.gains), before, strict=True):
        assert array.tobytes() == expected.tobytes()


def test_the_initial_embedding_is_small_and_finite() -> None:
    line = np.linspace(-3, 5, 50)[:, None]
    start = initial_embedding(line, 0)
    assert start.shape == (50, 2)
    assert start[:, 0].std() == pytest.approx(1e-4, rel=0.01)
    assert np.isfinite(initial_embedding(0 * line, 0)).all()
