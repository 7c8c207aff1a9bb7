"""The study's table: as JSON, on a terminal, and as a plot of the radii."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite, finite_list, number
from latentscan.report.style import glyphs, series_colours, single_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from latentscan.store.results import Result

ACTIVE_VARIANCE = 0.01
_Row = tuple[str, "Callable[[dict[str, Any]], str]"]
_BARS = " ▁▂▃▄▅▆▇█"
_LINES = 4  # of a histogram
_COLUMNS = 70


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `stats` as a JSON document."""
    head = {name: result.attributes[name] for name in ("images", "unwritten", "rejected", "components")}
    document = {**head, "moments": _moments_json(result), "radius": _radius_json(result)}
    if "logvar_max" in result:
        low, high = result.attributes["logvar_interval"]
        document["logvar"] = {
            "max": float(result["logvar_max"].max()),
            "min": float(result["logvar_min"].min()),
            "mean": float(result["logvar_mean"].mean()),
            "max_at": _position(result, "logvar_max", int(result["logvar_max"].argmax())),
            "min_at": _position(result, "logvar_min", int(result["logvar_min"].argmin())),
            "intervals": {f"[{low:g},{high:g}]": int(result["logvar_within"])},
            "per_component": _lists(result, "logvar_", ("max", "max_image", "min", "min_image", "mean")),
        }
    if "deviation_max" in result:
        document["deviation"] = {
            "max": finite(result["deviation_max"].max()),
            "max_at": _position(result, "deviation_max", int(result["deviation_max"].argmax())),
            "above": {f"{result.attributes['deviation_threshold']:g}": int(result["deviation_above"].sum())},
            "per_component": _lists(result, "deviation_", ("max", "max_image", "above")),
        }
    if "kl" in result:
        document["kl"] = {
            "mean_unscaled": finite(result["kl"].sum()),
            "per_component": finite_list(result["kl"]),
            "active_components": active_components(result),
        }
    return document


def _position(result: Result, name: str, component: int) -> dict[str, int]:
    return {"image": int(result[f"{name}_image"][component]), "component": component}


def active_components(result: Result) -> int:
    """Count the components along which mu varies by more than 0.01 over the images.

    Burda, Y., Grosse, R., Salakhutdinov, R. (2016), Importance weighted autoencoders, section 5.2.
    """
    mu = result["array"].tolist().index("mu")
    return int(np.count_nonzero(result["variance"][mu] > ACTIVE_VARIANCE))


def _lists(result: Result, prefix: str, names: Sequence[str]) -> dict[str, list[float | None]]:
    return {name: finite_list(result[prefix + name]) for name in names}


def _moments_json(result: Result) -> dict[str, Any]:
    names = ("mean", "variance", "skewness", "kurtosis")
    return {
        array: {name: finite_list(result[name][position]) for name in names}
        for position, array in enumerate(result["array"].tolist())
    }


def _radius_json(result: Result) -> dict[str, Any]:
    arrays = result["array"].tolist()
    first = arrays.index("z") if "z" in arrays else 0
    figures = ("min", "max", "mean", "std", "peak")
    document: dict[str, Any] = {
        array: {
            **{name: finite(result[f"radius_{name}"][position]) for name in figures},
            "min_at": {"image": int(result["radius_min_image"][position])},
            "max_at": {"image": int(result["radius_max_image"][position])},
        }
        for position, array in enumerate(arrays)
    }
    if "difference" in result:
        document["difference"] = {
            f"{statistic}_{kind}": float(result[f"difference_{statistic}"][position])
            for statistic in ("max", "mean")
            for position, kind in enumerate(("absolute", "relative"))
        }
    document["within"] = dict(
        zip(result["range"].tolist(), result["radius_within"][first].tolist(), strict=True)
    )
    histogram: dict[str, Any] = {
        "width": result.attributes["radius_width"],
        "edges": result["radius_edge"].tolist(),
    }
    for position, array in enumerate(arrays):
        prefix = "" if position == first else f"{array}_"
        histogram[array] = result["radius_histogram"][position].tolist()
        histogram[f"{prefix}underflow"] = int(result["radius_underflow"][position])
        histogram[f"{prefix}overflow"] = int(result["radius_overflow"][position])
    document["histogram"] = histogram
    return document


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the statistics of stores, one a column, and the histograms of their radii.

    Parameters
    ----------
    results
        Results of `stats` by the name of their store.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    documents = {name: to_json(result) for name, result in results.items()}
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


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the share of images by radius of z (solid) and of mu (dashed), in a colour for each store."""
    drawing, axes = single_plot(7.0, 4.2)
    for (name, result), colour in zip(results.items(), series_colours(), strict=False):
        good = result.attributes["images"] - result.attributes["rejected"]
        edges = result["radius_edge"]
        for position, array in enumerate(result["array"].tolist()):
            shares = 100 * result["radius_histogram"][position] / good
            beyond = int(result["radius_overflow"][position])
            label = f"{name}, {array}" if len(results) > 1 else array
            label += f" ({beyond:,} beyond {edges[-1]:g})" if beyond else ""
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
        ("peak", lambda d: _peak(d["radius"], array)),
        ("mean ± std", lambda d: f"{number(radius(d)['mean'])} ± {number(radius(d)['std'])}"),
        ("min", lambda d: number(radius(d)["min"])),
        ("  at image", lambda d: str(radius(d)["min_at"]["image"])),
        ("max", lambda d: number(radius(d)["max"])),
        ("  at image", lambda d: str(radius(d)["max_at"]["image"])),
    )


def _peak(radius: Mapping[str, Any], array: str) -> str:
    """Return the radius of the fullest bin, and where bins end if more images may lie beyond that."""
    histogram, peak = radius["histogram"], number(radius[array]["peak"])
    overflow = histogram.get(f"{array}_overflow", histogram["overflow"])
    return f"{peak} (to {histogram['edges'][-1]:g})" if overflow > max(histogram[array]) else peak


def _difference(kind: str) -> Callable[[dict[str, Any]], str]:
    return lambda d: number(d["radius"]["difference"][kind])


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
            ("max", lambda d: number(d["deviation"]["max"])),
            *_place("deviation", "max_at"),
            ("above", lambda d: _all(d["deviation"]["above"], lambda n: f"{n:,}")),
        ),
    ),
    (
        "logvar",
        "logvar",
        (
            ("max", lambda d: number(d["logvar"]["max"])),
            *_place("logvar", "max_at"),
            ("min", lambda d: number(d["logvar"]["min"])),
            *_place("logvar", "min_at"),
            ("mean", lambda d: number(d["logvar"]["mean"])),
            ("within", lambda d: _all(d["logvar"]["intervals"], lambda n: f"{n:,}")),
        ),
    ),
    (
        "KL from N(0, 1), unscaled",
        "kl",
        (
            ("mean of an image, nat", lambda d: number(d["kl"]["mean_unscaled"])),
            ("active components", lambda d: f"{d['kl']['active_components']} of {d['components']}"),
        ),
    ),
)


def _histogram_text(name: str, document: Mapping[str, Any]) -> RenderableType:
    """Arrange the radii as bars over an axis, with as few bins a column as fit."""
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
    note = f", {beyond:,} of them beyond `upper` at {histogram['edges'][-1]:g}" if beyond else ""
    return Text.assemble(
        (f"\n{name}: images by radius of {array}{note}\n", "bold cyan"),
        "\n".join(line.rstrip() for line in lines),
        (f"\n{axis}", "dim"),
    )
