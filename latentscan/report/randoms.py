"""Random z-points, decoded: a table, a plane of precision and coverage, some images, and lines between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite
from latentscan.report.grid import image_grid
from latentscan.report.section import Section
from latentscan.report.style import COLOURS, series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from rich.console import RenderableType

    from latentscan.store.results import Result

FIGURES = ("precision", "recall", "density", "coverage")
SPARSE = 0.5  # density over precision: below it, images lie in the wide balls of few real ones
MARKERS = "osD^vP*Xph<>8"
MISS_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAD = (
    "Random z-points, decoded, among real images, decoded: precision is the share that look like real ones, "
    "coverage the share of real ones that they reach. Either alone is worthless. On lines between two real "
    "points, decoded and encoded again, points come back, or miss themselves."
)
_VERDICTS = {  # what is said first, and last
    "fragments": ("the space has fragments", ""),
    "none": ("no fragments were found", " (a decoder that contracts passes too)"),
    "undecided": ("whether the space has fragments is undecided", ""),
}
_READING = {
    "precision": "1 for one good image again and again: read it with coverage.",
    "coverage": "what another sample of real images reaches is the most that can be.",
    "density": "about 1 for real images; more where images crowd in the middle.",
    "miss": "the distance of a point from itself, decoded and encoded, over the median length of a line; at "
    "the ends of real points: what the model leaves of these.",
    "does not come back": "misses itself by more than 95 % of the ends do, and more than 1 %: 5 % of the "
    "points between do so by chance. A decoder that contracts passes too.",
    "[a, b]": "a 95 % interval, for other points as well as for other real images.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `randoms` as a JSON document."""
    names = result["generator"].tolist()
    return {
        **{key: result.attributes[key] for key in ("points", "real", "nearest", "axes", "ceiling")},
        "floors": list(result.attributes["floors"]),
        "generators": {
            name: {
                key: {
                    "value": finite(result[key][at]),
                    "interval": [finite(result[f"{key}_{end}"][at]) for end in ("low", "high")],
                }
                for key in FIGURES
            }
            for at, name in enumerate(names)
        },
        "lines": _lines(result),
        "noticed": _said(result),
        "missing": list(result.attributes["missing"]),
    }


def _lines(result: Result) -> dict[str, Any] | None:
    """Return the figures of the lines for JSON; None where there is no encoder."""
    if "miss" not in result:
        return None
    attributes = result.attributes
    share, *ends = attributes["fragments"]
    named = ("lines", "line_points", "miss_threshold", "miss_at_ends", "miss_in_middle")
    return {
        **{key: attributes[key] for key in named},
        "fragments": {"value": share, "interval": ends},
        "verdict": attributes["fragments_verdict"],
    }


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the figures of every generator, with their intervals."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        attributes = result.attributes
        head = (
            f"{name}: {attributes['points']:,} points each among {attributes['real']:,} real images, decoded"
        )
        rows = Table(box=None, header_style="bold", pad_edge=False)
        rows.add_column("points from", no_wrap=True)
        for title in ("precision", "coverage", "recall", "density"):
            rows.add_column(title, justify="right", no_wrap=True)
        for at, generator in enumerate(result["generator"].tolist()):
            rows.add_row(
                _labelled(result, generator),
                *(_interval(result, key, at) for key in ("precision", "coverage")),
                *(f"{result[key][at]:.2f}" for key in ("recall", "density")),
            )
        parts += [Text(head, style="bold cyan"), rows, *map(Text, _said(result))]
        if result.attributes["missing"]:
            parts.append(Text(f"cannot be said: {'; '.join(result.attributes['missing'])}", style="dim"))
        parts.append(Text())
    return Group(*parts[:-1])


