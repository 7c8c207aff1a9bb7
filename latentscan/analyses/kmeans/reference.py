"""The inertia curve of Gaussian data with the covariance of a store's points, to compare theirs with."""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.cache import Run, kept
from latentscan.analyses.kmeans.training import Course, Schedule, initial_centres, initial_rows, train
from latentscan.analyses.pca import VERSION as PCA_VERSION
from latentscan.analyses.pca import PcaParameters, pca
from latentscan.kernels.inertia import InertiaPartial, Models, inertia_partial
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from latentscan.analyses.kmeans.centres import CentresParameters
    from latentscan.execution.executor import Control
    from latentscan.store.reader import LatentStore

REFERENCE_VERSION = 2  # to be raised when the numbers or their names change
MOST_ROWS = 32_768  # whose inertia is computed: their mean has a standard error of 0.1 % or so


def gaussian_reference(
    store: LatentStore, parameters: CentresParameters, rows: int, run: Run, digests: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Compute the inertia (k,) of models of the first seed, trained in the same way on Gaussian data.

    The data are as many rows as the store has good ones, drawn batch by batch from the normal
    distribution with the covariance of its points; as k-means does not care for rotations, they are drawn
    along the principal axes. As with the store's own points, inertia is of rows that were trained on: of
    those of the first 32,768 in whole batches, scaled to the inertia that all have with one cluster.

    Parameters
    ----------
    rows
        The number of the store's good rows.
    digests
        The commit record (block, array, 32) of the blocks that they are in.
    """
    one = parameters.model_copy(update={"seeds": 1})

    def compute(_digests: NDArray[np.uint8]) -> Result:
        axes = pca(store, PcaParameters(array=parameters.array), run, digests)
        deviations = np.sqrt(np.maximum(axes["eigenvalue"], 0)).astype(np.float32)
        schedule = Schedule.of(rows, parameters.batch_rows, parameters.passes)
        inertia = _gaussian_inertia(deviations, schedule, one, run)
        return Result({"k": Variable(("k",), np.array(one.k)), "inertia": Variable(("k",), inertia)}, {})

    found = kept(
        *("kmeans-reference", REFERENCE_VERSION, store, one, run, compute),
        digests=digests,
        builds_on=(PCA_VERSION,),
    )
    return found["inertia"]


def _gaussian_inertia(
    deviations: NDArray[np.float32], schedule: Schedule, parameters: CentresParameters, run: Run
) -> NDArray[np.float64]:
    """Train and evaluate on rows with a standard deviation (component,) along each principal axis."""
    draw = partial(_drawn, deviations, schedule, parameters.seed)

    def batches(seed: int) -> Iterator[NDArray[np.float32]]:
        rng = np.random.default_rng(seed)
        for _ in range(schedule.passes):
            yield from map(draw, rng.permutation(schedule.batches).tolist())

    def evaluate(number: int, _control: Control) -> InertiaPartial:
        x = draw(number)
        return inertia_partial(x, np.arange(len(x)), models)

    largest = max(parameters.k)
    few = -(-initial_rows(largest) // schedule.batch_rows)
    sample = np.concatenate([draw(number) for number in range(min(few, schedule.batches))])
    seeds = parameters.all_seeds
    course = Course(schedule, initial_centres(sample, largest, seeds, run), batches)
    trained = train(course, parameters.k, seeds, run, label="train on Gaussian data")
    centres = np.concatenate([trained[k, parameters.seed] for k in parameters.k])
    models = Models.of(centres, parameters.k, shift=np.zeros_like(deviations))
    numbers = range(min(schedule.batches, max(1, MOST_ROWS // schedule.batch_rows)))
    found = functools.reduce(InertiaPartial.merge, run.executor.run_tasks(evaluate, numbers))
    # chance alone would put the whole curve of few rows too high or too low
    expected = schedule.rows * np.sum(np.square(deviations, dtype=np.float64))
    return found.inertia * (expected / found.total_inertia if found.total_inertia else 0.0)


def _drawn(deviations: NDArray[np.float32], schedule: Schedule, seed: int, batch: int) -> NDArray[np.float32]:
    """Draw the rows of a batch, the same whenever they are asked for."""
    rng = np.random.default_rng([seed, batch])
    shape = (len(schedule.batch(batch)), len(deviations))
    return rng.standard_normal(shape, np.float32) * deviations
