"""The centres of the number of clusters that the gap names, where it is none of those that were asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request, Task
from latentscan.analyses.kmeans.centres import CENTRES, LABELS, train_centres
from latentscan.analyses.kmeans.cloud import cloud_request
from latentscan.analyses.kmeans.gap import gap_request
from latentscan.analyses.kmeans.parameters import CentresParameters
from latentscan.scan.cost import Cost
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.inputs import OneStore


def train_natural(task: Task[CentresParameters, OneStore]) -> Result:
    """Train a model of every seed with the natural number of clusters, as `train_centres` does.

    Returns
    -------
    What `train_centres` returns; no centres where no number is natural, or it is among those asked for.
    """
    parameters = task.parameters
    gap = task.result_of(gap_request(parameters)).attributes
    if gap["verdict"] != "about" or gap["best"] in parameters.k:
        components = task.inputs.snapshot.schema.components
        return Result(
            {
                "centres": Variable(("centre", "component"), np.empty((0, components), np.float32)),
                "centre_k": Variable(("centre",), np.empty(0, np.int64)),
                "centre_seed": Variable(("centre",), np.empty(0, np.int64)),
            },
            {},
        )
    k = int(gap["best"])
    given = {**parameters.model_dump(), "k": (k,), "batch_rows": max(k, parameters.batch_rows)}
    return train_centres(replace(task, parameters=CentresParameters(**given)))


def _requires(parameters: CentresParameters) -> list[Request]:
    return [cloud_request(parameters), gap_request(parameters)]


def natural_cost(_setting: Setting, _parameters: CentresParameters) -> Cost:
    """Return no cost: that there is a natural number, and which, is not known beforehand."""
    return Cost()


NATURAL = Analysis(
    name="kmeans-natural",
    version=CENTRES.version,  # they are trained alike
    parameters=CentresParameters,
    requires=_requires,
    compute=train_natural,
    cost=natural_cost,
    labels=LABELS,
)
