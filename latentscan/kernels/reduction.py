"""A statistic as a value: how one block becomes a partial, how partials merge, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

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
        Turns the last partial into the result.
    """

    arrays: tuple[str, ...]
    chunk: Callable[[LatentBlock], P]
    combine: Callable[[P, P], P]
    finalize: Callable[[P], R]
