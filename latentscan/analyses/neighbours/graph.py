"""The nearest neighbours of every row: the graph that maps and comparisons are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from latentscan.analyses.cache import kept
from latentscan.analyses.neighbours.index import BLOCK, index_of
from latentscan.analyses.rows import Points, gathered_rows, require_points, sampled_images
from latentscan.errors import TooFewImagesError, UsageError
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.cache import Run
    from latentscan.store.reader import LatentStore

VERSION = 1  # to be raised when the graph changes, so that older ones are not read
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
        The share of the true neighbours that were found, measured on a sample of rows; 1 where exact.
    method
        How they were searched.
    """

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    recall: float
    method: Literal["exact", "ivf"]

    def first(self, k: int) -> NeighbourGraph:
        """Give the graph of the k nearest.

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


class GraphParameters(BaseModel):
    """Whose neighbours are searched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: int = Field(default=20_000, ge=2, description="how many images; all if there are fewer")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the sample")
    array: Points = Field(default="z", description="z or mu")
    neighbours: int = Field(default=90, ge=1, description="neighbours of each image")


def neighbour_graph(
    store: LatentStore, parameters: GraphParameters, run: Run, digests: NDArray[np.uint8] | None = None
) -> NeighbourGraph:
    """Find the nearest neighbours of a sample of the good images, or read them where they are kept.

    The rows of the graph are the images that `rows.sampled_images` gives, in its order.

    Raises
    ------
    UsageError
        If there are not more images than neighbours asked for, or the store lacks the array.
    """
    require_points(store, parameters.array)
    require_rows(min(parameters.points, store.schema.images), parameters.neighbours)

    def compute(digests: NDArray[np.uint8]) -> Result:
        images = sampled_images(store, parameters.points, parameters.seed, digests, run)
        require_rows(len(images), parameters.neighbours)
        rows = gathered_rows(store, parameters.array, images, digests, run)
        graph = graph_of(rows, parameters.neighbours, parameters.seed, run)
        variables = {
            "image": Variable(("point",), images),
            "indices": Variable(("point", "neighbour"), graph.indices),
            "distances": Variable(("point", "neighbour"), graph.distances),
        }
        return Result(variables, {"recall": graph.recall, "method": graph.method})

    found = kept("tsne-neighbours", VERSION, store, parameters, run, compute, digests=digests)
    return NeighbourGraph(
        found["indices"], found["distances"], found.attributes["recall"], found.attributes["method"]
    )


def require_rows(rows: int, neighbours: int) -> None:
    """Make sure that there are more rows than neighbours asked for.

    Raises
    ------
    UsageError
        If there are not.
    """
    if rows <= neighbours:
        raise TooFewImagesError(
            f"expected fewer neighbours of each image than the {rows:,} images that there are",
            field="neighbours",
            value=neighbours,
        )


def graph_of(rows: NDArray[np.float32], k: int, seed: int, run: Run) -> NeighbourGraph:
    """Find the k nearest neighbours of each of some rows (n, components).

    Raises
    ------
    UsageError
        If there are not more than k rows.
    """
    require_rows(len(rows), k)
    own = np.arange(len(rows))
    with run.progress.task("neighbours", total=len(rows), unit="points") as advance:
        index = index_of(rows, k, seed, run)

        step = TASK_BLOCKS * BLOCK
        parts = [(own[start : start + step], k + 1, index.probes) for start in range(0, len(rows), step)]
        found = run.executor.run_tasks(
            index.collection,
            parts,
            describe=lambda part: f"neighbours of points {part[0][0]}..{part[0][-1]}",
            on_done=lambda part: advance(len(part[0])),
        )
    indices, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    near = others(own, indices)
    indices, distances = indices[near].reshape(-1, k), distances[near].reshape(-1, k)
    return NeighbourGraph(indices, distances, index.recall, index.method)


def others(own: NDArray[np.integer], indices: NDArray[np.int32]) -> NDArray[np.bool_]:
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
