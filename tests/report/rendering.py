"""What a reader sees: tables as text, and the artists of a figure."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from matplotlib.text import Text
from rich.console import Console

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

COLUMNS = 80


def shown(table: RenderableType) -> str:
    """Return a table as text; it fits a terminal."""
    stream = StringIO()
    Console(file=stream, width=COLUMNS).print(table)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= COLUMNS, text
    return text


def words_of(figure: Figure) -> set[str]:
    """Return every text of a figure, once it is laid out."""
    figure.draw_without_rendering()
    return {text.get_text() for text in figure.findobj(Text)}
