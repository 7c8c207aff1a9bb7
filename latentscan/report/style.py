"""The look that all plots share: sizes, fonts, and colours that the colour-blind can tell apart."""

from __future__ import annotations

import io
import sys
import warnings
from itertools import cycle
from typing import TYPE_CHECKING

from latentscan.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

# Okabe, M., Ito, K. (2008), Color universal design, without yellow and black
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def series_colours() -> Iterator[str]:
    """Return colours for series without end."""
    return cycle(COLOURS)


def literal(drawing: Figure) -> Figure:
    """Return a figure whose texts show names as they are: ``$`` begins no formula, and nothing is hidden.

    What the ticks show stays, where formulas are powers of ten.
    """
    from matplotlib.text import Text

    axes = [one for part in drawing.axes for one in (part.xaxis, part.yaxis)]
    ticks = {
        id(text) for axis in axes for text in (*axis.get_ticklabels(which="both"), axis.get_offset_text())
    }
    for text in drawing.findobj(Text):
        if id(text) not in ticks:
            text.set_parse_math(False)
            text.set_text(printable(text.get_text()))
    return drawing


def save_figure(drawing: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of the path."""
    _save(drawing, path, 150)


def picture_of(drawing: Figure, dpi: int) -> tuple[bytes, int, int]:
    """Return a figure as PNG, with its width and height in pixels."""
    content = io.BytesIO()
    _save(drawing, content, dpi)
    width, height = (round(inches * dpi) for inches in drawing.get_size_inches())
    return content.getvalue(), width, height


def _save(drawing: Figure, target: Path | io.BytesIO, dpi: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # of a name
        literal(drawing).savefig(target, dpi=dpi)


def glyphs(fine: str, plain: str) -> str:
    """Return the characters to draw with: plain ones where the terminal's encoding lacks the fine ones."""
    try:
        fine.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return fine
