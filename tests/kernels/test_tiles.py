from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.tiles import TILE_ROWS, TILE_VALUES, tile_rows, tiles


@given(st.integers(0, 5000), st.integers(1, 700))
def test_tiles_cover_every_row_once(rows: int, height: int) -> None:
    found = list(tiles(rows, height))
    assert [row for tile in found for row in range(tile.start, tile.stop)] == list(range(rows))
    assert all(tile.stop - tile.start == height for tile in found[:-1])


@given(st.integers(1, 100_000))
def test_tiles_hold_about_as_many_values_unless_rows_are_long(columns: int) -> None:
    rows = tile_rows(columns)
    assert rows >= TILE_ROWS
    assert rows == TILE_ROWS or TILE_VALUES - columns < rows * columns <= TILE_VALUES
