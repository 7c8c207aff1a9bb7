"""Lines of the tables that campaigns print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table_line(cells: Sequence[object], first: int = 13, other: int = 9) -> str:
    """Return a line: the first cell to the left, the others to the right, each so wide."""
    head, *others = map(str, cells)
    return f"{head:<{first}}" + "".join(f"{cell:>{other}}" for cell in others)
