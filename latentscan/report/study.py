"""Figures of several runs of several kinds: as a table of means with intervals, and as dots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.intervals import mean_interval
from latentscan.report.format import number
from latentscan.report.section import Section
from latentscan.report.style import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import RenderableType

ACROSS = 3  # panels in a row
_LEAD = "Every dot is a run; the bar is the mean of a kind with its 95 % interval over runs (Student's t)."


@dataclass(frozen=True)
class Measure:
    """A figure of every run.

    Parameters
    ----------
    name
        In JSON.
    title
        What it is, with its unit.
    values
        Of each kind, those of its runs; empty where it says nothing of a kind.
    """

    name: str
    title: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Kinds of models, and what was measured of their runs.

    Parameters
    ----------
    kinds
        Their names.
    words
        What they are called.
    measures
        What was measured.
    answers
        What follows, a sentence each.
    """

    kinds: tuple[str, ...]
    words: tuple[str, ...]
    measures: tuple[Measure, ...]
    answers: tuple[str, ...] = ()


def written(values: Sequence[float]) -> str:
    """Write the mean of runs and half its interval, to the digit that it reaches.

    Examples
    --------
    >>> written([101.2, 103.9, 102.1]), written([0.123]), written([64, 64, 64]), written([])
    ('102.4 ± 3.4', '0.123', '64', '–')
    """
    mean, half = mean_interval(np.asarray(values, float))
    if math.isnan(mean):
        return "–"
    if math.isnan(half):
        return number(mean)
    if half <= 1e-9 * abs(mean):
        return f"{mean:,.6g}"
    digits = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean:,.{digits}f} ± {half:,.{digits}f}" if digits < 6 else f"{mean:.3g} ± {half:.2g}"


def table(grid: Grid) -> RenderableType:
    """Arrange means and half intervals, a row a figure and a column a kind."""
    from rich.table import Table

    rows = Table(box=None, header_style="bold", pad_edge=False)
    rows.add_column("mean ± half of the 95 % interval")
    for kind in grid.kinds:
        rows.add_column(kind, justify="right")
    for measure in grid.measures:
        rows.add_row(measure.title, *map(written, measure.values))
    return rows


def markdown(grid: Grid) -> str:
    """Return the same table for a document."""
    lines = [
        "| | " + " | ".join(grid.words) + " |",
        "|---|" + "---:|" * len(grid.kinds),
        *(
            f"| {measure.title} | " + " | ".join(map(written, measure.values)) + " |"
            for measure in grid.measures
        ),
    ]
    return "\n".join(lines) + "\n"


def section(grid: Grid) -> Section:
    """Return the answers."""
    return Section("The study", _LEAD, grid.answers)


def figure(grid: Grid) -> Figure:
    """Plot a panel for each figure: runs as dots, the mean of a kind with its interval."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    down = -(-len(grid.measures) // ACROSS)
    drawing = Figure(
        figsize=(11.0, 0.9 + down * (0.75 + 0.3 * len(grid.kinds))),
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08),
    )
    panels = drawing.subplots(down, ACROSS, squeeze=False)
    for axes, measure in zip(panels.flat, grid.measures, strict=False):
        _draw(axes, measure)
    for at, axes in enumerate(panels.flat):
        if at >= len(grid.measures):
            axes.set_axis_off()
        else:
            names = grid.kinds if at % ACROSS == 0 else [""] * len(grid.kinds)
            axes.set_yticks(range(len(grid.kinds)), names)
    return drawing


def _draw(axes: Axes, measure: Measure) -> None:
    for at, values in enumerate(measure.values):
        colour = COLOURS[at % len(COLOURS)]
        mean, half = mean_interval(np.asarray(values, float))
        if math.isnan(mean):
            continue
        offsets = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
        axes.scatter(values, at + np.asarray(offsets), s=14, color=colour, alpha=0.6, linewidths=0)
        shown = 0.0 if math.isnan(half) else half
        axes.errorbar(mean, at, xerr=shown, fmt="|", color=colour, markersize=13, linewidth=1.8)
    axes.set_ylim(len(measure.values) - 0.4, -0.6)
    axes.set_title(measure.title, fontsize="small", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(labelsize="small")
    found = [value for values in measure.values for value in values if value > 0]
    if found and max(found) > 50 * min(found) and len(found) == sum(map(len, measure.values)):
        axes.set_xscale("log")
