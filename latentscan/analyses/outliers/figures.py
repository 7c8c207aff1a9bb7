"""The figures of every image and the cells that it touches, in one pass over the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.neighbours.graph import others
from latentscan.kernels.covariance import squared_radii
from latentscan.kernels.duplicates import row_hashes
from latentscan.kernels.far_out import Figures, Whitening, local_density
from latentscan.kernels.near_cells import WIDTH, Cells, touched_cells
from latentscan.kernels.tiles import tile_rows, tiles
from latentscan.scan.rows import require_measurable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.neighbours.index import Index
    from latentscan.kernels.reduction import LatentBlock
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result

    Floats = NDArray[np.float64]

MOST_AXES = 12  # of the grid; each makes an eighth of the rows touch another cell
STRANGERS = 0.01  # in a row's cell, on the average


@dataclass(frozen=True)
class Cloud:
    """A cloud in the frame of its principal axes.

    Parameters
    ----------
    mean
        (component,).
    axes
        (axis, component).
    eigenvalues
        Variances along them, descending, (axis,).
    floor
        What is not above it is rounding.
    """

    mean: Floats
    axes: Floats
    eigenvalues: Floats
    floor: float

    @classmethod
    def of(cls, pca: Result) -> Cloud:
        """Read it from a result of `pca`."""
        return cls(pca["mean"], pca["axes"], pca["eigenvalue"], pca.attributes["eigenvalue_floor"])

    @cached_property
    def whitening(self) -> Whitening:
        """The frame in which it is as wide along every axis."""
        return Whitening.of(self.mean, self.axes, self.eigenvalues, self.floor)

    def grid(self, images: int, near: float) -> Floats:
        """Return the axes of a grid whose cells few images share by chance, (axis, component).

        Examples
        --------
        >>> cloud = Cloud(np.zeros(3), np.eye(3), np.ones(3), 0.0)
        >>> len(cloud.grid(1_000, near=1e-6)), len(cloud.grid(1_000, near=1e-3))
        (1, 3)
        """
        widths = np.sqrt(np.maximum(self.eigenvalues, 0.0))
        chosen, strangers = 0, float(images)
        for width in widths[:MOST_AXES].tolist():
            if chosen and (strangers <= STRANGERS or width <= near):
                break
            chosen += 1
            strangers *= min(1.0, WIDTH * near / (2 * np.sqrt(np.pi) * width)) if width else 1.0
        return self.axes[:chosen]


@dataclass(frozen=True)
class Found:
    """The figures of the images of a range of blocks, and the cells that they touch."""

    figures: Figures
    cells: Cells

    def merge(self, other: Found) -> Found:
        """Return what is found of both ranges, `other` being the later one."""
        return Found(self.figures.merge(other.figures), self.cells.merge(other.cells))


@dataclass(frozen=True, eq=False)
class Measure:
    """What is found of the good rows of a block.

    Parameters
    ----------
    snapshot
        The store.
    array
        Its points.
    cloud
        Their cloud.
    index
        The sample, to be searched for neighbours.
    sample
        Its images, (row,).
    last
        The distance of each to its k-th nearest of the sample, (row,).
    k
        How many neighbours count.
    grid
        The axes of the grid, (axis, component).
    near
        The distance within which images are duplicates; where it is 0, those are that are equal.
    """

    snapshot: Snapshot
    array: Points
    cloud: Cloud
    index: Index
    sample: NDArray[np.int64]
    last: NDArray[np.float32]
    k: int
    grid: Floats
    near: float

    def __call__(self, block: LatentBlock) -> Found:
        """Return the figures and the cells of a block."""
        x, images = block.latents[self.array], block.images
        require_measurable(self.snapshot.store, x, images)
        indices, distances = self.index.search(x, self.k + 1)
        marks = others(images, self.sample[indices])
        near = indices[marks].reshape(-1, self.k)
        own = distances[marks].reshape(-1, self.k)[:, -1]
        figures = Figures(
            images,
            np.sqrt(squared_radii(x)).astype(np.float32),
            self.cloud.whitening.distances(x).astype(np.float32),
            own,
            local_density(own, self.last[near]).astype(np.float32),
        )
        return Found(figures, self._cells(x, images))

    def _cells(self, x: NDArray[np.float32], images: NDArray[np.int64]) -> Cells:
        if not self.near:
            return Cells(0, row_hashes(x), images)
        places = np.empty((len(x), len(self.grid)))
        for tile in tiles(len(x), tile_rows(x.shape[1])):
            places[tile] = (x[tile].astype(np.float64) - self.cloud.mean) @ self.grid.T
        return touched_cells(places, images, self.near)
