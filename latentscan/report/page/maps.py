"""The maps of a page as Bokeh models that share one source of points, and the histograms of radii below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure as Plot  # noqa: N812 (a class in all but name)
    from numpy.typing import NDArray

    from latentscan.report.page.points import Map, Points

INK = 0.35  # share of a map that all points would cover side by side
SIDE = 420  # pixels of a map, about
SIZES = (2.0, 8.0)  # pixels of a point
BARS = 48  # of a histogram
QUARTILES = (25.0, 75.0)
FAR = 4.0  # times their distance beyond them, where a histogram ends: its last bars hold what lies beyond
_GREY = "#8a8f98"
_CHOSEN = "#E69F00"
_HOVER = "window.latentscan.hover(cb_obj, at)"
_WITHIN = "window.latentscan.within(cb_obj, at)"
_RANGE = "window.latentscan.range(cb_obj, at)"


def shared_source(points: Points, thumbnails: NDArray[np.int32] | None) -> ColumnDataSource:
    """Return the points' data: rows, paths, places on maps, figures and thumbnails.

    Columns are called ``c0``, ``c1``, ..., and places on maps ``x0``, ``y0``, ``x1``, ...
    """
    from bokeh.models import ColumnDataSource

    data: dict[str, Any] = {
        "row": points.rows.astype(np.int32 if points.rows.max(initial=0) < 2**31 else np.float64),
        "path": points.paths.tolist(),
        "thumbnail": np.full(len(points), -1, np.int32) if thumbnails is None else thumbnails,
        **{f"c{at}": column.values for at, column in enumerate(points.columns)},
    }
    for at, one in enumerate(points.maps):
        data |= {f"x{at}": one.places[:, 0].copy(), f"y{at}": one.places[:, 1].copy()}
    return ColumnDataSource(data, name="points")


def map_plot(at: int, one: Map, source: ColumnDataSource) -> Plot:
    """Return the frame of a map, with its tools; the page's script draws the points into a picture in it.

    Parameters
    ----------
    at
        Which of the maps it is.
    one
        The map.
    source
        The points' data.
    """
    from bokeh.models import (
        BoxSelectTool,
        BoxZoomTool,
        ColumnDataSource,
        CustomJS,
        LassoSelectTool,
        PanTool,
        Range1d,
        ResetTool,
        WheelZoomTool,
    )
    from bokeh.plotting import figure

    lasso = LassoSelectTool(continuous=False, renderers=[])
    box = BoxSelectTool(continuous=False, renderers=[])
    wheel = WheelZoomTool(modifiers={"ctrl": True})
    left, right, low, high = one.extent
    plot = figure(
        name=f"map{at}",
        tools=[lasso, box, PanTool(), wheel, BoxZoomTool(), ResetTool()],
        active_drag=lasso,
        active_scroll=wheel,
        x_range=Range1d(start=left, end=right),
        y_range=Range1d(start=low, end=high),
        toolbar_location="above",
        sizing_mode="stretch_width",
        aspect_ratio=1,
        min_height=260,
    )
    _plain(plot)
    plot.axis.visible = False
    plot.grid.visible = False
    if one.density is not None:
        _draw_density(plot, one)
    empty = {"picture": [np.zeros((1, 1), np.uint32)], "x": [left], "y": [low]}
    raster = ColumnDataSource({**empty, "width": [right - left], "height": [high - low]}, name=f"raster{at}")
    plot.image_rgba("picture", x="x", y="y", dw="width", dh="height", source=raster)
    arguments = {"at": at, "source": source}
    plot.js_on_event("mousemove", CustomJS(args=arguments, code=_HOVER))
    plot.js_on_event("selectiongeometry", CustomJS(args=arguments, code=_WITHIN))
    plot.toolbar.logo = None
    return plot


def point_style(one: Map) -> dict[str, Any]:
    """Return how a map is drawn: its store, the size of points in pixels, their opacity, and where it is."""
    shown = int(np.isfinite(one.places[:, 0]).sum())
    size = float(np.clip(np.sqrt(INK * SIDE**2 / max(shown, 1) / 0.8), *SIZES))
    opacity = 0.85 if size > SIZES[0] else 0.55
    left, right, low, high = one.extent
    middle = [(left + right) / 2, (low + high) / 2]
    return {
        "store": one.store,
        "size": size,
        "opacity": opacity,
        "extent": right - left,
        "middle": middle,
    }


def _draw_density(plot: Plot, one: Map) -> None:
    """Draw how many images lie where, behind the points."""
    from bokeh.models import ColumnDataSource

    counts = np.log1p(one.density if one.density is not None else np.zeros((1, 1)))
    alpha = np.round(110 * counts / max(float(counts.max()), 1e-9)).astype(np.uint32)
    picture = np.uint32(0x8F8A80) | (alpha << np.uint32(24))  # the lowest byte is red
    left, right, low, high = one.extent
    source = ColumnDataSource({"picture": [picture]})
    plot.image_rgba("picture", source=source, x=left, y=low, dw=right - left, dh=high - low)


def histogram_plot(at: int, title: str, values: NDArray[np.float32]) -> Plot | None:
    """Return the histogram of a column, with the chosen images in front; None where nothing is finite.

    Parameters
    ----------
    at
        Which column.
    title
        What the figure is called.
    values
        The column, (n,).
    """
    from bokeh.models import BoxSelectTool, ColumnDataSource, CustomJS, DataRange1d
    from bokeh.plotting import figure

    held = values[np.isfinite(values)]
    if not len(held):
        return None
    low, high = np.percentile(held, QUARTILES)
    reach = FAR * (high - low) or np.inf
    ends = max(float(held.min()), low - reach), min(float(held.max()), high + reach)
    counts, edges = np.histogram(np.clip(held, *ends), BARS, range=ends if ends[0] < ends[1] else None)
    bars = ColumnDataSource(
        {
            "left": edges[:-1].astype(np.float32),
            "right": edges[1:].astype(np.float32),
            "all": counts.astype(np.int32),
            "chosen": np.zeros(BARS, np.int32),
        },
        name=f"bars{at}",
    )
    box = BoxSelectTool(dimensions="width")
    plot = figure(
        name=f"histogram{at}",
        tools=[box],
        active_drag=box,
        height=170,
        y_range=DataRange1d(start=0),
        sizing_mode="stretch_width",
        toolbar_location=None,
        x_axis_label=title,
        y_axis_label="images",
    )
    _plain(plot)
    plot.xgrid.visible = False
    still: dict[str, Any] = {"nonselection_fill_alpha": 1.0, "line_color": None, "bottom": 0}
    plot.quad(
        left="left",
        right="right",
        top="all",
        source=bars,
        color=_GREY,
        fill_alpha=0.6,
        **{**still, "nonselection_fill_alpha": 0.6},
    )
    plot.quad(left="left", right="right", top="chosen", source=bars, color=_CHOSEN, **still)
    plot.js_on_event("selectiongeometry", CustomJS(args={"at": at}, code=_RANGE))
    return plot


def _plain(plot: Plot) -> None:
    plot.background_fill_color = None
    plot.border_fill_color = None
    plot.outline_line_color = None
    plot.axis.axis_label_text_color = "#767b84"
    plot.axis.major_label_text_color = "#767b84"
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_line_color = "#8a8f98"
    plot.axis.major_tick_line_color = "#8a8f98"
    plot.axis.minor_tick_line_color = None
    plot.grid.grid_line_color = "#8a8f98"
    plot.grid.grid_line_alpha = 0.25
