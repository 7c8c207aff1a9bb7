"""The inertia curve of Gaussian data with the covariance of a store's points, to compare theirs with."""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request, Task
from latentscan.analyses.kmeans.cost import MOST_REFERENCE_ROWS, reference_cost
from latentscan.analyses.kmeans.parameters import CentresParameters
from latentscan.analyses.kmeans.training import Schedule, TrainingData, initial_centres, initial_rows, train
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.kernels.inertia import InertiaPartial, Models, inertia_partial
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from latentscan.analyses.inputs import OneStore
    from latentscan.execution.context import Execution
    from latentscan.execution.executor import Control


def reference_request(parameters: CentresParameters) -> Request:
    """Return the request of the curve that models trained with some parameters are compared with."""
    values = parameters.model_dump(include=set(CentresParameters.model_fields))
    return Request(REFERENCE, CentresParameters(**{**values, "seeds": 1}))


def reference_inertia(task: Task[CentresParameters, OneStore]) -> Result:
    """Compute the inertia (k,) of models of the first seed, trained in the same way on Gaussian data.

    The data are as many rows as the store has good ones, sampled batch by batch from the normal
    distribution with the covariance of its points; since rotations do not change k-means, they are sampled
    along the principal axes. As with the store's own points, inertia is of rows that were trained on: of
    those of the first 32,768 in whole batches, scaled to the inertia that all have with one cluster.
    """
    parameters = task.parameters
    (required,) = _requires(parameters)
    axes = task.result_of(required)
    deviations = np.sqrt(np.maximum(axes["eigenvalue"], 0)).astype(np.float32)
    rows = axes.attributes["images"] - axes.attributes["rejected"]
    schedule = Schedule.of(rows, parameters.batch_rows, parameters.passes)
    inertia = _gaussian_inertia(deviations, schedule, parameters, task.execution)
    return Result({"k": Variable(("k",), np.array(parameters.k)), "inertia": Variable(("k",), inertia)}, {})


def _requires(parameters: CentresParameters) -> list[Request]:
    return [Request(PCA, PcaParameters(array=parameters.array))]


LABELS = {  # what each variable is, and its unit
    "k": ("number of clusters", "1"),
    "inertia": ("inertia of Gaussian data", "1"),
}

REFERENCE = Analysis(
    name="kmeans-reference",
    version=2,
    parameters=CentresParameters,
    requires=_requires,
    compute=reference_inertia,
    cost=reference_cost,
    labels=LABELS,
)


def _gaussian_inertia(
    deviations: NDArray[np.float32], schedule: Schedule, parameters: CentresParameters, execution: Execution
) -> NDArray[np.float64]:
    """Compute the inertia (k,) of models trained on rows with deviations (component,) along the axes."""
    batch_of = partial(_gaussian_batch, deviations, schedule, parameters.seed)

    def batches(seed: int) -> Iterator[NDArray[np.float32]]:
        rng = np.random.default_rng(seed)
        for _ in range(schedule.passes):
            yield from map(batch_of, rng.permutation(schedule.batches).tolist())

    def evaluate(number: int, _control: Control) -> InertiaPartial:
        x = batch_of(number)
        return inertia_partial(x, np.arange(len(x)), models)

    largest = max(parameters.k)
    few = -(-initial_rows(largest) // schedule.batch_rows)
    sample = np.concatenate([batch_of(number) for number in range(min(few, schedule.batches))])
    seeds = parameters.all_seeds
    data = TrainingData(schedule, initial_centres(sample, largest, seeds, execution), batches)
    trained = train(data, parameters.k, seeds, execution, label="train on Gaussian data")
    centres = np.concatenate([trained[k, parameters.seed] for k in parameters.k])
    models = Models.of(centres, parameters.k, shift=np.zeros_like(deviations))
    numbers = range(min(schedule.batches, max(1, MOST_REFERENCE_ROWS // schedule.batch_rows)))
    found = functools.reduce(InertiaPartial.merge, execution.executor.run_tasks(evaluate, numbers))
    # chance alone would put the whole curve of few rows too high or too low
    expected = schedule.rows * np.sum(np.square(deviations, dtype=np.float64))
    return found.inertia * (expected / found.total_inertia if found.total_inertia else 0.0)


def _gaussian_batch(
    deviations: NDArray[np.float32], schedule: Schedule, seed: int, batch: int
) -> NDArray[np.float32]:
    """Return the random rows of a batch, (n, component); the same every time."""
    rng = np.random.default_rng([seed, batch])
    shape = (len(schedule.batch(batch)), len(deviations))
    return rng.standard_normal(shape, np.float32) * deviations
