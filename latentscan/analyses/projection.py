"""Points seen in the frame of the principal axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result


class Projection:
    """The points of a store in the frame of its principal axes, computed when rows are asked for.

    ``projection[rows]`` gives the coordinates of an image, of a slice of the images, or of those named,
    (n, axes) float64: the deviation from the mean along each axis. A rejected image's are NaN.

    Parameters
    ----------
    store
        Whose points; it need not be the one that the axes were found in.
    result
        What `pca` found.
    first
        How many axes are looked along; all if None.

    Raises
    ------
    UsageError
        If the points have other components than the axes, or there are fewer axes than asked for.
    """

    def __init__(self, store: LatentStore, result: Result, first: int | None = None) -> None:
        self.mean, axes = result["mean"], result["axes"]
        if store.schema.components != len(self.mean):
            raise UsageError(
                f"{store.location} has {store.schema.components} components, the principal axes have "
                f"{len(self.mean)}; compute `pca` of a store with as many"
            )
        if first is not None and not 1 <= first <= len(axes):
            raise UsageError(f"first is {first}; expected 1 to {len(axes)} axes")
        self.axes = axes[:first]
        self._points = store.array(result.attributes["array"])

    @property
    def shape(self) -> tuple[int, int]:
        """The number of images, and of axes."""
        return self._points.shape[0], len(self.axes)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[np.integer]) -> NDArray[np.float64]:
        points = (
            self._points[rows]
            if isinstance(rows, int | np.integer | slice)
            else self._points.oindex[np.asarray(rows)]
        )
        return np.asarray((np.asarray(points) - self.mean) @ self.axes.T, np.float64)
