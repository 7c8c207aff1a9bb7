"""A statistic as a value: how one block becomes a partial, how partials merge, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class LatentBlock:
    """The good rows of a block.

    Parameters
    ----------
    images
        The number of each row's image, (n,), ascending.
    latents
        Those of `mu`, `logvar`, `z` that were read, each (n, components) float32.
    rejected
        How many rows of the block hold no latents.
    """

    images: NDArray[np.int64]
    latents: dict[str, NDArray[np.float32]]
    rejected: int = 0

    @classmethod
    def of_rows(
        cls, start: int, latents: dict[str, NDArray[np.float32]], status: NDArray[np.uint8]
    ) -> LatentBlock:
        """Leave out the rejected rows of a block that begins with image `start`.

        Examples
        --------
        >>> z = np.array([[1.0], [np.nan], [3.0]], np.float32)
        >>> block = LatentBlock.of_rows(100, {"z": z}, np.array([0, 5, 0], np.uint8))
        >>> block.images, block.latents["z"].ravel(), block.rejected
        (array([100, 102]), array([1., 3.], dtype=float32), 1)
        """
        images = np.arange(start, start + len(status))
        rejected = int(np.count_nonzero(status))
        if not rejected:
            return cls(images, latents)
        good = status == 0
        return cls(images[good], {name: array[good] for name, array in latents.items()}, rejected)


@dataclass(frozen=True)
class Counts:
    """How many rows a reduction saw: good ones, and those that hold no latents."""

    good: int
    rejected: int

    def merge(self, other: Counts) -> Counts:
        """Return the counts of both sets of rows."""
        return Counts(self.good + other.good, self.rejected + other.rejected)


@dataclass(frozen=True)
class Footprint:
    """The memory that one task of a reduction takes, beside what every task does.

    Parameters
    ----------
    copies
        How often a task holds its block: as it is read, and in what is made of it.
    tiles
        How many pieces of it, in float64, a task holds besides.
    partial_bytes
        The size of the largest partial; a task that merges holds two, beside those it is given.
    task_bytes
        What a task holds besides.
    """

    copies: float = 2.0
    tiles: int = 1
    partial_bytes: int = 0
    task_bytes: int = 0


def _partial_itself(partial: Any, _counts: Counts) -> Any:
    return partial


@dataclass(frozen=True)
class Reduction(Generic[P, R]):
    """A statistic in one pass over the blocks.

    Parameters
    ----------
    arrays
        The arrays that `chunk` needs.
    chunk
        Turns a block into a partial.
    combine
        Merges the partials of neighbouring ranges of blocks, in their order; associative.
    finalize
        Turns the last partial into the result, given how many rows there were; the partial itself by default.
    footprint
        The memory that a task takes, for estimates before it runs.
    """

    arrays: tuple[str, ...]
    chunk: Callable[[LatentBlock], P]
    combine: Callable[[P, P], P]
    finalize: Callable[[P, Counts], R] = _partial_itself
    footprint: Footprint = Footprint()
