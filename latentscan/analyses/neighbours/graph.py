"""The nearest neighbours of every row: the graph that embeddings and comparisons are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from latentscan.analyses.analysis import Analysis, PointsParameters
from latentscan.analyses.neighbours.index import BLOCK, RECALL_BLOCK, RECALL_QUERIES, build_index
from latentscan.errors import TooFewImagesError, UsageError
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.analysis import Setting, Task
    from latentscan.analyses.inputs import OneStore
    from latentscan.execution.context import Execution
    from latentscan.store.schema import Schema

TASK_BLOCKS = 2


@dataclass(frozen=True)
class NeighbourGraph:
    """The k nearest neighbours of each of n rows, the nearest first, without the row itself.

    Parameters
    ----------
    indices
        Which rows they are, (n, k) int32.
    distances
        Their Euclidean distances, (n, k) float32.
    recall
        The share of the true neighbours that were found, measured on a sample of rows in float64.
    method
        How they were searched.
    """

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    recall: float
    method: Literal["exact", "ivf"]

    @classmethod
    def of_result(cls, result: Result) -> NeighbourGraph:
        """Read the graph from the result of `find_neighbours`."""
        known = result.attributes
        return cls(result["indices"], result["distances"], known["search_recall"], known["method"])

    def first(self, k: int) -> NeighbourGraph:
        """Return the graph of the k nearest.

        Raises
        ------
        UsageError
            If it has fewer.
        """
        held = self.indices.shape[1]
        if k > held:
            raise UsageError(f"{k} neighbours were asked of a graph of {held}; compute one of {k}")
        return replace(
            self,
            indices=np.ascontiguousarray(self.indices[:, :k]),
            distances=np.ascontiguousarray(self.distances[:, :k]),
        )


class GraphParameters(PointsParameters):
    """Whose neighbours are searched."""

    points: int = Field(default=20_000, ge=2, description="how many images; all if there are fewer")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the sample")
    neighbours: int = Field(
        default=90, ge=1, description="neighbours of each image; all others if there are fewer"
    )


def find_neighbours(task: Task[GraphParameters, OneStore]) -> Result:
    """Find the nearest neighbours of a sample of the good images.

    The rows of the graph are the images that `scan.rows.sample_images` returns, in its order.

    Raises
    ------
    TooFewImagesError
        If there is one image only.
    """
    parameters, snapshot, execution = task.parameters, task.inputs.snapshot, task.execution
    images = sample_images(snapshot, parameters.points, parameters.seed, execution).images
    neighbours = max(1, min(parameters.neighbours, len(images) - 1))
    require_rows(len(images), neighbours)
    rows = gather_rows(snapshot, parameters.points_of(snapshot.schema), images, execution)
    graph = graph_of(rows, neighbours, parameters.seed, execution)
    variables = {
        "image": Variable(("point",), images),
        "indices": Variable(("point", "neighbour"), graph.indices),
        "distances": Variable(("point", "neighbour"), graph.distances),
    }
    return Result(variables, {"search_recall": graph.recall, "method": graph.method})


def _cost(setting: Setting, parameters: GraphParameters) -> Cost:
    points = min(parameters.points, setting.schema.images)
    return in_turn(
        (
            one_pass(setting.schema, ()),
            gathering(setting.schema, points, parameters.points_of(setting.schema)),
            search_cost(setting.schema, points, min(parameters.neighbours, points - 1)),
        )
    )


LABELS = {  # what each variable is, and its unit
    "image": ("row of the point's image", "1"),
    "indices": ("points that are nearest, the nearest first", "1"),
    "distances": ("Euclidean distance of the nearest points", "1"),
}

NEIGHBOURS = Analysis(
    name="tsne-neighbours",
    version=2,
    parameters=GraphParameters,
    compute=find_neighbours,
    cost=_cost,
    labels=LABELS,
)


def search_cost(schema: Schema, rows: int, neighbours: int) -> Cost:
    """Return the cost of the nearest neighbours of each of some rows, where the first index will do."""
    searches = -(-rows // (TASK_BLOCKS * BLOCK))
    index = 2 * rows * schema.components * 4
    found = TASK_BLOCKS * BLOCK * (neighbours + 1) * 32
    return indexing_cost(rows) + Cost(searches, 0, index + found)


def indexing_cost(rows: int) -> Cost:
    """Return the cost of an index of some rows, whose recall is measured."""
    return Cost(-(-min(RECALL_QUERIES, rows) // RECALL_BLOCK))


def require_rows(rows: int, neighbours: int) -> None:
    """Check that there are more rows than neighbours asked for.

    Raises
    ------
    TooFewImagesError
        If there are not.
    """
    if rows <= neighbours:
        raise TooFewImagesError(
            f"expected fewer neighbours of each image than the {rows:,} images that there are",
            field="neighbours",
            value=neighbours,
        )


def graph_of(rows: NDArray[np.float32], k: int, seed: int, execution: Execution) -> NeighbourGraph:
    """Find the k nearest neighbours of each of some rows.

    Parameters
    ----------
    rows
        The rows, (n, components).
    k
        How many neighbours of each.
    seed
        Seed of the index.
    execution
        Where tasks run, and who follows them.

    Raises
    ------
    TooFewImagesError
        If there are not more than k rows.
    """
    require_rows(len(rows), k)
    own = np.arange(len(rows))
    with execution.progress.task("neighbours", total=len(rows), unit="points") as advance:
        index = build_index(rows, k, seed, execution)

        step = TASK_BLOCKS * BLOCK
        parts = [(own[start : start + step], k + 1, index.probes) for start in range(0, len(rows), step)]
        found = execution.executor.run_tasks(
            index.collection,
            parts,
            describe=lambda part: f"neighbours of points {part[0][0]}..{part[0][-1]}",
            on_done=lambda part: advance(len(part[0])),
        )
    indices, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    near = others(own, indices)
    indices, distances = indices[near].reshape(-1, k), distances[near].reshape(-1, k)
    return NeighbourGraph(indices, distances, index.recall, index.method)


def others(own: NDArray[np.integer], indices: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Mark all neighbours (n, k) but the row itself (n,), or but the last where equal rows crowd it out.

    Examples
    --------
    >>> others(np.array([5, 6]), np.array([[2, 5, 1], [2, 5, 1]]))
    array([[ True, False,  True],
           [ True,  True, False]])
    """
    marks: NDArray[np.bool_] = indices != own[:, np.newaxis]
    marks[marks.all(axis=1), -1] = False
    return marks
