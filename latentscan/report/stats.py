"""The study's table on a terminal and its radius plot, for one store or several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.report.stats_json import stats_json
from latentscan.report.style import glyphs, series_colours, single_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from latentscan.store.results import Result

_Row = tuple[str, "Callable[[dict[str, Any]], str]"]
_BARS = " ▁▂▃▄▅▆▇█"
_LINES = 4  # of a histogram
_COLUMNS = 70


def stats_table(results: Mapping[str, Result]) -> RenderableType:
    """Draw the statistics of stores, one a column, and the histograms of their radii.

    Parameters
    ----------
    results
        Results of `stats` by the name of their store.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    documents = {name: stats_json(result) for name, result in results.items()}
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in documents:
        table.add_column(name, justify="right", overflow="fold")
    absent: dict[str, list[str]] = {}
    for title, part, rows in _SECTIONS:
        held = {name for name, document in documents.items() if _holds(document, part)}
        for name in documents:
            if name not in held:
                absent.setdefault(name, []).append(title)
        if held:
            table.add_row("")
            table.add_row(Text(title, style="bold cyan"))
        for label, show in rows if held else ():
            table.add_row(f"  {label}", *(show(d) if n in held else "–" for n, d in documents.items()))
    histograms = [_histogram_text(name, document) for name, document in documents.items()]
    missing = [
        Text(f"\n{name} lacks the arrays for: {', '.join(titles)}", style="dim")
        for name, titles in absent.items()
    ]
    return Group(table, *histograms, *missing)


def radius_plot(results: Mapping[str, Result]) -> Figure:
    """Plot the share of images by radius of z (solid) and of mu (dashed), in a colour for each store."""
    drawing, axes = single_plot(7.0, 4.2)
    for (name, result), colour in zip(results.items(), series_colours(), strict=False):
        good = result.attributes["images"] - result.attributes["rejected"]
        edges = result["radius_edge"]
        for array, counts in zip(result["array"].tolist(), result["radius_histogram"], strict=True):
            shares = 100 * counts / good
            label = f"{name}, {array}" if len(results) > 1 else array
            dashes = "--" if array == "mu" else "-"
            axes.stairs(shares, edges, color=colour, linewidth=1.6, linestyle=dashes, label=label)
            if array == "z":
                axes.stairs(shares, edges, color=colour, fill=True, alpha=0.15)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylabel(f"images in a bin of {edges[1] - edges[0]:g} (%)")
    axes.set_xlabel("radius (L2 norm of a row)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return drawing


def _holds(document: Mapping[str, Any], part: str) -> bool:
    for key in part.split("."):
        if key not in document:
            return False
        document = document[key]
    return True


def _number(value: float | None) -> str:
    """Write a number with four digits that count, with an exponent only where it is shorter."""
    if value is None:
        return "–"
    return f"{value:,.2f}" if 0.995 <= abs(value) < 1e6 else f"{value:.3g}"


def _images(document: dict[str, Any]) -> str:
    written, unwritten = document["images"], document["unwritten"]
    return f"{written:,}" + (f" of {written + unwritten:,}" if unwritten else "")


def _place(part: str, extreme: str) -> tuple[_Row, ...]:
    return (
        ("  at image", lambda d: str(d[part][extreme]["image"])),
        ("  at component", lambda d: str(d[part][extreme]["component"])),
    )


def _all(mapping: Mapping[str, float], show: Callable[[float], str]) -> str:
    return "\n".join(f"{name}: {show(value)}" for name, value in mapping.items())


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(array: str) -> tuple[_Row, ...]:
    def radius(document: dict[str, Any]) -> dict[str, Any]:
        part: dict[str, Any] = document["radius"][array]
        return part

    return (
        ("peak", lambda d: _number(radius(d)["peak"])),
        ("mean ± std", lambda d: f"{_number(radius(d)['mean'])} ± {_number(radius(d)['std'])}"),
        ("min", lambda d: _number(radius(d)["min"])),
        ("  at image", lambda d: str(radius(d)["min_at"]["image"])),
        ("max", lambda d: _number(radius(d)["max"])),
        ("  at image", lambda d: str(radius(d)["max_at"]["image"])),
    )


def _difference(kind: str) -> Callable[[dict[str, Any]], str]:
    return lambda d: _number(d["radius"]["difference"][kind])


_SECTIONS: tuple[tuple[str, str, tuple[_Row, ...]], ...] = (
    (
        "store",
        "images",
        (
            ("images", _images),
            ("rejected", lambda d: f"{d['rejected']:,}"),
            ("components", lambda d: f"{d['components']:,}"),
        ),
    ),
    ("radius of z", "radius.z", (*_points("z"), ("within", lambda d: _all(d["radius"]["within"], _percent)))),
    ("radius of mu", "radius.mu", _points("mu")),
    (
        "radius of z against mu",
        "radius.difference",
        (
            ("max absolute", _difference("max_absolute")),
            ("mean absolute", _difference("mean_absolute")),
            ("max relative", _difference("max_relative")),
            ("mean relative", _difference("mean_relative")),
        ),
    ),
    (
        "deviation |z − mu|",
        "deviation",
        (
            ("max", lambda d: _number(d["deviation"]["max"])),
            *_place("deviation", "max_at"),
            ("above", lambda d: _all(d["deviation"]["above"], lambda n: f"{n:,}")),
        ),
    ),
    (
        "logvar",
        "logvar",
        (
            ("max", lambda d: _number(d["logvar"]["max"])),
            *_place("logvar", "max_at"),
            ("min", lambda d: _number(d["logvar"]["min"])),
            *_place("logvar", "min_at"),
            ("mean", lambda d: _number(d["logvar"]["mean"])),
            ("within", lambda d: _all(d["logvar"]["intervals"], lambda n: f"{n:,}")),
        ),
    ),
    (
        "KL from N(0, 1), unscaled",
        "kl",
        (
            ("mean of an image, nat", lambda d: _number(d["kl"]["mean_unscaled"])),
            ("active components", lambda d: f"{d['kl']['active_components']} of {d['components']}"),
        ),
    ),
)


def _histogram_text(name: str, document: Mapping[str, Any]) -> RenderableType:
    """Draw the radii as bars over an axis, as few bins a column as fit."""
    from rich.text import Text

    histogram = document["radius"]["histogram"]
    array = "z" if "z" in histogram else "mu"
    together = -(-len(histogram[array]) // _COLUMNS)
    counts = [sum(histogram[array][at : at + together]) for at in range(0, len(histogram[array]), together)]
    edges = [*histogram["edges"][::together], histogram["edges"][-1]]
    bars = glyphs(_BARS, " .:-=+*#@")
    top = max(counts) or 1
    columns = len(counts)
    steps = len(bars) - 1
    levels = [-(-count * steps * _LINES // top) for count in counts]
    lines = [
        "".join(bars[min(max(level - steps * line, 0), steps)] for level in levels)
        for line in reversed(range(_LINES))
    ]
    axis = ""
    for column in range(0, columns + 1, 10):
        axis = f"{axis:<{column}}{' ' if len(axis) > column else ''}{edges[column]:g}"
    beyond = histogram["overflow"]
    note = f", {beyond:,} of them beyond {histogram['edges'][-1]:g} (--upper)" if beyond else ""
    return Text.assemble(
        (f"\n{name}: images by radius of {array}{note}\n", "bold cyan"),
        "\n".join(line.rstrip() for line in lines),
        (f"\n{axis}", "dim"),
    )
