"""Images side by side in one picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GAP_PIXELS = 2


def image_grid(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """Lay images (n, height, width, 3) out in rows on white.

    Parameters
    ----------
    images
        RGB, of one size.
    columns
        Images in a row; as many as make the grid nearly square if None.

    Examples
    --------
    >>> image_grid(np.zeros((6, 8, 8, 3), np.uint8)).shape
    (22, 32, 3)
    """
    count, height, width, _ = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    step_y, step_x = height + GAP_PIXELS, width + GAP_PIXELS
    grid = np.full((rows * step_y + GAP_PIXELS, columns * step_x + GAP_PIXELS, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top = GAP_PIXELS + number // columns * step_y
        left = GAP_PIXELS + number % columns * step_x
        grid[top : top + height, left : left + width] = image
    return grid


def save_grid(images: NDArray[np.uint8], path: Path, columns: int | None = None) -> None:
    """Write images (n, height, width, 3) as one picture."""
    from PIL import Image

    Image.fromarray(image_grid(images, columns)).save(path)
