"""An index of rows that finds the nearest ones to others: exact, or of measured recall."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentscan.errors import UsageError
from latentscan.execution.executor import Stopped
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.kernels.nearest import CENTRE_ROWS, nearest, robust_centre, squares_between

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
FAR = 16.0  # median radii from the centre, beyond which a row has no say in the axes and cells
PROBES = (16, 24, 32, 48, 64, 96, 128)
MOST_PROBED = 0.2  # of the cells; to compare with all rows, by matrix products, is faster beyond
RECALL = 0.99
RECALL_QUERIES = 512
RECALL_BLOCK = 128  # of them measured by a task
EQUAL = 1e-5  # relative difference of squared distances that float32 cannot tell apart
FARTHEST = 2.0**60  # of a scaled value: the squares of larger ones, summed, may overflow float32
SCALED_ROWS = 8192  # scaled at once
ROUNDING = 2.0**-24  # of float32


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


@dataclass(frozen=True)
class Frame:
    """Where a cloud lies and how large it is: its rows in this frame are about 1 from the origin.

    Squared distances of what lies far from the origin, or is tiny, would lose their digits in float32.

    Parameters
    ----------
    centre
        (components,), which no row far out moves.
    exponent
        The scale, as a power of two: to divide by it rounds nothing.
    """

    centre: NDArray[np.float64]
    exponent: int

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> Frame:
        """Find the frame of rows (n, components)."""
        centre = robust_centre(rows)
        some = rows[:: -(-len(rows) // CENTRE_ROWS)] - centre
        radii = np.linalg.norm(some, axis=1)
        size = float(np.median(radii)) or float(radii.max())
        return cls(centre, int(np.frexp(size)[1]) if size else 0)

    def scaled(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows (n, components) in the frame; what is too far out for float32 lies at `FARTHEST`."""
        found = np.empty(rows.shape, np.float32)
        for start in range(0, len(rows), SCALED_ROWS):
            part = np.ldexp(rows[start : start + SCALED_ROWS] - self.centre, -self.exponent)
            found[start : start + SCALED_ROWS] = np.clip(part, -FARTHEST, FARTHEST)
        return found


