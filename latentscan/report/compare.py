"""Stores beside one another: on a terminal, as a figure, and as a JSON document."""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import command, spelled
from latentscan.report import kmeans, stats
from latentscan.report.format import finite, with_error
from latentscan.report.section import Section
from latentscan.report.style import series_colours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

FIGURES = (
    "wasserstein_distance",
    "wasserstein_error",
    "wasserstein_floor",
    "cka",
    "cka_error",
    "cka_chance",
    "overlap",
    "overlap_error",
    "overlap_chance",
    "disparity",
    "disparity_error",
    "disparity_floor",
)
TITLES = {  # of the figures of two stores, with what they are where there is nothing to find
    "wasserstein": ("Wasserstein-1", "wasserstein_floor"),
    "cka": ("linear CKA", "cka_chance"),
    "overlap": ("neighbours", "overlap_chance"),
    "disparity": ("disparity", "disparity_floor"),
}
LONGEST_PAIR = 18  # letters of two names, beyond which stores are numbered
STRIP_HEIGHT = (1.05, 0.45)  # inches of the figures of pairs: in all, and for each
MAP_SHAPES = (0.35, 1.2)  # of maps: height over width, at least and at most
MAP_TEXT = 0.75  # inches above and below maps
CURVES_HEIGHT = 3.6  # inches
NARROWEST_MAP = 2.4  # inches
ROOM = 0.16  # above the curves of radii, for each store beyond the second that the legend names
MANY = 3  # stores, beyond which pairs say less than kinds
MOST_LINES = 8  # of a table of inertia
DASHES = ("-", "--", ":", "-.")  # so that a curve shows below one that is the same
INK = 0.25  # of a map's area, which its points would cover if none lay on another
# what the corners of the first map are coloured: dark to light, blue to yellow, which all eyes tell apart
CORNERS = np.array([[[0.05, 0.10, 0.50], [0.40, 0.80, 1.00]], [[0.75, 0.20, 0.00], [1.00, 0.85, 0.15]]])