def section(results: Mapping[str, Result]) -> Section:
    """Return which random points become images like real ones."""
    verdicts = tuple(f"{name}: {line}" for name, result in results.items() for line in _said(result))
    return Section("Random points", _LEAD, verdicts, reading=_READING)


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the plane of coverage and precision, some images of every generator, and the misses on lines."""
    from matplotlib.figure import Figure

    heights = [7.8 if "miss" in result else 5.2 for result in results.values()]
    drawing = Figure(figsize=(12.0, sum(heights)), layout="constrained")
    parts = drawing.subfigures(len(results), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (name, result) in zip(parts, results.items(), strict=True):
        _draw(part, name, result)
    return drawing


def _draw(part: Figure | SubFigure, name: str, result: Result) -> None:
    has_lines = "miss" in result
    panels = part.subplot_mosaic(
        "PS;LL" if has_lines else "PS",
        width_ratios=(1.0, 1.25),
        height_ratios=(5.2, 2.6) if has_lines else (1.0,),
    )
    _draw_plane(panels["P"], result)
    panels["P"].set_title(name, loc="left", fontsize="medium")
    _draw_sheets(panels["S"], result)
    if has_lines:
        _draw_lines(panels["L"], result)


def _draw_plane(axes: Axes, result: Result) -> None:
    special = {result.attributes["ceiling"], *result.attributes["floors"]}
    colours = series_colours()
    for at, generator in enumerate(result["generator"].tolist()):
        colour = "0.45" if generator in special else next(colours)
        x, y = float(result["coverage"][at]), float(result["precision"][at])
        reach = [
            [[value - float(result[f"{key}_low"][at])], [float(result[f"{key}_high"][at]) - value]]
            for key, value in (("coverage", x), ("precision", y))
        ]
        axes.errorbar(
            x,
            y,
            xerr=np.maximum(reach[0], 0),
            yerr=np.maximum(reach[1], 0),
            fmt=MARKERS[at % len(MARKERS)],
            color=colour,
            markersize=7,
            elinewidth=1,
            label=_labelled(result, generator),
        )
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.08)
    axes.set_xlabel("coverage: share of the real images that are reached")
    axes.set_ylabel("precision: share that look real")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="x-small", frameon=False, loc="lower right")  # where few generators are, or none


def _draw_sheets(axes: Axes, result: Result) -> None:
    sheet, names = result["sheet"], result["generator"].tolist()
    count, tiles = sheet.shape[:2]
    flat = sheet.reshape(count * tiles, *sheet.shape[2:])
    picture = image_grid(np.repeat(flat, 3, axis=3) if flat.shape[3] == 1 else flat, tiles)
    axes.imshow(picture, interpolation="nearest")
    step = picture.shape[0] / count
    axes.set_yticks((np.arange(count) + 0.5) * step, names, fontsize="small")
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_lines(axes: Axes, result: Result) -> None:
    places, threshold = result["place"], result.attributes["miss_threshold"]
    found = np.quantile(result["miss"], MISS_QUANTILES, axis=0, method="lower")
    for at, (shade, label) in enumerate(((0.15, "90 % of the lines"), (0.3, "half of them"))):
        axes.fill_between(
            places, found[at], found[-1 - at], color=COLOURS[0], alpha=shade, linewidth=0, label=label
        )
    axes.plot(places, found[2], "o-", color=COLOURS[0], markersize=4, label="median")
    if threshold is not None:
        axes.axhline(threshold, color="0.35", linestyle="--", linewidth=1, label="above: does not come back")
    axes.set_xlim(-0.02, 1.02)
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)
    axes.set_xticks(places)
    axes.set_xlabel("place on a line from one real point to another")
    axes.set_ylabel("miss, over the usual length")
    share, low, high = result.attributes["fragments"]
    axes.set_title(
        f"on lines between real points, {share:.0%} [{low:.0%}, {high:.0%}] do not come back",
        loc="left",
        fontsize="medium",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="x-small", frameon=False, loc="best")


def _labelled(result: Result, generator: str) -> str:
    if generator == result.attributes["ceiling"]:
        return f"{generator} (ceiling)"
    return f"{generator} (floor)" if generator in result.attributes["floors"] else generator


def _interval(result: Result, key: str, at: int) -> str:
    low, high = result[f"{key}_low"][at], result[f"{key}_high"][at]
    ends = ",".join(f"{end:.2f}".removeprefix("0") for end in (low, high))
    return f"{result[key][at]:.2f} [{ends}]"


def _said(result: Result) -> list[str]:
    """Return what the intervals allow to say of N(0, 1), which generator reaches most, and of fragments."""
    names = result["generator"].tolist()
    ceiling, floors = result.attributes["ceiling"], result.attributes["floors"]
    top = f"{result['coverage'][names.index(ceiling)]:.0%}"
    lines = []
    if "N(0, 1)" in names:
        at = names.index("N(0, 1)")
        share = _share(result, "precision", at)
        look = f"{share} of their images look like real ones"
        if result["density"][at] < SPARSE * result["precision"][at]:
            look = (
                f"whether their images look like real ones is undecided, {share}: each is near few of them "
                f"(density {result['density'][at]:.2f}, of real ones "
                f"{result['density'][names.index(ceiling)]:.2f}), as noise is near one that is like no other"
            )
        lines.append(
            f"points of N(0, 1): {look}, and {_share(result, 'coverage', at)} of the real ones are reached "
            f"(by other real ones: {top})."
        )
    own = [at for at, name in enumerate(names) if name != ceiling and name not in floors]
    best = max(own, key=lambda at: float(result["coverage"][at]))
    enough = result["coverage_low"][best]
    alike = [names[at] for at in own if at != best and result["coverage_high"][at] >= enough]
    also = f"; {' and '.join(alike)} may reach as many" if alike else ""
    lines.append(
        f"most real images are reached from {names[best]}: {_share(result, 'coverage', best)}{also}."
    )
    return [*lines, _fragments(result)] if "miss" in result else lines


def _fragments(result: Result) -> str:
    """Return what the lines allow to say of fragments."""
    attributes = result.attributes
    said, remark = _VERDICTS[attributes["fragments_verdict"]]
    share, low, high = attributes["fragments"]
    ends, middle = (
        "something that is no number" if attributes[key] is None else f"{attributes[key]:.2g}"
        for key in ("miss_at_ends", "miss_in_middle")
    )
    return (
        f"{said}: on {attributes['lines']:,} lines between two real points, {share:.0%} [{low:.0%}, "
        f"{high:.0%}] of the points between do not come back (5% by chance); the median miss is {middle} of "
        f"a line's length in the middle, {ends} at the ends{remark}."
    )


def _share(result: Result, key: str, at: int) -> str:
    low, high = result[f"{key}_low"][at], result[f"{key}_high"][at]
    return f"{result[key][at]:.0%} [{low:.0%}, {high:.0%}]"
