"""Optimization of one embedding, which can be stopped after any iteration and resumed.

The optimizer, the affinities and the attraction are openTSNE's; the repulsion is that of `repulsion`.

Policar, P. G., Strazar, M., Zupan, B. (2024), openTSNE: a modular Python library for t-SNE dimensionality
reduction and embedding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.tsne.repulsion import Convolution, Surroundings
from latentscan.execution.executor import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from latentscan.analyses.neighbours.graph import NeighbourGraph

REPORT_EVERY = 50  # iterations; each report costs the divergence, about two iterations
SAVE_EVERY_S = 30.0
MOST_EXAGGERATED = 250  # iterations
START_STD = 1e-4  # of the first axis of an embedding; Kobak, D., Berens, P. (2019), The art of using t-SNE
JITTER = 0.01  # of that, so that equal rows do not start at one point


@dataclass(frozen=True)
class State:
    """An embedding after so many iterations: its points, their last step and their gains, each (n, 2)."""

    done: int
    embedding: NDArray[np.float64]
    update: NDArray[np.float64]
    gains: NDArray[np.float64]

    @classmethod
    def start(cls, embedding: NDArray[np.float64]) -> State:
        """Begin at an embedding (n, 2)."""
        return cls(0, embedding, np.zeros_like(embedding), np.ones_like(embedding))

    def reordered(self, order: NDArray[np.integer]) -> State:
        """Return the same with its points in another order (n,)."""
        return State(self.done, self.embedding[order], self.update[order], self.gains[order])


@dataclass(frozen=True)
class Schedule:
    """How long points attract each other, exaggerated for a quarter of the iterations, 250 at most."""

    iterations: int
    early_exaggeration: float

    @property
    def phases(self) -> tuple[tuple[int, float], tuple[int, float]]:
        """Where each phase ends, and its exaggeration."""
        early = min(MOST_EXAGGERATED, self.iterations // 4)
        return ((early, self.early_exaggeration), (self.iterations, 1.0))


@dataclass(frozen=True)
class Callbacks:
    """What is called while an embedding is optimized.

    Parameters
    ----------
    stopped
        Called before every iteration; whether to stop.
    report
        Called now and then with the iterations since the last time, and the divergence.
    save
        Called with the state now and then, and when it is stopped.
    """

    stopped: Callable[[], bool] = lambda: False
    report: Callable[[int, float], object] = lambda _done, _divergence: None
    save: Callable[[State], object] = lambda _: None


def affinities(graph: NeighbourGraph, perplexity: float, threads: int) -> csr_matrix:
    """Compute the joint probabilities of the points of a graph, (n, n), from 3 * perplexity neighbours.

    Parameters
    ----------
    graph
        The nearest neighbours, 3 * perplexity of each point at least.
    perplexity
        How many neighbours count, about.
    threads
        How many threads compute them; they do not change a bit.
    """
    from openTSNE.affinity import joint_probabilities_nn

    near = graph.first(int(3 * perplexity))
    return joint_probabilities_nn(near.indices, near.distances, [perplexity], n_jobs=threads)


def initial_embedding(projection: NDArray[np.float64], seed: int | Sequence[int]) -> NDArray[np.float64]:
    """Scale coordinates on the first principal axes, (n, 1 or 2), down to an initial embedding, (n, 2).

    It is rounded: the last digits of the axes come from the order in which blocks are merged.
    """
    start = np.random.default_rng(seed).normal(0, JITTER * START_STD, (len(projection), 2))
    std = projection[:, 0].std()
    if std > 0:
        start[:, : projection.shape[1]] += START_STD * np.round(projection / std, 3)
    return start


def optimize(
    joint: csr_matrix, state: State, schedule: Schedule, callbacks: Callbacks, threads: int
) -> tuple[State, float]:
    """Optimize an embedding from a state to the end of its schedule; return its last state and divergence.

    Points are worked on in an order in which neighbours lie close together in memory (reverse
    Cuthill–McKee), where the attraction waits less for memory. The number of threads, and where an
    embedding was stopped and resumed, do not change a bit.

    Parameters
    ----------
    joint
        The affinities, (n, n).
    state
        The state that it goes on from.
    schedule
        How many iterations, and the exaggeration.
    callbacks
        What is called meanwhile.
    threads
        How many threads compute an iteration.

    Raises
    ------
    Stopped
        If `callbacks` say so; the state has been saved by then.
    """
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PrecomputedAffinities
    from openTSNE.tsne import gradient_descent
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    order = reverse_cuthill_mckee(joint, symmetric_mode=True)
    back = np.argsort(order)
    near = joint[order][:, order].tocsr()
    near.sort_indices()
    begun = state.reordered(order)
    optimizer = gradient_descent()
    optimizer.update, optimizer.gains = begun.update, begun.gains
    fixed = PrecomputedAffinities(near, normalize=False)
    embedding = TSNEEmbedding(begun.embedding, fixed, optimizer=optimizer, n_jobs=threads)

    def state_after(done: int) -> State:
        return State(done, np.array(embedding), optimizer.update, optimizer.gains.copy()).reordered(back)

    convolution, done = Convolution(), state.done
    for end, exaggeration in schedule.phases:
        if done > end or (done == end and end < schedule.iterations):
            continue
        objective = _Objective(exaggeration, convolution, callbacks, done, state_after)
        try:
            embedding.optimize(
                end - done,
                inplace=True,
                learning_rate=len(order) / exaggeration,
                negative_gradient_method=objective,
                callbacks=objective.report,
                callbacks_every_iters=REPORT_EVERY,
            )
        except BaseException:
            callbacks.save(state_after(max(done, objective.done)))
            raise
        done = end
        callbacks.report(done - objective.reported, embedding.kl_divergence)
    return state_after(done), float(embedding.kl_divergence)


class _Objective:
    """What openTSNE descends: the divergence and its gradient, with the attraction exaggerated."""

    def __init__(
        self,
        exaggeration: float,
        convolution: Convolution,
        callbacks: Callbacks,
        done: int,
        state_after: Callable[[int], State],
    ) -> None:
        self._exaggeration, self._convolution, self._callbacks = exaggeration, convolution, callbacks
        self._state_after = state_after
        self._saved_at = time.monotonic()
        self.done = done - 1  # updates of the embedding; one less than calls
        self.reported = done

    def __call__(
        self, embedding: NDArray[np.float64], joint: csr_matrix, **settings: Any
    ) -> tuple[float, NDArray[np.float64]]:
        self.done += 1
        if self._callbacks.stopped():
            raise Stopped
        points = np.asarray(embedding)
        threads, error_too = settings["n_jobs"], settings["should_eval_error"]
        total, divergence, gradient = attraction(joint, points, points, threads, error_too=error_too)
        similarity, push = Surroundings(points, self._convolution).itself()
        pairs = similarity.sum(dtype=np.float64) - len(points)  # without those of a point and itself
        gradient *= self._exaggeration
        gradient -= push / pairs
        return divergence + total * np.log(pairs), gradient

    def report(self, _iteration: int, divergence: float, _embedding: NDArray[np.float64]) -> bool:
        """Report progress, and save the state if that was long ago; never stop."""
        self._callbacks.report(self.done - self.reported, divergence)
        self.reported = self.done
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self._callbacks.save(self._state_after(self.done))
            self._saved_at = time.monotonic()
        return False


def attraction(
    joint: csr_matrix,
    points: NDArray[np.float64],
    others: NDArray[np.float64],
    threads: int,
    *,
    error_too: bool = False,
) -> tuple[float, float, NDArray[np.float64]]:
    """Compute the attraction of points (n, 2) to others (m, 2), by affinities (n, m).

    Returns the sum of the affinities and their part of the divergence, both 0 unless `error_too`, and the
    gradient (n, 2). The two sums are made by one thread: several would add in any order.
    """
    from openTSNE._tsne import estimate_positive_gradient_nn

    gradient = np.zeros_like(points)
    total, divergence = estimate_positive_gradient_nn(
        joint.indices,
        joint.indptr,
        joint.data,
        points,
        others,
        gradient,
        1,
        num_threads=1 if error_too else threads,
        should_eval_error=error_too,
    )
    return total, divergence, gradient
