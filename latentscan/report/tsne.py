"""Embeddings by t-SNE as pictures, and a table of how good they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.colouring import radii_of
from latentscan.report.format import finite, own_attributes, with_error
from latentscan.report.paint import paint_of
from latentscan.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.report.image_columns import Column
    from latentscan.report.paint import Paint
    from latentscan.store.results import Result

SEVERAL = "maps"  # what results of several settings are called together
PANEL_INCHES = (6.4, 4.6, 3.6)  # the side of a map where there is one, where there are up to 4, and more
INK = 0.2  # share of a panel that all points would cover side by side
LARGEST, SMALLEST = 36.0, 0.1  # areas of a point, in square points (1/72 inch)
FAINTEST = 0.35
LINE_INCHES = 0.17  # the height of a line below a map
HEAD_INCHES, TITLE_INCHES = 0.5, 0.25  # the heights of the title above all maps, and of that of each
GAP_INCHES = 0.12  # around maps
SHAPES = (0.6, 3.0)  # of maps: width over height, at least and at most
FEW = 30  # points, up to which each has its row beside it
MARGIN = 0.03  # of the extent of a map, around it


_READING = {
    "distances": "between groups, and sizes of groups, mean nothing on such a map; neighbours do.",
    "kept": "two maps of the same data that differ in their start alone share a part of their neighbours "
    "only: differences of maps below that are none.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `tsne` as a JSON document, without the points."""
    found: dict[str, Any] = _finite(own_attributes(result))
    found.pop("coordinates", None)
    return found


def _finite(value: Any) -> Any:
    """Return attributes for JSON, with None for what is not finite."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return finite(value) if isinstance(value, float) else value


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange how maps were made and how good they are.

    Below the line of a map of all images, which is of its sample alone, are one of the images of the sample
    and one of the transformed ones, among all images.

    Parameters
    ----------
    results
        Results of `tsne` by a name.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("map", overflow="fold")
    for title in ("points", "perpl.", "exagg.", "iter.", "search\nrecall", "trust", "kept"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, result in results.items():
        for cells in _lines(name, result):
            table.add_row(*cells)
    floors = [
        f"{name}: another map of the same images has {_beside(floor, 'neighbours_in_common')} of the "
        f"neighbours in common, Procrustes disparity {_beside(floor, 'disparity')}"
        for name, result in results.items()
        if isinstance(floor := result.attributes.get("noise_floor"), dict)
    ]
    near = next(iter(results.values())).attributes.get("neighbours", 15)
    legend = (
        "Search recall: share of the nearest neighbours that the index found. Trust (trustworthiness): "
        "whether neighbours on the map are neighbours in the latent space. "
        f"Kept: share of the {near} nearest in the latent space that are among the {near} nearest on the "
        "map. ±: standard error over the images. The KL divergence compares maps of the same points and "
        "perplexity only; it stands in the picture and in the JSON document."
    )
    if any("transformed" in result.attributes for result in results.values()):
        legend += (
            " Below a map of all images: images of its sample, and transformed ones, each with its nearest "
            "among all images of the map."
        )
    return Group(table, *floors, Text(f"\n{legend}", style="dim"))


def _lines(name: str, result: Result) -> Iterator[list[str]]:
    """Yield the lines of a map."""
    a = result.attributes
    transformed = a.get("transformed")
    made = [f"{a['perplexity']:g}", f"{a['early_exaggeration']:g}", f"{a['iterations']:,}"]
    yield [
        f"{name}, {a['array']}",
        f"{a['points']:,}",
        *made,
        _recall(a.get("search_recall", a.get("recall"))),
        *_quality(a),
    ]
    if transformed is None:
        return
    among_all = a.get("among_all", {})
    yield ["  among all", f"{a['points']:,}", *[""] * 4, *_quality(among_all.get("sample"))]
    recall = _recall(a.get("transformed_search_recall"))
    yield ["  transformed", f"{transformed:,}", *[""] * 3, recall, *_quality(among_all.get("transformed"))]


def _recall(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _quality(figures: Mapping[str, Any] | None) -> list[str]:
    return [_beside(figures or {}, name) for name in ("trustworthiness", "neighbours_kept")]


def _beside(figures: Mapping[str, Any], name: str) -> str:
    """Write a figure with its standard error; results of older versions have none."""
    return with_error(figures.get(name), figures.get(f"{name}_error"))


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot maps side by side, each point in the colour of its radius."""
    return coloured(results, {name: radii_of(result) for name, result in results.items()})


