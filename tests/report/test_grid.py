from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from latentscan.report.grid import image_grid, save_grid

if TYPE_CHECKING:
    from pathlib import Path


def test_a_grid_holds_every_image_where_it_belongs(tmp_path: Path) -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((1, 4, 6, 3), 10, np.uint8)
    grid = image_grid(images, columns=3)
    assert grid.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    for number in range(5):
        top, left = 2 + number // 3 * 6, 2 + number % 3 * 8
        assert (grid[top : top + 4, left : left + 6] == 10 * number).all()
    assert (grid[8:12, 18:24] == 255).all()
    save_grid(images, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as written:
        assert written.size == (3 * 8 + 2, 2 * 6 + 2)