@dataclass(frozen=True, eq=False)
class Collection:
    """Rows (n, components) to search among; a task too, which searches for some of the rows themselves.

    Parameters
    ----------
    rows
        As they are, for what float32 cannot decide.
    frame
        Where they lie.
    flat
        faiss's index of all rows in the frame.
    cells
        Where candidates may come from.
    """

    rows: NDArray[np.float32]
    frame: Frame
    flat: Any
    cells: Cells | None = None

    def __call__(self, item: tuple[NDArray[np.int64], int, int], control: Control) -> Found:
        """Search for the rows of some numbers (m,), each with `k` and `probes`; see `search`."""
        numbers, k, probes = item
        return self.search(self.rows[numbers], k, probes, control.stopped)

    def search(self, queries: NDArray[np.float32], k: int, probes: int, stopped: Callable[[], bool]) -> Found:
        """Find the k rows nearest to each query (m, components): numbers and distances, each (m, k).

        Candidates come from as many cells as `probes` says, or from all rows if that is 0.
        """
        if k > len(self.rows):
            raise UsageError(f"{k} neighbours were asked of {len(self.rows):,} rows; ask for fewer")
        indices = np.empty((len(queries), k), np.int32)
        distances = np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), BLOCK):
            if stopped():
                raise Stopped
            part = slice(start, min(start + BLOCK, len(queries)))
            indices[part], distances[part] = self._search(queries[part], k, probes)
        return indices, distances

    def _search(self, queries: NDArray[np.float32], k: int, probes: int) -> Found:
        block = np.zeros((BLOCK, self.flat.d), np.float32)  # of one shape: no query depends on others
        block[: len(queries)] = self.frame.scaled(queries)
        candidates, reach = self._candidates(block, k, probes)
        candidates = np.sort(candidates[: len(queries)], axis=1)
        indices, squares = self._nearest(block, candidates, k)
        distances = np.ldexp(np.sqrt(squares), self.frame.exponent)
        missed = []  # of what is not equal to k candidates
        for query in np.flatnonzero(self._in_doubt(block[: len(queries)], squares[:, -1], reach)):
            held = candidates[query][candidates[query] >= 0]
            exact = squares_between(self.rows, queries[query], held)
            order = np.argsort(exact, kind="stable")[:k]
            indices[query], distances[query] = held[order], np.sqrt(exact[order])
            if reach is not None and exact[order[-1]] > 0:
                missed.append(query)
        if missed:
            indices[missed], exact = nearest(self.rows, queries[missed], k)
            distances[missed] = np.sqrt(exact)
        return indices.astype(np.int32), distances.astype(np.float32)

    def _in_doubt(
        self, block: NDArray[np.float32], last: NDArray[np.float64], reach: NDArray[np.float32] | None
    ) -> NDArray[np.bool_]:
        """Mark queries whose nearest rows float32 may have missed, or put in a wrong order.

        Higham, N. J., Mary, T. (2019), A new approach to probabilistic rounding error analysis: a sum of n
        products is off by a few √n roundings of what is added up. Here that is (2 |q| + √s)² at most for
        rows as near to q as the k-th, at the squared distance s.

        Parameters
        ----------
        block
            Queries in the frame, (m, components).
        last
            Squared distances of the last of the k nearest, (m,).
        reach
            Squared distances up to which all rows are candidates, (m,); None where they come from cells.
        """
        length = np.linalg.norm(block.astype(np.float64), axis=1)
        rounding = 8 * np.sqrt(self.flat.d) * ROUNDING * (2 * length + np.sqrt(last)) ** 2
        doubt = (rounding > 0.1 * last) | (np.abs(block) >= FARTHEST).any(axis=1)
        if reach is not None:
            doubt |= last + rounding > reach[: len(block)]
        return np.asarray(doubt)

    def _candidates(
        self, block: NDArray[np.float32], k: int, probes: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return numbers of rows that may be the k nearest, (BLOCK, more than k); -1 beyond the last.

        The squared distance within which they are all rows comes with them, (BLOCK,), where it is known.
        """
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
            candidates[short] = self._closest(block, wanted)[0][short]
        return candidates, None

    def _closest(self, block: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        squares, found = self.flat.search(block, k)
        return found, np.where(found[:, -1] < 0, np.inf, squares[:, -1])

    def _nearest(
        self, block: NDArray[np.float32], candidates: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Measure the candidates component by component: what a matrix product gives is rounded."""
        from faiss import swig_ptr

        squares = np.empty(candidates.shape, np.float32)
        m, count = candidates.shape
        self.flat.compute_distance_subset(m, swig_ptr(block), count, swig_ptr(squares), swig_ptr(candidates))
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        nearest_squares = np.take_along_axis(squares, order, axis=1).astype(np.float64)
        return np.take_along_axis(candidates, order, axis=1), nearest_squares


@dataclass(frozen=True)
class Index:
    """Rows that can be searched for those nearest to others; made by `build_index`.

    Parameters
    ----------
    probes
        How many cells are looked into for a query; 0 to compare it with all rows.
    recall
        The share of the true neighbours that are found, measured on a sample of the rows in float64.
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
    The recall is measured on a sample of the rows, against a search among all rows in float64.

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

    frame = Frame.of(rows)
    scaled = frame.scaled(rows)
    flat = faiss.IndexFlatL2(rows.shape[1])
    flat.add(scaled)
    order = np.random.default_rng(seed).permutation(len(rows))
    collection, tried = Collection(rows, frame, flat), [0]
    if len(rows) > EXACT_ROWS:
        # here, as all rows are: a task elsewhere would have to be sent them
        (cells,) = ThreadedExecutor(1).run_tasks(partial(_cells, scaled, seed=seed), [order])
        collection = Collection(rows, frame, flat, cells)
        tried = [*(n for n in PROBES if n <= MOST_PROBED * cells.inverted.nlist), 0]
    queries = order[:RECALL_QUERIES]
    parts = [queries[start : start + RECALL_BLOCK] for start in range(0, len(queries), RECALL_BLOCK)]
    held = execution.executor.run_tasks(
        partial(_recalled, collection, k=min(k, len(rows) - 1), tried=tried), parts
    )
    recalls = np.concatenate(held, axis=1).mean(axis=1).tolist()
    for probes, recall in zip(tried, recalls, strict=True):
        if recall >= RECALL:
            return Index(collection, probes, recall)
    return Index(collection, 0, recalls[-1])


def _recalled(
    collection: Collection, numbers: NDArray[np.int64], control: Control, *, k: int, tried: Sequence[int]
) -> NDArray[np.float64]:
    """Measure which share of the k rows nearest to some others (m,) is found, (tried, m).

    `tried` are numbers of cells to look into, 0 for all rows.
    """
    queries = collection.rows[numbers]
    limits = nearest(collection.rows, queries, k + 1)[1][:, -1] * (1 + EQUAL)
    shares = np.empty((len(tried), len(numbers)))
    for at, probes in enumerate(tried):
        found, _ = collection.search(queries, k + 1, probes, control.stopped)
        for row, query in enumerate(queries):
            squares = squares_between(collection.rows, query, found[row])
            shares[at, row] = (np.count_nonzero(squares <= limits[row]) - 1) / k
    return shares


def _cells(scaled: NDArray[np.float32], order: NDArray[np.int64], _control: Control, *, seed: int) -> Cells:
    """Sort rows of a frame into cells, learnt from the first of a random `order`."""
    import faiss

    radii = np.linalg.norm(scaled[order].astype(np.float64), axis=1)
    order = order[radii <= FAR * np.median(radii)]
    learnt = scaled[order[:LEARNT_ROWS]].astype(np.float64)
    learnt -= learnt.mean(axis=0)
    variances, vectors = np.linalg.eigh(learnt.T @ learnt)
    held = 1 + int(np.searchsorted(np.cumsum(variances[::-1]), LEAST_VARIANCE * variances.sum()))
    held = min(-(-held // 16) * 16, len(variances))  # 16 float32 fill a vector of the processor
    axes = np.ascontiguousarray(vectors[:, ::-1][:, :held], np.float32)
    projected = scaled @ axes
    count = len(scaled) // ROWS_A_CELL
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatL2(held), held, count)
    inverted.cp.seed = seed % 2**31
    inverted.cp.min_points_per_centroid = 1  # say nothing of so few
    inverted.train(projected[order[: count * LEARNT_ROWS_A_CELL]])
    inverted.add(projected)
    return Cells(axes, inverted)
