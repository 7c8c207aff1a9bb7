"""The repulsion between all points of an embedding, as a convolution on a grid.

Every point repels every other one by (y_i - y_j) / (1 + |y_i - y_j|^2)^2, normalised by the sum of
1 / (1 + |y_i - y_j|^2) over all pairs. The points are spread on a grid by B-splines, the grid is convolved
with the three kernels by Fourier transforms, and what comes out is read off at the points by the same
B-splines; the spectra of the kernels make up for the blur of both.

Linderman, G. C. et al. (2019), Fast interpolation-based t-SNE for improved visualization of single-cell
RNA-seq data, for the convolution; Essmann, U. et al. (1995), A smooth particle mesh Ewald method, for the
B-splines. openTSNE's own convolution needs eight transforms of a grid with more nodes, on one thread and
with the interpreter locked; this one needs four, and several embeddings can be optimized at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

# of the grid's nodes; the kernels are one unit wide
SPACING = 0.5  # at most: as exact as openTSNE's convolution
FINE = 0.25  # where it costs little: as exact as openTSNE's trees
AFFORDABLE = 400  # nodes along the longer side of the points, for less than SPACING
FEWEST = 100  # nodes along it at least
STEPS = 4  # of the spacing, to half of it, and
STEP = 16  # of the number of nodes: so that spectra can be used again
MARGIN = 12  # nodes beyond the points, where the ends of the kernels ring
WIDEST = 1536  # nodes of a grid: beyond it, single points far out are left to sums over pairs
MOST_FAR = 64  # of them: of a map with more, which is wide itself, the grid is as large as it needs
PAIRS = 1 << 19  # summed at once
SUPPORT = np.arange(-1, 3, dtype=np.int32)  # nodes that a point touches, from the one below it


@dataclass(frozen=True)
class Grid:
    """A square grid of nodes over an embedding.

    Parameters
    ----------
    nodes
        Along each axis.
    spacing
        Between nodes, in units of the embedding.
    origin
        Where its first node is, (2,).
    """

    nodes: int
    spacing: float
    origin: NDArray[np.float64]

    @classmethod
    def over(cls, points: NDArray[np.float64], padding: float = 0.0) -> Grid:
        """Lay a grid over points (n, 2), with `padding` times their extent on every side."""
        from scipy.fft import next_fast_len

        across = np.ascontiguousarray(points.T)  # several times faster to go through
        low, high = across.min(axis=1), across.max(axis=1)
        extent = float((high - low).max())
        spacing = _spacing(extent) if extent else SPACING
        needed = extent * (1 + 2 * padding) / spacing + MARGIN
        nodes = STEP * next_fast_len(int(np.ceil(needed / STEP)), real=True)
        return cls(nodes, spacing, low - padding * extent - 2 * spacing)

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mark the points (n, 2) that lie on the grid, with all nodes that they touch."""
        position = (points - self.origin) / self.spacing
        return np.asarray(((position >= 1) & (position <= self.nodes - 3)).all(axis=1))

    def weights(self, points: NDArray[np.float64]) -> csr_matrix:
        """Return the share of every node in every point (n, 2): cubic B-splines, (n, nodes * nodes).

        Points off the grid are taken as if they were at its edge.
        """
        from scipy.sparse import csr_matrix

        position = np.clip((points.T - self.origin[:, None]) / self.spacing, 1, self.nodes - 3)
        below = position.astype(np.int32)
        along = _cubic((position - below).astype(np.float32))
        shares = along[:, None, 0] * along[None, :, 1]
        values = np.ascontiguousarray(shares.reshape(SUPPORT.size**2, -1).T)
        first = below[0] * self.nodes + below[1]
        columns = first[:, None] + (SUPPORT[:, None] * self.nodes + SUPPORT).ravel()
        ends = np.arange(0, values.size + 1, SUPPORT.size**2, dtype=np.int32)
        return csr_matrix((values.ravel(), columns.ravel(), ends), shape=(len(points), self.nodes**2))


def _spacing(extent: float) -> float:
    wanted = min(SPACING, max(FINE, extent / AFFORDABLE), extent / FEWEST)
    return float(SPACING / 2 ** (math.floor(STEPS * math.log2(SPACING / wanted)) / STEPS))


