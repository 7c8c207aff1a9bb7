"""What a batch of pixels becomes in front of a network, and outputs behind it, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing


def top(kind: Any) -> int:
    """Return the largest value of pixels of a type: 255 of bytes, and 1 of floats."""
    return 255 if np.dtype(kind) == np.uint8 else 1


def prepared(pixels: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return pixels (n, height, width, channels) in the range of the preprocessing, less mean, over std."""
    low, high = preprocessing.value_range
    images = pixels.astype(np.float32)
    images *= np.float32((high - low) / top(pixels.dtype))
    images += np.float32(low)
    if preprocessing.mean is not None:
        images -= np.array(preprocessing.mean, np.float32)
    if preprocessing.std is not None:
        images /= np.array(preprocessing.std, np.float32)
    return images


def as_rows(values: NDArray[Any], count: int, name: str, path: Path) -> NDArray[Any]:
    """Return an output as rows, one for each image.

    Raises
    ------
    UsageError
        If it has another number of them.
    """
    if values.ndim < 2 or len(values) != count:
        raise UsageError(
            f"{path}: expected output {name} of shape (n, components), or with more axes, got {values.shape} "
            f"for {count} images"
        )
    return values.reshape(count, -1)


def as_logvar(values: NDArray[Any], meaning: str) -> NDArray[np.float32]:
    """Return logvar from another spread, float32; what is none of the array's as it is."""
    with np.errstate(all="ignore"):  # a row that is not finite is rejected
        found: NDArray[np.float32] = values.astype(np.float32, copy=False)
        if meaning == "log_std":
            return 2 * found
        if meaning == "std":
            return 2 * np.log(found)
        return np.log(found) if meaning == "var" else found
