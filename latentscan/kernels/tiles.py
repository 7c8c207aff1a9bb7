"""Pieces of a block so small that what is computed of one stays in a core's second-level cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_ROWS = 512  # by 256 components, 1 MiB of float64


def tiles(rows: int) -> Iterator[slice]:
    """Cut `rows` rows into tiles.

    Examples
    --------
    >>> list(tiles(600))
    [slice(0, 512, None), slice(512, 600, None)]
    """
    for start in range(0, rows, TILE_ROWS):
        yield slice(start, min(start + TILE_ROWS, rows))
