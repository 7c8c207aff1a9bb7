"""The same images in two batches, at another place and among others: a steady row does not notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from latentscan.models.ranges import Range

ROUNDING = 1e-5  # of the largest value: what an accelerator may do to the sums of plain layers
ROWS = 4  # of a batch, where the network takes any number

Rows = list["NDArray[Any]"]


def two_batches(
    sides: Sequence[int], dtype: str, limits: Range, count: int | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two batches of random images, which have the image 0 in common, and 2 where there is room.

    Parameters
    ----------
    sides
        The shape of an image.
    dtype, limits
        The type and the range of its pixels.
    count
        The images of a batch, where the network takes that many only.
    """
    count = count or ROWS
    levels = np.random.default_rng(0).integers(0, 256, (2 * count, *sides))
    pixels = (limits[0] + levels * ((limits[1] - limits[0]) / 255)).astype(dtype)
    again = np.arange(count, 2 * count)
    for image, place in _places(count):
        again[place] = image
    return pixels[:count], pixels[again]


def of_same_images(first: Sequence[NDArray[Any]], again: Sequence[NDArray[Any]]) -> list[tuple[Any, Any]]:
    """Return the rows of the images that both batches have, for each output."""
    images, places = map(list, zip(*_places(len(first[0])), strict=True))
    return [(one[images], other[places]) for one, other in zip(first, again, strict=True)]


def is_same(first: NDArray[Any], again: NDArray[Any]) -> bool:
    """Return whether rows are the same, but for rounding."""
    tolerance = ROUNDING * max(1e-30, float(np.abs(np.nan_to_num(first)).max(initial=0)))
    return bool(np.allclose(first, again, rtol=0, atol=tolerance, equal_nan=True))


def is_steady(run: Callable[[NDArray[Any]], Rows], batches: tuple[NDArray[Any], NDArray[Any]]) -> bool:
    """Return whether images have the same rows in both batches, and twice in one, to the bit."""
    first, again = (run(batch) for batch in batches)
    return all(is_same(*pair) for pair in of_same_images(first, again)) and all(
        np.array_equal(*pair, equal_nan=True) for pair in zip(first, run(batches[0]), strict=True)
    )


def _places(count: int) -> tuple[tuple[int, int], ...]:
    """Return which images of the first batch are in the second one, and where."""
    return ((0, count - 1), (2, 1)) if count > 2 else ((0, count - 1),)
