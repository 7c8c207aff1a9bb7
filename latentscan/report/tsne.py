"""Embeddings by t-SNE as pictures, and a table of how good they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite, own_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

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
MARGIN = 0.02  # of the extent of a map, around it
COLOURS = "viridis"
COLOUR_SHARES = (1.0, 99.0)  # percentiles of the radius at which the colours end


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `tsne` as a JSON document, without the points."""
    return {
        name: finite(value) if isinstance(value, float) else value
        for name, value in own_attributes(result).items()
        if name != "coordinates"
    }


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange how maps were made and how good they are, one a line.

    Parameters
    ----------
    results
        Results of `tsne` by a name.
    """
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("map", overflow="fold")
    columns = ("points", "perpl.", "exagg.", "iter.", "KL", "recall", "trust")
    transformed = any("transformed" in result.attributes for result in results.values())
    for title in (*columns, *(["transf."] if transformed else [])):
        table.add_column(title, justify="right", no_wrap=True)
    for name, result in results.items():
        a = result.attributes
        cells = [f"{a['points']:,}", f"{a['perplexity']:g}", f"{a['early_exaggeration']:g}"]
        cells += [
            f"{a['iterations']:,}",
            f"{a['kl']:.3f}",
            f"{a['recall']:.3f}",
            f"{a['trustworthiness']:.3f}",
        ]
        table.add_row(name, *cells, *([f"{a.get('transformed', 0):,}"] if transformed else []))
    return table


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot maps side by side, each point in the colour of its radius."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    columns = math.ceil(math.sqrt(len(results)))
    rows = math.ceil(len(results) / columns)
    side = PANEL_INCHES[min(columns, len(PANEL_INCHES)) - 1]
    drawing = Figure(figsize=(columns * side + 0.9, rows * (side + 0.75)), layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    radii = np.concatenate([result["radius"] for result in results.values()])
    norm = Normalize(*np.percentile(radii, COLOUR_SHARES))
    for (name, result), axes in zip(results.items(), panels, strict=False):
        _draw_map(axes, result, norm, side)
        axes.set_title(name if len(results) > 1 else "", loc="left", fontsize="medium")
    for axes in panels[len(results) :]:
        axes.set_axis_off()
    colours = ScalarMappable(norm, COLOURS)
    bar = drawing.colorbar(colours, ax=panels.tolist(), extend="both", shrink=0.6, aspect=30, pad=0.01)
    bar.set_label("radius (L2 norm of a row)")
    bar.outline.set_visible(False)
    return drawing


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
    a = result.attributes
    on_map = f"{len(across):,} points" + (
        f", {a['transformed']:,} of them transformed" if "transformed" in a else ""
    )
    made = f"perplexity {a['perplexity']:g}, exaggeration {a['early_exaggeration']:g}"
    axes.set_xlabel(f"{on_map}, {a['iterations']:,} iterations\n{made}, KL {a['kl']:.3f}", color="0.3")
