"""Embeddings by t-SNE as pictures, and a table of how good they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite, own_attributes, with_error
from latentscan.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from latentscan.store.results import Result

SEVERAL = "maps"  # what results of several settings are called together
PANEL_INCHES = (6.4, 4.6, 3.6)  # the side of a map where there is one, where there are up to 4, and more
INK = 0.3  # share of a panel that all points would cover side by side
LARGEST, SMALLEST = 16.0, 0.1  # areas of a point, in square points (1/72 inch)
FAINTEST = 0.35
LINE_INCHES = 0.17  # the height of a line below a map
MARGIN = 0.02  # of the extent of a map, around it
COLOURS = "viridis"
COLOUR_SHARES = (1.0, 99.0)  # percentiles of the radius at which the colours end


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
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    columns = math.ceil(math.sqrt(len(results)))
    rows = math.ceil(len(results) / columns)
    side = PANEL_INCHES[min(columns, len(PANEL_INCHES)) - 1]
    lines = max(_caption(result).count("\n") + 1 for result in results.values())
    height = side + 0.45 + LINE_INCHES * lines
    drawing = Figure(figsize=(columns * side + 0.9, rows * height), layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    radii = np.concatenate([result["radius"] for result in results.values()])
    norm = Normalize(*np.percentile(radii, COLOUR_SHARES))
    for (name, result), axes in zip(results.items(), panels, strict=False):
        _draw_map(axes, result, norm, side)
        caption = _caption(result)
        # of as many lines everywhere, so that maps of a row have one height
        axes.set_xlabel(caption + "\n" * (lines - 1 - caption.count("\n")), color="0.3", fontsize="small")
        axes.set_title(f"{name}, {result.attributes['array']}", loc="left", fontsize="medium")
    for axes in panels[len(results) :]:
        axes.set_axis_off()
    colours = ScalarMappable(norm, COLOURS)
    bar = drawing.colorbar(colours, ax=panels.tolist(), extend="both", shrink=0.6, aspect=30, pad=0.01)
    bar.set_label("radius (L2 norm of a row)")
    bar.outline.set_visible(False)
    return drawing


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


def _draw_map(axes: Axes, result: Result, norm: Normalize, side: float) -> None:
    across, up = result["embedding"].T
    ink = INK * (72 * side) ** 2 / len(across)
    area = min(max(ink, SMALLEST), LARGEST)
    axes.scatter(
        across,
        up,
        c=result["radius"],
        s=area,
        norm=norm,
        cmap=COLOURS,
        alpha=max(FAINTEST, min(0.9, ink / area)),
        linewidths=0,
        rasterized=True,
    )
    reach = max(np.ptp(across), np.ptp(up)) * (0.5 + MARGIN) or 1.0
    centre = (across.min() + across.max()) / 2, (up.min() + up.max()) / 2
    axes.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
    axes.set(xticks=[], yticks=[], aspect="equal")
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
