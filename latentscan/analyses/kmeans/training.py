"""Training of many k-means models, fed batch by batch from one stream of rows for each seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from latentscan.execution.executor import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.execution.executor import Control

FEWEST_BATCHES = 40  # that train a model, over all passes; more gain next to nothing
WINDOW_BATCHES = 8  # whose rows are mixed with one another
INITIAL_ROWS = 8192  # at least, for the initial centres
INITIAL_ROWS_PER_CENTRE = 20
TRIALS = 24  # rows among which k-means++ picks each centre; its own 2 + log k give inertia 0.5 % higher
FIXED_COST = 40  # of feeding a batch to a model, in centres: 1.2 ms, and 0.03 ms a centre


@dataclass(frozen=True)
class Schedule:
    """How many rows are seen, in batches of how many, how often."""

    rows: int
    batch_rows: int
    passes: int

    @classmethod
    def of(cls, rows: int, batch_rows: int, passes: int) -> Schedule:
        """Return the schedule for some rows; with 0 passes, of as many as give enough batches."""
        return cls(rows, batch_rows, passes or -(-FEWEST_BATCHES // max(1, rows // batch_rows)))

    @property
    def batches(self) -> int:
        """How many batches a pass has; a short last one is merged into the one before."""
        return max(1, self.rows // self.batch_rows)

    def batch(self, number: int) -> range:
        """Return the rows of a batch of a pass."""
        start = number * self.batch_rows
        return range(start, self.rows if number == self.batches - 1 else start + self.batch_rows)


@dataclass(frozen=True)
class TrainingData:
    """What models are trained on: initial centres by seed, and the batches of all passes by seed.

    `initial` are (centre, component), as many as the largest model has.
    """

    schedule: Schedule
    initial: dict[int, NDArray[np.float32]]
    batches: Callable[[int], Iterator[NDArray[np.float32]]]


def initial_rows(largest: int) -> int:
    """Return the number of rows among which the initial centres of the largest model are chosen."""
    return max(INITIAL_ROWS, INITIAL_ROWS_PER_CENTRE * largest)


def initial_centres(
    sample: NDArray[np.float32], largest: int, seeds: Sequence[int], execution: Execution
) -> dict[int, NDArray[np.float32]]:
    """Choose the initial centres of every seed, (centre, component), with one k-means++ each.

    A centre depends only on those before it, so the first k of them are a choice of k. Arthur, D.,
    Vassilvitskii, S. (2007), k-means++: the advantages of careful seeding.

    Parameters
    ----------
    sample
        The rows among which they are chosen, (n, component).
    largest
        How many are chosen, the k of the largest model.
    seeds
        The seeds, a task each.
    execution
        Where tasks run.
    """
    from sklearn.cluster import kmeans_plusplus

    def choose(seed: int, _control: Control) -> NDArray[np.float32]:
        centres, _ = kmeans_plusplus(sample, largest, random_state=seed, n_local_trials=TRIALS)
        return np.asarray(centres)

    with execution.progress.task("initial centres", total=len(seeds), unit="seeds") as advance:
        chosen = execution.executor.run_tasks(choose, seeds, on_done=lambda _: advance(1))
    return dict(zip(seeds, chosen, strict=True))


def train(
    data: TrainingData, ks: Sequence[int], seeds: Sequence[int], execution: Execution, *, label: str
) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Train a model for every k and seed, and return its centres (centre, component) by (k, seed).

    The models of a seed are cut into groups of about equal work, a task each, as many as tasks run at once:
    every task goes through the rows itself and feeds each batch to all models of its group.

    Parameters
    ----------
    data
        What they are trained on.
    ks, seeds
        The models: one for every pair.
    execution
        Where tasks run.
    label
        What progress is reported as.
    """
    groups = balanced(ks, min(len(ks), execution.executor.count))
    items = [(seed, group) for seed in seeds for group in groups]
    schedule = data.schedule
    total = schedule.batches * schedule.passes * len(items)
    with execution.progress.task(label, total=total, unit="batches") as advance:
        found = execution.executor.run_tasks(partial(_train_group, data), items, report=advance)
    return {
        (k, seed): centres
        for (seed, group), trained in zip(items, found, strict=True)
        for k, centres in zip(group, trained, strict=True)
    }


def balanced(ks: Sequence[int], groups: int) -> list[list[int]]:
    """Cut models into groups of about equal work: the largest first, each to the group with least.

    Examples
    --------
    >>> balanced([2, 4, 6, 8, 100], 2)
    [[100], [8, 6, 4, 2]]
    """
    found: list[list[int]] = [[] for _ in range(groups)]
    work = [0] * groups
    for k in sorted(ks, reverse=True):
        least = work.index(min(work))
        found[least].append(k)
        work[least] += k + FIXED_COST
    return found


def _train_group(
    data: TrainingData, item: tuple[int, Sequence[int]], control: Control
) -> list[NDArray[np.float32]]:
    from sklearn import config_context
    from sklearn.cluster import MiniBatchKMeans

    seed, ks = item
    schedule = data.schedule
    models = [
        MiniBatchKMeans(
            k,
            init=data.initial[seed][:k],
            n_init=1,
            batch_size=schedule.batch_rows,
            compute_labels=False,
            reassignment_ratio=0,
            random_state=seed,
        )
        for k in ks
    ]
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for batch in data.batches(seed):
            if control.stopped():
                raise Stopped
            for model in models:
                model.partial_fit(batch)
            control.advance(1)
    return [np.asarray(model.cluster_centers_) for model in models]


def mixed_batches(
    blocks: Iterable[NDArray[np.float32]], batch_rows: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Mix the rows of some blocks at a time, and yield them in batches (n, component).

    A last batch that would be short is merged into the one before.

    Parameters
    ----------
    blocks
        Rows of blocks, (n, component) each.
    batch_rows
        Rows of a batch.
    rng
        Its state decides the order of the rows.
    """
    waiting: list[NDArray[np.float32]] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= (WINDOW_BATCHES + 1) * batch_rows:
            waiting = [(yield from _whole_batches(waiting, batch_rows, rng))]
    yield (yield from _whole_batches(waiting, batch_rows, rng))


def _whole_batches(
    blocks: Sequence[NDArray[np.float32]], batch_rows: int, rng: np.random.Generator
) -> Generator[NDArray[np.float32], None, NDArray[np.float32]]:
    """Yield batches of mixed rows while another one is left; return the rows that remain."""
    rows = np.concatenate(blocks)
    order = rng.permutation(len(rows))
    while len(order) >= 2 * batch_rows:
        yield rows[order[:batch_rows]]
        order = order[batch_rows:]
    return rows[order]