_SAID = {
    "cka": "linear CKA is",
    "overlap": "the share of nearest neighbours in common is",
}
_SMALL: dict[str, Any] = {"textcoords": "offset points", "fontsize": "x-small"}
_READING = {
    "linear CKA": "1 for the same cloud, turned, moved or scaled; near its floor for unrelated ones.",
    "neighbours": "the share of an image's nearest images that are the same in both.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a comparison as a JSON document."""
    names = result["store"].tolist()
    stores = {name: stats.to_json(found) for name, found in zip(names, result.parts["stats"], strict=True)}
    for name, array in _arrays(result).items():
        stores[name]["points_of"] = array
    if "inertia_share" in result:
        for name, found in zip(names, result.parts["kmeans"], strict=True):
            stores[name]["kmeans"] = kmeans.to_json(found)
    return {
        "stores": stores,
        "pairs": [_pair(result, number) for number in range(len(result["first"]))],
        "radius": {
            "edges": result["radius_edge"].tolist(),
            "shares": dict(zip(names, result["radius_share"].tolist(), strict=True)),
        },
        "notes": list(result.attributes["notes"]),
    }


def _pair(result: Result, number: int) -> dict[str, Any]:
    """Return what is found of two stores; a result of an older version has fewer figures."""
    found = {name: _figure_of(result, name, number) for name in FIGURES}
    return {
        **{name: str(result[name][number]) for name in ("first", "second")},
        "different_images": str(result["difference"][number]) or None,
        "shared": int(result["shared"][number]),
        "sampled": int(result["sampled"][number]) if "sampled" in result else None,
        **found,
        "earth_movers_distance": found["wasserstein_distance"],  # its name in older documents
    }


def _figure_of(result: Result, name: str, number: int) -> float | None:
    if name == "wasserstein_distance" and name not in result:
        name = "earth_movers_distance"
    if name not in result:
        return None
    if name == "disparity_floor":  # of each store: the higher one of both
        names = result["store"].tolist()
        both = [result[name][names.index(result[end][number])] for end in ("first", "second")]
        return finite(np.max(both))
    return finite(result[name][number])


def _arrays(result: Result) -> dict[str, str]:
    """Return the array of the points of each store."""
    names = result["store"].tolist()
    if "array" in result:
        return dict(zip(names, result["array"].tolist(), strict=True))
    return dict.fromkeys(names, str(result.attributes.get("array", "z")))


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the statistics of all stores side by side, then what is found of every two of them."""
    from rich.console import Group

    return Group(*(part for result in results.values() for part in _tables(result)))


def _tables(result: Result) -> list[RenderableType]:
    from rich.text import Text

    names = result["store"].tolist()
    tables: list[RenderableType] = [stats.table(dict(zip(names, result.parts["stats"], strict=True)))]
    if "inertia_share" in result:
        tables += [
            Text("\ninertia (% of that of one cluster)", style="bold cyan"),
            _inertia_table(result),
        ]
        tables += [
            f"{name}: {kmeans.gap_summary(found)}"
            for name, found in zip(names, result.parts["kmeans"], strict=True)
        ]
    nearest, sampled = result.attributes["nearest"], _sizes(result)
    legend = (
        "Wasserstein-1: distance of the distributions of the radii. CKA: 1 for the same cloud, turned, moved "
        f"or scaled. Neighbours: share of the {nearest} nearest of an image that are the same"
        f"{sampled}; it depends on how many images they are searched among. Disparity (Procrustes): how much "
        "the shapes of two maps differ, 0 to 1. ±: standard error over the images: delta method, jackknife, "
        "standard deviation of the images' shares, jackknife. Floor: what is found where there is nothing to "
        "find: two samples of one distribution, shuffled images, shuffled images, and another map of the "
        "same store, where its noise floor was asked for."
    )
    arrays = _arrays(result)
    numbers = _numbers(result)
    each = [f"{number}{name} {arrays[name]}" for name, number in zip(names, numbers, strict=True)]
    points = "points: " + ("\n        " if any(numbers) else ", ").join(each)
    notes = [
        Text(f"\n{note}", style="bold")
        for note in result.attributes["notes"]
        if not note.startswith("points: ")  # they stand above
    ]
    if len(names) > MANY:
        of = spelled(command("runs"), "command line")
        notes.append(Text(f"\nruns of several kinds are better compared by `{of}`", style="bold"))
    title = Text("\nevery two stores", style="bold cyan")
    return [*tables, title, points, _pair_table(result), Text(legend, style="dim"), *notes]


def _sizes(result: Result) -> str:
    """Return of how many images the overlap is, in words."""
    sizes = sorted(
        {pair["sampled"] for pair in map(partial(_pair, result), range(len(result["first"])))} - {None, 0}
    )
    return f" (n = {' or '.join(f'{size:,}' for size in sizes)})" if sizes else ""


def _numbers(result: Result) -> list[str]:
    """Return what stores are numbered with; nothing where pairs of their names are short."""
    pairs = zip(result["first"].tolist(), result["second"].tolist(), strict=True)
    if all(len(first) + len(second) <= LONGEST_PAIR for first, second in pairs):
        return [""] * len(result["store"])
    return [f"{number + 1} " for number in range(len(result["store"]))]


def _pair_names(result: Result) -> list[str]:
    """Return the names of every two stores, or their numbers."""
    names = result["store"].tolist()
    short = dict(
        zip(names, (n.strip() or name for n, name in zip(_numbers(result), names, strict=True)), strict=True)
    )
    return [
        f"{short[first]}, {short[second]}"
        for first, second in zip(result["first"].tolist(), result["second"].tolist(), strict=True)
    ]


def _inertia_table(result: Result) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("k", *result["store"].tolist()):
        table.add_column(title, justify="right", overflow="fold")
    k, shares = result["k"], 100 * result["inertia_share"].mean(axis=2)
    for line in np.unique(np.linspace(0, len(k) - 1, MOST_LINES).round().astype(int)):
        table.add_row(str(k[line]), *(f"{share:.2f}" for share in shares[:, line]))
    return table


def _pair_table(result: Result) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", overflow="fold")
    for title, _ in TITLES.values():
        table.add_column(title, justify="right", no_wrap=True)
    for number, name in enumerate(_pair_names(result)):
        pair = _pair(result, number)
        table.add_row(name, *(with_error(*_value(pair, figure)) for figure in TITLES))
        beside = [with_error(pair[floor], None) for _, floor in TITLES.values()]
        table.add_row(Text("  floor", style="dim"), *(Text(cell, style="dim") for cell in beside))
    return table


def _value(pair: Mapping[str, Any], figure: str) -> tuple[float | None, float | None]:
    """Return a figure of two stores and its standard error."""
    return pair.get(figure, pair.get(f"{figure}_distance")), pair[f"{figure}_error"]


def section(results: Mapping[str, Result]) -> Section:
    """Return how much alike every two stores are, beside what chance gives."""
    verdicts = []
    for result in results.values():
        for pair in (_pair(result, at) for at in range(len(result["first"]))):
            names = f"{pair['first']} and {pair['second']}"
            if pair["different_images"]:
                verdicts.append(f"{names} are of different images: {pair['different_images']}.")
                continue
            for key, what in _SAID.items():
                value, error = _value(pair, key)
                floor = with_error(pair[TITLES[key][1]], None)
                if value is not None and error is not None:
                    verdicts.append(f"{names}: {what} {with_error(value, error)}, by chance {floor}.")
    lead = "Radii, inertia, likeness and aligned maps of the stores, one image in one colour in all maps."
    return Section("Models compared", lead, tuple(verdicts), reading=_READING)


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the curves of radii and of inertia, and aligned embeddings, whose points keep their colours."""
    (pairs,) = results.values()
    from matplotlib.figure import Figure

    maps = len(pairs["store_of_map"]) if "embedding" in pairs else 0
    width = max(10.0, maps * NARROWEST_MAP)
    strip = STRIP_HEIGHT[0] + STRIP_HEIGHT[1] * len(pairs["first"])
    heights = [CURVES_HEIGHT, strip]
    if maps:
        across, up = np.maximum(np.ptp(np.concatenate(pairs["embedding"]), axis=0), 1e-9)
        heights.append(width / maps * float(np.clip(up / across, *MAP_SHAPES)) + MAP_TEXT)
    drawing = Figure(figsize=(width, sum(heights)), layout="constrained")
    rows = drawing.subfigures(len(heights), 1, height_ratios=heights, hspace=0.03, squeeze=False)[:, 0]
    curves = [_draw_radii, _draw_inertia] if "inertia_share" in pairs else [_draw_radii]
    for draw, axes in zip(curves, rows[0].subplots(1, len(curves), squeeze=False)[0], strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, pairs)
        room = ROOM * max(0, len(pairs["store"]) - 2) if draw is _draw_radii else 0
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + room))
        axes.legend(frameon=False)
    _draw_pairs(rows[1], pairs)
    if maps:
        _draw_maps(rows[2], pairs, width / maps)
    return drawing


