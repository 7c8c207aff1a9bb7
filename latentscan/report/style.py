"""The look that all plots share: sizes, fonts, and colours that the colour-blind can tell apart."""

from __future__ import annotations

import sys
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe, M., Ito, K. (2008), Color universal design, without yellow and black
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def series_colours() -> Iterator[str]:
    """Return colours for series without end."""
    return cycle(COLOURS)


def single_plot(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches with one pair of axes, open at the top and the right."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    axes = drawing.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return drawing, axes


def save_figure(drawing: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of the path."""
    drawing.savefig(path, dpi=150)


def glyphs(fine: str, plain: str) -> str:
    """Return the characters to draw with: plain ones where the terminal's encoding lacks the fine ones."""
    try:
        fine.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return fine
