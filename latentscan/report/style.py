"""The look that all plots share: sizes, fonts, and colours that the colour-blind can tell apart."""

from __future__ import annotations

import io
import sys
import warnings
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from latentscan.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

DPI = 110  # of pictures on a screen
# Okabe, M., Ito, K. (2008), Color universal design, without yellow and black
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def series_colours() -> Iterator[str]:
    """Return colours for series without end."""
    return cycle(COLOURS)


def scale_from_zero(axes: Axes, values: NDArray[np.float64]) -> None:
    """Scale the axis of values from 0, or in powers of ten where they differ by more than ten times.

    None is below 0; what is 0 lies below the powers of ten, and is not left out.

    Parameters
    ----------
    axes
        The panel.
    values
        All that it shows, (n,).
    """
    held = values[np.isfinite(values)]
    above = held[held > 0]
    if not len(above) or above.max() <= 10 * above.min():
        axes.set_ylim(0, 1.08 * above.max(initial=0) or 1)
        if len(above) < len(held):
            axes.set_ylim(bottom=-0.03 * above.max(initial=0))  # a line at 0 is seen
    elif len(above) == len(held):
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=10 ** np.floor(np.log10(above.min())), linscale=0.4)


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


def as_shown_by_notebooks(drawing: Figure) -> Figure:
    """Return a figure that a notebook shows as a picture, as it shows by itself those of pyplot alone."""
    drawing._repr_png_ = lambda: picture_of(drawing, DPI)[0]  # type: ignore[attr-defined]
    return drawing


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
