"""An index of rows that finds the nearest ones to others: exact, or of measured recall."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentscan.errors import UsageError
from latentscan.execution.executor import Stopped
from latentscan.execution.threaded import ThreadedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.execution.executor import Control

    Found = tuple[NDArray[np.int32], NDArray[np.float32]]

EXACT_ROWS = 30_000  # up to here all rows are compared with all, which takes seconds
BLOCK = 512  # queries searched at once; faiss takes four times as long over each of fewer
SPARE = 16  # candidates beyond those asked for
ROWS_A_CELL = 128
LEARNT_ROWS_A_CELL = 32
LEARNT_ROWS = 20_000  # that the axes come from
LEAST_VARIANCE = 0.98  # held by the axes that candidates are looked for on; the rest is for their order
PROBES = (16, 24, 32, 48, 64, 96, 128)
MOST_PROBED = 0.2  # of the cells; to compare with all rows, by matrix products, is faster beyond
RECALL = 0.99
RECALL_QUERIES = 1024


@dataclass(frozen=True)
class Cells:
    """Rows sorted into cells around centres, on the axes that hold most of their variance.

    Parameters
    ----------
    axes
        (components, axes) float32, orthonormal.
    inverted
        faiss's inverted file of the rows on these axes.
    """

    axes: NDArray[np.float32]
    inverted: Any


@dataclass(frozen=True, eq=False)
class Collection:
    """Rows (n, components) to search among; a task too, which searches for some of the rows themselves.

    Parameters
    ----------
    flat
        faiss's index of all rows, less `centre`: what lies far from the origin would lose digits.
    cells
        Where candidates may come from.
    """

    flat: Any
    centre: NDArray[np.float32]
    cells: Cells | None = None

    def __call__(self, item: tuple[NDArray[np.int64], int, int], control: Control) -> Found:
        """Search for the rows of some numbers (m,), each with `k` and `probes`; see `search`."""
        numbers, k, probes = item
        return self._search(
            lambda part: self.flat.reconstruct_batch(numbers[part]), len(numbers), k, probes, control.stopped
        )

    def search(self, queries: NDArray[np.float32], k: int, probes: int, stopped: Callable[[], bool]) -> Found:
        """Find the k rows nearest to each query (m, components): numbers and distances, each (m, k).

        Candidates come from as many cells as `probes` says, or from all rows if that is 0.
        """
        return self._search(lambda part: queries[part] - self.centre, len(queries), k, probes, stopped)

    def _search(
        self,
        centred: Callable[[slice], NDArray[np.float32]],
        count: int,
        k: int,
        probes: int,
        stopped: Callable[[], bool],
    ) -> Found:
        if k > self.flat.ntotal:
            raise UsageError(f"{k} neighbours were asked of {self.flat.ntotal:,} rows; ask for fewer")
        indices = np.empty((count, k), np.int32)
        distances = np.empty((count, k), np.float32)
        for start in range(0, count, BLOCK):
            if stopped():
                raise Stopped
            part = slice(start, min(start + BLOCK, count))
            block = np.zeros((BLOCK, self.flat.d), np.float32)  # of one shape: no query depends on others
            block[: part.stop - start] = centred(part)
            candidates = self._candidates(block, k, probes)[: part.stop - start]
            indices[part], distances[part] = self._nearest(block, candidates, k)
        return indices, distances

    def _candidates(self, block: NDArray[np.float32], k: int, probes: int) -> NDArray[np.int64]:
        """Return numbers of rows that may be the k nearest, (BLOCK, more than k); -1 beyond the last."""
        if self.cells is None or not probes:
            return self._closest(block, k + SPARE)
        from faiss import IVFSearchParameters

        wanted = k + k // 2 + SPARE
        projected = block @ self.cells.axes
        looked = IVFSearchParameters()
        looked.nprobe = probes
        candidates: NDArray[np.int64] = self.cells.inverted.search(projected, wanted, params=looked)[1]
        short = candidates[:, k - 1] < 0  # so few rows lie in the cells around it
        if short.any():
            candidates[short] = self._closest(block, wanted)[short]
        return candidates

    def _closest(self, block: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.flat.search(block, k)[1]
        return found

    def _nearest(self, block: NDArray[np.float32], candidates: NDArray[np.int64], k: int) -> Found:
        """Measure the candidates component by component: what a matrix product gives is rounded."""
        from faiss import swig_ptr

        candidates = np.sort(candidates, axis=1)
        squares = np.empty(candidates.shape, np.float32)
        m, count = candidates.shape
        self.flat.compute_distance_subset(m, swig_ptr(block), count, swig_ptr(squares), swig_ptr(candidates))
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        nearest = np.take_along_axis(squares, order, axis=1)
        return np.take_along_axis(candidates, order, axis=1).astype(np.int32), np.sqrt(nearest)


@dataclass(frozen=True)
class Index:
    """Rows that can be searched for those nearest to others; made by `build_index`.

    Parameters
    ----------
    probes
        How many cells are looked into for a query; 0 to compare it with all rows.
    recall
        The share of the true neighbours that are found, measured on a sample of the rows.
    """

    collection: Collection
    probes: int = 0
    recall: float = 1.0

    @property
    def method(self) -> Literal["exact", "ivf"]:
        """How it is searched."""
        return "ivf" if self.probes else "exact"

    def search(
        self, queries: NDArray[np.float32], k: int, stopped: Callable[[], bool] = lambda: False
    ) -> Found:
        """Find the k rows nearest to each query (m, components): numbers and distances, each (m, k).

        The nearest come first, the one with the lower number where two are equally near. Tasks can search
        at once; what is found of a query does not depend on the other queries.

        Raises
        ------
        UsageError
            If there are fewer than k rows.
        Stopped
            If `stopped` says so.
        """
        return self.collection.search(queries, k, self.probes, stopped)


def build_index(rows: NDArray[np.float32], k: int, seed: int, execution: Execution) -> Index:
    """Build an index of rows that finds at least 99 % of the k other rows nearest to each.

    A query is compared with all rows where there are at most 30,000. More are sorted into cells, and as
    many cells are searched as that recall needs; where that would be too many, it is compared with all.

    Parameters
    ----------
    rows
        The rows, (n, components).
    k
        How many neighbours the recall is measured for.
    seed
        Seed of the cells, and of the sample that the recall is measured on.
    execution
        Where tasks run.
    """
    import faiss

    centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = rows - centre
    flat = faiss.IndexFlatL2(rows.shape[1])
    flat.add(centred)
    if len(rows) <= EXACT_ROWS:
        return Index(Collection(flat, centre))
    order = np.random.default_rng(seed).permutation(len(rows))
    # here, as all rows are: a task elsewhere would have to be sent them
    (cells,) = ThreadedExecutor(1).run_tasks(partial(_cells, centred, seed=seed), [order])
    collection = Collection(flat, centre, cells)
    tried = [probes for probes in PROBES if probes <= MOST_PROBED * cells.inverted.nlist]
    truth, *found = _distances(collection, order[:RECALL_QUERIES], k, (0, *tried), execution)
    for probes, distances in zip(tried, found, strict=True):
        recall = float(np.mean(distances <= truth[:, -1:]))
        if recall >= RECALL:
            return Index(collection, probes, recall)
    return Index(collection)


def _cells(centred: NDArray[np.float32], order: NDArray[np.int64], _control: Control, *, seed: int) -> Cells:
    """Sort rows, whose mean is 0, into cells, learnt from the first of a random `order`."""
    import faiss

    learnt = centred[order[:LEARNT_ROWS]].astype(np.float64)
    variances, vectors = np.linalg.eigh(learnt.T @ learnt)
    held = 1 + int(np.searchsorted(np.cumsum(variances[::-1]), LEAST_VARIANCE * variances.sum()))
    held = min(-(-held // 16) * 16, len(variances))  # 16 float32 fill a vector of the processor
    axes = np.ascontiguousarray(vectors[:, ::-1][:, :held], np.float32)
    projected = centred @ axes
    count = len(centred) // ROWS_A_CELL
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatL2(held), held, count)
    inverted.cp.seed = seed % 2**31
    inverted.cp.min_points_per_centroid = 1  # say nothing of so few
    inverted.train(projected[order[: count * LEARNT_ROWS_A_CELL]])
    inverted.add(projected)
    return Cells(axes, inverted)


def _distances(
    collection: Collection, numbers: NDArray[np.int64], k: int, tried: Sequence[int], execution: Execution
) -> list[NDArray[np.float32]]:
    """Search for some of the rows (m,): the distances of the k nearest others, (m, k) for each of `tried`.

    These are numbers of cells to look into, 0 for all rows.
    """
    blocks = range(0, len(numbers), BLOCK)
    parts = [(numbers[start : start + BLOCK], k + 1, probes) for probes in tried for start in blocks]
    found = iter(execution.executor.run_tasks(collection, parts))
    return [np.concatenate([next(found)[1][:, 1:] for _ in blocks]) for _ in tried]