def coloured(results: Mapping[str, Result], colours: Mapping[str, Column]) -> Figure:
    """Plot maps side by side, each point in the colour of what is known of its image.

    Parameters
    ----------
    results
        Results of `tsne` by a name.
    colours
        What the points of each are coloured by, by the same names: numbers, or categories with names.
    """
    from matplotlib.figure import Figure

    columns = math.ceil(math.sqrt(len(results)))
    rows = math.ceil(len(results) / columns)
    side = PANEL_INCHES[min(columns, len(PANEL_INCHES)) - 1]
    shape = _shape([result["embedding"] for result in results.values()])
    width, height = side * math.sqrt(shape), side / math.sqrt(shape)
    lines = max(_caption(result).count("\n") + 1 for result in results.values())
    paint = paint_of(list(colours.values()))
    below, gap = LINE_INCHES * (lines + 1), GAP_INCHES
    step = np.array([width + gap, height + below + TITLE_INCHES])
    size = step * (columns, rows) + (gap + paint.key_inches, HEAD_INCHES)
    drawing = Figure(figsize=tuple(size.tolist()))
    for at, (name, result) in enumerate(results.items()):
        row, column = divmod(at, columns)
        corner = step * (column, rows - 1 - row) + (gap, below)
        axes = drawing.add_axes(_box(corner, (width, height), size))
        _draw_map(axes, result, paint, colours[name], (width, height))
        axes.set_xlabel(_caption(result), color="0.3", fontsize="small")
        axes.set_title(f"{name}, {result.attributes['array']}", loc="left", fontsize="medium")
    title = next(iter(colours.values())).title
    drawing.text(
        gap / size[0],
        1 - 0.5 * gap / size[1],
        f"t-SNE: points are images; those alike in the latent space lie together\ncolour: {title}",
        va="top",
    )
    key = np.array([step[0] * columns + gap, size[1] - HEAD_INCHES - TITLE_INCHES - height])
    paint.draw_key(drawing, _box(key, (paint.key_inches, height), size))
    return drawing


def _box(
    corner: NDArray[np.float64], extent: tuple[float, float], size: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Return a place of a figure as shares of its size, all in inches."""
    (left, bottom), (width, height) = corner / size, np.array(extent) / size
    return float(left), float(bottom), float(width), float(height)


def section(results: Mapping[str, Result]) -> Section:
    """Return how good each map is."""
    verdicts = []
    for name, result in results.items():
        a = result.attributes
        trust, kept = _quality(a)
        verdicts.append(
            f"{name}: the map of {len(result['image']):,} images (perplexity {a['perplexity']:g}, "
            f"exaggeration {a['early_exaggeration']:g}) has trustworthiness {trust}, and keeps a share of "
            f"{kept} of the {a.get('neighbours', 15)} nearest neighbours."
        )
    lead = "Maps on which images lie near those that are near in the latent space, coloured by the radius."
    return Section("t-SNE", lead, details=tuple(verdicts), reading=_READING)


def _shape(embeddings: Sequence[NDArray[Any]]) -> float:
    """Return the width of maps (n, 2) over their height, one for all, within what a page holds."""
    extents = np.array([np.ptp(one, axis=0) for one in embeddings], float)
    extents = np.maximum(extents, 1e-3 * extents.max(axis=1, keepdims=True))
    extents[~extents.any(axis=1)] = 1.0  # a single place
    return float(np.clip(np.exp(np.log(extents[:, 0] / extents[:, 1]).mean()), *SHAPES))


def _draw_map(axes: Axes, result: Result, paint: Paint, column: Column, inches: tuple[float, float]) -> None:
    points = result["embedding"]
    ink = INK * 72**2 * math.prod(inches) / len(points)
    area = min(max(ink, SMALLEST), LARGEST)
    paint.scatter(
        axes, points, column, s=area, alpha=max(FAINTEST, min(0.9, ink / area)), linewidths=0, rasterized=True
    )
    if len(points) <= FEW:
        for (across, up), row in zip(points, result["image"].tolist(), strict=True):
            axes.annotate(
                f"row {row}",
                (across, up),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize="x-small",
                color="0.3",
            )
    low, high = points.min(axis=0), points.max(axis=0)
    units = np.max((high - low) / inches) or 1.0  # of the map in an inch of the panel
    reach = units * np.array(inches) * (0.5 + MARGIN)
    (left, bottom), (right, top) = (low + high) / 2 - reach, (low + high) / 2 + reach
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_color("0.85")


def _caption(result: Result) -> str:
    """Return how a map was made, and how good it is."""
    a = result.attributes
    transformed = a.get("transformed")
    on_map = f"{len(result['image']):,} points"
    if transformed is not None:
        on_map += f", {transformed:,} of them transformed"
    lines = [
        f"{on_map}, {a['iterations']:,} iterations",
        f"perplexity {a['perplexity']:g}, exaggeration {a['early_exaggeration']:g}, KL {a['kl']:.3f}",
        _caption_of_quality("" if transformed is None else "sample: ", a),
    ]
    among_all = a.get("among_all", {})
    lines += [_caption_of_quality(f"{name} among all: ", part) for name, part in among_all.items() if part]
    if isinstance(floor := a.get("noise_floor"), dict):
        common, apart = (_beside(floor, name) for name in ("neighbours_in_common", "disparity"))
        lines.append(f"second map: {common} in common, disparity {apart}")
    return "\n".join(lines)


def _caption_of_quality(title: str, figures: Mapping[str, Any]) -> str:
    trust, kept = _quality(figures)
    return f"{title}trust {trust}, kept {kept}"
