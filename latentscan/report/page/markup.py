"""The tables of views as what a page consists of: headings, paragraphs and tables, in plain values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from latentscan.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

Kind = Literal["heading", "paragraph", "note", "verbatim", "table"]
LONG = 24  # rows of a table that a reader asks for
_BARS = re.compile("[▁▂▃▄▅▆▇█]{3}")


@dataclass(frozen=True)
class Cell:
    """A text of a table, whether it is a number's place, and how far it is set in."""

    text: str
    right: bool = False
    inset: int = 0


@dataclass(frozen=True)
class Block:
    """A piece of a page.

    Parameters
    ----------
    kind
        What it is.
    text
        Its text; of a table none.
    head
        The titles of a table's columns; empty where none has one.
    rows
        The rows of a table; one with a single cell is the title of those below it.
    """

    kind: Kind
    text: str = ""
    head: tuple[Cell, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()

    @property
    def is_long(self) -> bool:
        """Whether a table has so many rows that it is folded."""
        return len(self.rows) > LONG


def blocks_of(renderable: RenderableType) -> list[Block]:
    """Return what a view prints on a terminal as the pieces of a page.

    Examples
    --------
    >>> from rich.text import Text
    >>> [block] = blocks_of(Text("two maps", style="dim"))
    >>> block.kind, block.text
    ('note', 'two maps')
    """
    return list(_blocks(renderable))


def _blocks(part: Any) -> Iterator[Block]:
    from rich.columns import Columns
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if isinstance(part, Group | Columns):
        for inner in part.renderables:
            yield from _blocks(inner)
    elif isinstance(part, Table):
        yield _table(part)
    elif isinstance(part, Text | str):
        if str(part).strip() and not _BARS.search(str(part)):  # a picture shows what bars of letters do
            yield _text(part)
    else:
        yield Block("verbatim", _as_printed(part))


def _text(part: Any) -> Block:
    text, style = printable(str(part)).strip("\n"), str(getattr(part, "style", ""))
    kind: Kind = "heading" if "cyan" in style else "note" if "dim" in style else "paragraph"
    return Block(kind, text)


def _table(table: Table) -> Block:
    right = [column.justify == "right" for column in table.columns]
    head = tuple(
        Cell(_plain(column.header).replace("\n", " "), is_right)
        for column, is_right in zip(table.columns, right, strict=True)
    )
    rows: list[tuple[Cell, ...]] = []
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        texts = [_plain(cell) for cell in cells]
        if not any(texts):
            continue
        if texts[0] and not any(texts[1:]) and "bold" in str(getattr(cells[0], "style", "")):
            rows.append((Cell(texts[0]),))
        else:
            rows.append(tuple(map(_cell, texts, right)))
    return Block("table", "", head if any(cell.text for cell in head) else (), tuple(rows))


def _cell(text: str, right: bool) -> Cell:
    return Cell(text.strip(), right, 0 if right else (len(text) - len(text.lstrip())) // 2)


def _plain(cell: Any) -> str:
    from rich.text import Text

    return printable(str(cell) if isinstance(cell, Text | str) else _as_printed(cell))


def _as_printed(part: Any) -> str:
    """Return what has no place on a page of its own as it looks on a terminal."""
    from rich.console import Console

    console = Console(width=100, color_system=None, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(part)
    return printable(capture.get()).rstrip()
