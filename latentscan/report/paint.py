"""Colours of points by numbers or by categories, and the key that says which colour is what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import cycle, islice, takewhile
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from latentscan.report.style import COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from latentscan.report.image_columns import Column

    Box = tuple[float, float, float, float]  # left, bottom, width, height, as shares of a figure

SCALE = "viridis"
ENDS = (1.0, 99.0)  # percentiles of the numbers at which the colours end
UNKNOWN = "#d4d4d4"
OTHERS = "#9a9a9a"
# beside the six of all plots four of Tol, P. (2021), Colour schemes, "muted"
NAMED = (*COLOURS, "#882255", "#332288", "#999933", "#44AA99")
LETTER_INCHES = 0.09
LONGEST_NAME = 24  # letters, in a legend
LONGEST_MARK = 4  # letters of a name that stands on a map
MOST_MARKS = 100


class Paint(Protocol):
    """Colours points of several panels alike."""

    def scatter(self, axes: Axes, points: NDArray[Any], column: Column, **style: Any) -> None:
        """Plot points (n, 2) in the colours of a column (n,)."""

    @property
    def key_inches(self) -> float:
        """How wide what says which colour is what is."""

    def draw_key(self, drawing: Figure, box: Box) -> None:
        """Add what says which colour is what, at a place of the figure."""


def paint_of(columns: Sequence[Column]) -> Paint:
    """Return the colours for columns of one thing."""
    if columns[0].names:
        return Categories.of(columns)
    return Numbers.of(columns)


@dataclass(frozen=True)
class Numbers:
    """A scale of colours.

    Parameters
    ----------
    title
        What the numbers are.
    norm
        Where the colours end.
    extend
        At which ends numbers lie beyond them.
    has_unknown
        Whether some points have no number.
    """

    title: str
    norm: Normalize
    extend: str
    has_unknown: bool

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Numbers:
        """Return the scale for the numbers of all columns."""
        from matplotlib.colors import Normalize

        values = np.concatenate([column.values for column in columns])
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, ENDS) if len(known) else (0.0, 1.0)
        if low == high:  # nearly all are the same: from the least to the greatest
            low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
        beyond = (known.min(initial=low) < low, known.max(initial=high) > high)
        extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        return cls(columns[0].title, Normalize(low, high), extend[beyond], len(known) < len(values))

    def scatter(self, axes: Axes, points: NDArray[Any], column: Column, **style: Any) -> None:
        """Plot points in the colours of their numbers, above those that have none."""
        known = np.isfinite(column.values)
        if not known.all():
            axes.scatter(points[~known, 0], points[~known, 1], c=UNKNOWN, **style)
        axes.scatter(
            points[known, 0], points[known, 1], c=column.values[known], norm=self.norm, cmap=SCALE, **style
        )

    @property
    def key_inches(self) -> float:
        """That of the bar, its ticks and its title."""
        return 1.0

    def draw_key(self, drawing: Figure, box: Box) -> None:
        """Add a bar of the colours."""
        from matplotlib.cm import ScalarMappable

        left, bottom, width, height = box
        axes = drawing.add_axes((left, bottom + 0.1 * height, 0.16 * width, 0.8 * height))
        bar = drawing.colorbar(ScalarMappable(self.norm, SCALE), cax=axes, extend=self.extend)
        bar.set_label(self.title + (" (light grey: unknown)" if self.has_unknown else ""))
        bar.outline.set_visible(False)


@dataclass(frozen=True)
class Categories:
    """A colour for each name.

    Parameters
    ----------
    colours
        By name; those that are not in it are shown as others.
    counts
        How many points have each name, the most frequent first.
    marks
        What stands on the map for each name, where these are too many for a key.
    panels
        How many panels there are.
    unknown
        How many points have no name.
    """

    colours: Mapping[str, str]
    counts: Mapping[str, int]
    marks: Mapping[str, str]
    panels: int
    unknown: int

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Categories:
        """Return the colours for the names of all columns."""
        counts: Counter[str] = Counter()
        for column in columns:
            numbers = np.bincount(column.values[column.values >= 0], minlength=len(column.names))
            counts.update(dict(zip(column.names, numbers.tolist(), strict=True)))
        unknown = sum(int(np.count_nonzero(column.values < 0)) for column in columns)
        used = {name: count for name, count in counts.items() if count}
        if len(used) <= len(NAMED):
            return cls(dict(zip(used, NAMED, strict=False)), used, {}, len(columns), unknown)
        marks = _marks(list(counts))
        if marks:
            everywhere = dict(zip(used, islice(cycle(_many()), len(used)), strict=True))
            return cls(everywhere, used, marks, len(columns), unknown)
        frequent = dict(sorted(used.items(), key=lambda one: -one[1]))
        return cls(dict(zip(frequent, NAMED, strict=False)), frequent, {}, len(columns), unknown)

    def scatter(self, axes: Axes, points: NDArray[Any], column: Column, **style: Any) -> None:
        """Plot points in the colours of their names, those without one below the others."""
        from matplotlib.colors import to_rgb

        known = column.values >= 0
        if not known.all():
            axes.scatter(points[~known, 0], points[~known, 1], c=UNKNOWN, **style)
        palette = np.array([to_rgb(self.colours.get(name, OTHERS)) for name in column.names])
        codes = column.values[known]
        axes.scatter(points[known, 0], points[known, 1], c=palette[codes], **style)
        if self.marks:
            self._mark(axes, points[known], codes, column.names)

    @property
    def key_inches(self) -> float:
        """That of the longest line."""
        return max((0.4 + LETTER_INCHES * len(text) for text, _ in self._lines()), default=0.0)

    def draw_key(self, drawing: Figure, box: Box) -> None:
        """Add a legend, with the number of points where they are of one panel."""
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=text)
            for text, colour in self._lines()
        ]
        if handles:
            left, bottom, _, height = box
            drawing.legend(
                handles=handles,
                loc="upper left",
                bbox_to_anchor=(left, bottom + height),
                frameon=False,
                borderpad=0,
                borderaxespad=0,
                handletextpad=0.2,
            )

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield the texts of the legend with their colours; names that stand on the map are left out."""
        named = [name for name in self.counts if name in self.colours and not self.marks]
        for name in named:
            short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
            yield self._entry(short, self.counts[name]), self.colours[name]
        others = [name for name in self.counts if name not in self.colours]
        if others:
            yield self._entry(f"{len(others):,} others", sum(self.counts[name] for name in others)), OTHERS
        if self.unknown:
            yield self._entry("unknown", self.unknown), UNKNOWN

    def _entry(self, name: str, count: int) -> str:
        return f"{name} ({count:,})" if self.panels == 1 else name

    def _mark(self, axes: Axes, points: NDArray[Any], codes: NDArray[Any], names: Sequence[str]) -> None:
        from matplotlib.patheffects import withStroke

        for code in np.unique(codes).tolist():
            across, up = np.median(points[codes == code], axis=0)
            mark = axes.text(across, up, self.marks[names[code]], ha="center", va="center", fontsize="small")
            mark.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _marks(names: Sequence[str]) -> dict[str, str]:
    """Return short texts for names, what is different in them; none where these are long or too many."""
    words = [name.split() for name in names]
    shared = len(list(takewhile(lambda at: len(set(at)) == 1, zip(*words, strict=False))))
    marks = {name: " ".join(own[shared:]) for name, own in zip(names, words, strict=True)}
    longest = max(map(len, marks.values()))
    return marks if longest <= LONGEST_MARK and len(names) <= MOST_MARKS else {}


def _many() -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["tab20"](at)) for at in range(20)]
