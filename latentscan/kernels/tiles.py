"""Tiles of a block, so small that the computation on one stays in a core's second-level cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_ROWS = 512
TILE_VALUES = 512 * 256  # 1 MiB of float64


def tile_rows(columns: int) -> int:
    """Return the number of rows of a tile: 512, or more where rows are narrow.

    Parameters
    ----------
    columns
        Of a row.

    Examples
    --------
    >>> tile_rows(256), tile_rows(2)
    (512, 65536)
    """
    return max(TILE_ROWS, TILE_VALUES // columns)


def tiles(rows: int, height: int = TILE_ROWS) -> Iterator[slice]:
    """Yield the tiles of a block.

    Parameters
    ----------
    rows
        Of the block.
    height
        Rows of a tile; the last one may have fewer.

    Examples
    --------
    >>> list(tiles(600))
    [slice(0, 512, None), slice(512, 600, None)]
    """
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))