def _draw_pairs(row: SubFigure, result: Result) -> None:
    """Plot the figures of every two stores with two standard errors, and what they are of nothing."""
    names = _pair_names(result)
    pairs = [_pair(result, number) for number in range(len(names))]
    figures = [name for name in TITLES if any(_value(pair, name)[0] is not None for pair in pairs)]
    panels = row.subplots(1, len(figures), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, figures, strict=True):
        _draw_figure(axes, name, pairs)
        sizes = _sizes(result) if name == "overlap" else ""
        axes.set_title(f"{TITLES[name][0]}{sizes}", fontsize="medium")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(np.arange(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    row.supxlabel(
        "bars: two standard errors; grey: by chance, or the floor, where there is nothing to find",
        fontsize="small",
    )


def _draw_figure(axes: Axes, name: str, pairs: Sequence[Mapping[str, Any]]) -> None:
    """Plot a figure of every two stores, a line each, with its value and what chance gives."""
    floor = TITLES[name][1]
    found = np.array([_value(pair, name) for pair in pairs], float)
    bars = 2 * np.nan_to_num(found[:, 1])
    floors = np.array([pair[floor] for pair in pairs], float)
    largest = np.nanmax([*(found[:, 0] + bars), *floors, 0.0])
    end = 1.0 if name != "wasserstein" else largest or 1.0
    lines = np.arange(len(pairs))
    axes.hlines(lines, 0, end, color="0.92", linewidth=1, zorder=0)
    axes.errorbar(found[:, 0], lines, xerr=bars, fmt="o", markersize=5, capsize=3)
    axes.plot(floors, lines, "|", color="0.4", markersize=12, markeredgewidth=2)
    axes.set_xlim(-0.04 * end, 1.08 * end)
    if name != "wasserstein":
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    word = "chance" if floor.endswith("chance") else "floor"
    for line, pair in enumerate(pairs):
        value, error = _value(pair, name)
        if value is None:
            axes.annotate("not comparable", (0, line), (0, 5), **_SMALL, color="0.5", ha="left")
            continue
        side = "left" if value < end / 3 else "right" if value > 2 * end / 3 else "center"
        axes.annotate(with_error(value, error), (value, line), (0, 6), **_SMALL, ha=side)
        if pair[floor] is not None:
            side = "left" if pair[floor] < end / 2 else "right"
            said = f"{word} {with_error(pair[floor], None)}"
            axes.annotate(said, (pair[floor], line), (0, -14), **_SMALL, color="0.4", ha=side)


def _labels(result: Result) -> list[str]:
    """Return the name of each store, with its number and the array of its points."""
    numbers, arrays = _numbers(result), _arrays(result)
    return [f"{number}{name}, {array}" for number, (name, array) in zip(numbers, arrays.items(), strict=True)]


def _draw_radii(axes: Axes, pairs: Result) -> None:
    edges = pairs["radius_edge"]
    for name, shares, style in zip(_labels(pairs), pairs["radius_share"], _styles(), strict=False):
        axes.stairs(100 * shares, edges, label=name, **style)
    axes.set_xlabel("radius (L2 norm of a row)")
    axes.set_ylabel(f"images in a bin of {edges[1] - edges[0]:.2g} (%)")


def _draw_inertia(axes: Axes, pairs: Result) -> None:
    from matplotlib.ticker import MaxNLocator

    k = pairs["k"]
    mark = "o" if len(k) < 3 else ""
    for name, shares, style in zip(_labels(pairs), 100 * pairs["inertia_share"], _styles(), strict=False):
        axes.plot(k, shares.mean(axis=1), marker=mark, label=name, **style)
        lowest, highest = shares.min(axis=1), shares.max(axis=1)
        axes.fill_between(k, lowest, highest, color=style["color"], alpha=0.2, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("number of clusters k")
    axes.set_ylabel("inertia (% of that of one cluster)")


def _styles() -> Iterator[dict[str, Any]]:
    for colour, dashes in zip(series_colours(), cycle(DASHES), strict=False):
        yield {"color": colour, "linestyle": dashes, "linewidth": 1.8}


def _draw_maps(row: SubFigure, pairs: Result, side: float) -> None:
    names = pairs["store"][pairs["store_of_map"]].tolist()
    found = (_pair(pairs, number) for number in range(len(pairs["first"])))
    disparity = {(pair["first"], pair["second"]): with_error(*_value(pair, "disparity")) for pair in found}
    labels = dict(zip(pairs["store"].tolist(), _labels(pairs), strict=True))
    colours = _colours_by_place(pairs["embedding"][0])
    size = min(INK * (72 * side) ** 2 / len(colours), 20.0)
    panels = row.subplots(1, len(names), squeeze=False, sharex=True, sharey=True)[0]
    for axes, name, points in zip(panels, names, pairs["embedding"], strict=True):
        axes.scatter(*points.T, s=size, c=colours, linewidths=0, rasterized=True)
        left = disparity.get((names[0], name))
        below = "the others are aligned to it" if left is None else f"disparity {left}"
        axes.set_title(f"{labels[name]}\n{below}", fontsize="medium")
        axes.set_aspect("equal")
        axes.set_axis_off()
    row.supxlabel(
        "t-SNE maps; in all of them an image has the colour of its place in the first", fontsize="medium"
    )


def _colours_by_place(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return colours (n, 3) of points (n, 2), which change smoothly over the map."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = ((points - low) / np.where(high > low, high - low, 1)).T[:, :, np.newaxis]
    (dark, light), (brown, yellow) = CORNERS
    return np.asarray((1 - x) * ((1 - y) * dark + y * light) + x * ((1 - y) * brown + y * yellow))
