"""Stores beside one another: on a terminal, as a figure, and as a JSON document."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report import kmeans, stats
from latentscan.report.format import finite
from latentscan.report.style import series_colours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

FIGURES = ("earth_movers_distance", "cka", "cka_chance", "overlap", "overlap_chance", "disparity")
CURVES_HEIGHT = 3.6  # inches
NARROWEST_MAP = 2.4  # inches
MOST_LINES = 8  # of a table of inertia
DASHES = ("-", "--", ":", "-.")  # so that a curve shows below one that is the same
INK = 0.25  # of a map's area, which its points would cover if none lay on another
# what the corners of the first map are coloured: dark to light, blue to yellow, which all eyes tell apart
CORNERS = np.array([[[0.05, 0.10, 0.50], [0.40, 0.80, 1.00]], [[0.75, 0.20, 0.00], [1.00, 0.85, 0.15]]])


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a comparison as a JSON document."""
    names = result["store"].tolist()
    stores = {name: stats.to_json(found) for name, found in zip(names, result.parts["stats"], strict=True)}
    if "inertia_share" in result:
        for name, found in zip(names, result.parts["kmeans"], strict=True):
            stores[name]["kmeans"] = kmeans.to_json(found)
    return {
        "stores": stores,
        "pairs": [
            {
                **{name: str(result[name][pair]) for name in ("first", "second")},
                "different_images": str(result["difference"][pair]) or None,
                "shared": int(result["shared"][pair]),
                **{name: finite(result[name][pair]) if name in result else None for name in FIGURES},
            }
            for pair in range(len(result["first"]))
        ],
        "radius": {
            "edges": result["radius_edge"].tolist(),
            "shares": dict(zip(names, result["radius_share"].tolist(), strict=True)),
        },
        "notes": list(result.attributes["notes"]),
    }


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
    nearest = result.attributes["nearest"]
    legend = (
        "EMD: earth mover's distance between the radii. CKA: 1 for the same cloud, turned, moved or scaled. "
        f"Neighbours: how many of the {nearest} nearest of an image are the same. In brackets: by chance, as "
        "of shuffled images. Maps: how much their shapes differ, 0 to 1."
    )
    notes = [Text(f"\n{note}", style="bold") for note in result.attributes["notes"]]
    title = Text("\nevery two stores", style="bold cyan")
    return [*tables, title, _pair_table(result), Text(legend, style="dim"), *notes]


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

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", overflow="fold")
    for title in ("EMD", "linear CKA", "neighbours", "maps"):
        table.add_column(title, justify="right", no_wrap=True)
    for pair in to_json(result)["pairs"]:
        table.add_row(
            f"{pair['first']}, {pair['second']}",
            f"{pair['earth_movers_distance']:.3g}",
            _beside_chance(pair["cka"], pair["cka_chance"]),
            _beside_chance(pair["overlap"], pair["overlap_chance"]),
            "–" if pair["disparity"] is None else f"{pair['disparity']:.3f}",
        )
    return table


def _beside_chance(value: float | None, chance: float | None) -> str:
    return "–" if value is None or chance is None else f"{value:.3f} ({chance:.3f})"


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the curves of radii and of inertia, and aligned embeddings, whose points keep their colours."""
    (pairs,) = results.values()
    from matplotlib.figure import Figure

    maps = len(pairs["store_of_map"]) if "embedding" in pairs else 0
    width = max(10.0, maps * NARROWEST_MAP)
    heights = [CURVES_HEIGHT, width / maps + 0.5] if maps else [CURVES_HEIGHT]
    drawing = Figure(figsize=(width, sum(heights)), layout="constrained")
    rows = drawing.subfigures(len(heights), 1, height_ratios=heights, hspace=0.03, squeeze=False)[:, 0]
    curves = [_draw_radii, _draw_inertia] if "inertia_share" in pairs else [_draw_radii]
    for draw, axes in zip(curves, rows[0].subplots(1, len(curves), squeeze=False)[0], strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, pairs)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    if maps:
        _draw_maps(rows[1], pairs, width / maps)
    return drawing


def _draw_radii(axes: Axes, pairs: Result) -> None:
    edges = pairs["radius_edge"]
    for name, shares, style in zip(pairs["store"], pairs["radius_share"], _styles(), strict=False):
        axes.stairs(100 * shares, edges, label=name, **style)
    axes.set_xlabel(f"radius of {pairs.attributes['array']} (L2 norm of a row)")
    axes.set_ylabel(f"images in a bin of {edges[1] - edges[0]:.2g} (%)")


def _draw_inertia(axes: Axes, pairs: Result) -> None:
    from matplotlib.ticker import MaxNLocator

    k = pairs["k"]
    mark = "o" if len(k) < 3 else ""
    for name, shares, style in zip(pairs["store"], 100 * pairs["inertia_share"], _styles(), strict=False):
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
    disparity = dict(zip(zip(pairs["first"], pairs["second"], strict=True), pairs["disparity"], strict=True))
    colours = _colours_by_place(pairs["embedding"][0])
    size = min(INK * (72 * side) ** 2 / len(colours), 20.0)
    panels = row.subplots(1, len(names), squeeze=False, sharex=True, sharey=True)[0]
    for axes, name, points in zip(panels, names, pairs["embedding"], strict=True):
        axes.scatter(*points.T, s=size, c=colours, linewidths=0, rasterized=True)
        left = disparity.get((names[0], name))
        below = "the others are aligned to it" if left is None else f"disparity {left:.2f}"
        axes.set_title(f"{name}\n{below}", fontsize="medium")
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