def _cubic(fraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the shares (4, ...) of the four nodes around points that are so far (...) beyond the second."""
    rest = 1 - fraction
    return np.stack(
        [
            rest**3 / 6,
            2 / 3 - fraction**2 * (1 - fraction / 2),
            2 / 3 - rest**2 * (1 - rest / 2),
            fraction**3 / 6,
        ]
    )


@dataclass(frozen=True)
class Field:
    """What points do to their surroundings: three potentials (3, nodes * nodes) on a grid."""

    grid: Grid
    potentials: NDArray[np.float32]

    def at(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the sum of the similarities (n,) and of the repulsions (n, 2) at points (n, 2)."""
        return self.read(self.grid.weights(points))

    def read(self, weights: csr_matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the same by the points' weights on the grid."""
        similarity, *push = (weights @ potential for potential in self.potentials)
        return similarity, np.stack(push, axis=1)


class Convolution:
    """Fields of points on grids; remembers the spectra of the last grid's kernels."""

    def __init__(self) -> None:
        self._key: tuple[int, float] | None = None
        self._spectra: NDArray[np.float32]

    def field(self, grid: Grid, weights: csr_matrix) -> Field:
        """Compute the field of points that have these weights (n, nodes * nodes) on a grid.

        The transforms take one thread each: with several, SciPy's last bits depend on how many.
        """
        from scipy.fft import fft, ifft, irfft, rfft

        nodes = grid.nodes
        if self._key != (nodes, grid.spacing):
            self._key, self._spectra = (nodes, grid.spacing), _spectra(nodes, grid.spacing)
        density = (weights.T @ np.ones(weights.shape[0], np.float32)).reshape(nodes, nodes)
        rows = rfft(density, n=2 * nodes, axis=1)
        spectrum = fft(rows, n=2 * nodes, axis=0)
        potentials = np.empty((3, nodes, nodes), np.float32)
        for potential, kernel, turn in zip(potentials, self._spectra, (1, -1j, -1j), strict=True):
            product = spectrum * kernel if turn == 1 else spectrum * turn * kernel
            columns = ifft(product, axis=0, overwrite_x=True)[:nodes]
            potential[...] = irfft(columns, n=2 * nodes, axis=1)[:, :nodes]
        return Field(grid, potentials.reshape(3, -1))


class Surroundings:
    """What points (n, 2) do to one another and to others: by a grid, and pair by pair where one lies far out.

    Parameters
    ----------
    points
        (n, 2).
    convolution
        Computes the field on the grid.
    padding
        Around the grid, see `Grid.over`.
    """

    def __init__(self, points: NDArray[np.float64], convolution: Convolution, padding: float = 0.0) -> None:
        self._points, self._is_far = points, _far(points)
        near = points[~self._is_far] if self._is_far.any() else points
        self._grid = Grid.over(near, padding)
        self._weights = self._grid.weights(near)
        self._field = convolution.field(self._grid, self._weights)

    def itself(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the sum of the similarities (n,) and of the repulsions (n, 2) at the points themselves."""
        similarity, push = self._field.read(self._weights)
        return self._with_far(self._points, ~self._is_far, similarity, push)

    def at(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the sum of the similarities (m,) and of the repulsions (m, 2) at other points (m, 2)."""
        if not self._is_far.any():
            return self._field.at(points)
        held = self._grid.holds(points)
        return self._with_far(points, held, *self._field.at(points[held]))

    def _with_far(
        self,
        points: NDArray[np.float64],
        held: NDArray[np.bool_],
        similarity: NDArray[np.float32],
        push: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Add what the grid lacks to what it gives at the points that it holds."""
        if not self._is_far.any():
            return similarity, push
        sums = np.empty((3, len(points)), np.float32)
        sums[:, held] = _over_pairs(points[held], self._points[self._is_far])
        sums[0, held] += similarity
        sums[1:, held] += push.T
        sums[:, ~held] = _over_pairs(points[~held], self._points)
        return sums[0], np.ascontiguousarray(sums[1:].T)


def _far(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the points (n, 2) that are so far from most that a grid over all would be too large."""
    none = np.zeros(len(points), bool)
    reach = (WIDEST - 2 * MARGIN) * SPACING
    across = points.T.copy()
    if float((across.max(axis=1) - across.min(axis=1)).max()) <= reach:
        return none
    far = np.asarray((np.abs(points - np.median(points, axis=0)) > reach / 2).any(axis=1))
    return far if np.count_nonzero(far) <= MOST_FAR else none


def _over_pairs(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the similarities and the repulsions at points (n, 2) from others (m, 2), (3, n)."""
    sums = np.empty((3, len(points)))
    height = max(1, PAIRS // max(1, len(others)))
    for start in range(0, len(points), height):
        across, up = points[start : start + height, np.newaxis].T - others.T[:, :, np.newaxis]
        near = 1 / (1 + across**2 + up**2)
        sums[:, start : start + height] = [
            part.sum(axis=0) for part in (near, across * near**2, up * near**2)
        ]
    return sums


def _spectra(nodes: int, spacing: float) -> NDArray[np.float32]:
    """Compute what the spectrum of points is multiplied by, (3, 2 * nodes, nodes + 1), for each kernel.

    The first is real; of the other two, odd along one axis, these are the parts before -i. They are the
    ones that leave the least error for points anywhere between the nodes.

    Hockney, R. W., Eastwood, J. W. (1988), Computer simulation using particles, section 8-3-3.
    """
    from scipy.fft import dct, dctn, dst

    fine = 2 * nodes  # half the spacing: the kernels' spectra reach that far before they vanish
    steps = spacing / 2 * np.arange(fine + 1)
    similarity = 1 / (1 + steps[:, None] ** 2 + steps**2)
    push = steps[:, None] * similarity**2
    true = np.zeros((2, fine + 1, fine + 1))
    true[0] = dctn(similarity, type=1) / 4
    true[1, 1:fine] = dst(dct(push, type=1, axis=1)[1:fine], type=1, axis=0) / 4
    turns = np.pi / nodes * np.arange(fine + 1)
    blur = np.sinc(turns / (2 * np.pi)) ** 8  # of a cubic B-spline, squared: to spread and to read
    true *= blur[:, None] * blur
    signs = np.array([1, -1])[:, None, None]  # even or odd along the first axis
    folded = true[:, : nodes + 1] + signs * true[:, : nodes - 1 : -1]
    folded = folded[:, :, : nodes + 1] + folded[:, :, : nodes - 1 : -1]
    coarse = turns[: nodes + 1]
    total = (2416 + 2382 * np.cos(coarse) + 240 * np.cos(2 * coarse) + 2 * np.cos(3 * coarse)) / 5040
    folded /= (total[:, None] * total) ** 2
    quarter = np.stack([folded[0], folded[1], folded[1].T])
    mirrored = quarter[:, nodes - 1 : 0 : -1] * np.array([1, -1, 1])[:, None, None]
    return np.concatenate([quarter, mirrored], axis=1).astype(np.float32)
