"""The distributions along the coordinate axes: the farthest from Gaussian as a table, all as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite_list, own_attributes
from latentscan.report.section import Section
from latentscan.report.style import series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

    Floats = NDArray[np.float64]

LISTED = 10  # components in the table
COLOURED = 4  # components with a line of their own
SCORES = 5.0  # standard deviations to either side that lines reach
TAIL = 1e-4  # share of a component's images that the picture leaves out at either end
_FIGURES = ("mean", "variance", "skewness", "kurtosis", "distance", "lowest", "highest")


_READING = {
    "distance": "the Wasserstein-1 distance to that Gaussian, in standard deviations; by chance alone it is "
    "what the sentence above names.",
    "skewness, excess kurtosis": "both are 0 for a Gaussian; a large kurtosis means few images far out.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `axes` as a JSON document, without the counts."""
    document = own_attributes(result)
    for number, array in enumerate(result["array"].tolist()):
        document[array] = {
            **{name: finite_list(result[name][number]) for name in _FIGURES},
            **{name: np.flatnonzero(result[name][number]).tolist() for name in ("far", "coarse")},
        }
    return document


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange how many components are far from Gaussian, and the farthest, store after store.

    Parameters
    ----------
    results
        Results of `axes` by the name of their store.
    """
    from rich.console import Group

    parts: list[RenderableType] = []
    for name, result in results.items():
        for number, array in enumerate(result["array"].tolist()):
            parts += _array_table(f"{name}, {array}", result, number)
    return Group(*parts)


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the distributions along all axes as a picture, and those farthest from Gaussian as lines.

    A row for each array of each store: on the left the density of images by coordinate and component, on
    the right by the number of standard deviations from the mean, where all Gaussians are one curve.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = [
        (name, result, number) for name, result in results.items() for number in range(len(result["array"]))
    ]
    drawing = Figure(figsize=(9.5, 3.6 * len(rows)), layout=ConstrainedLayoutEngine(wspace=0.06))
    pairs = drawing.subplots(len(rows), 2, squeeze=False, width_ratios=(1.25, 1))
    for (name, result, number), (left, right) in zip(rows, pairs, strict=True):
        array = result["array"].tolist()[number]
        _draw_picture(left, result, number)
        _draw_lines(right, result, number)
        _mark_coloured(left, result, number)
        left.set_title(f"{name}, {array}", loc="left")
    return drawing


def section(results: Mapping[str, Result]) -> Section:
    """Return how many components are far from Gaussian, beside what chance gives."""
    verdicts = []
    for name, result in results.items():
        attributes = result.attributes
        for at, array in enumerate(result["array"].tolist()):
            distances, far = result["distance"][at], int(result["far"][at].sum())
            farthest = _farthest(distances, 1)
            largest = (
                f"; the farthest, {farthest[0]}, is {distances[farthest[0]]:.2g} σ off" if farthest else ""
            )
            verdicts.append(
                f"{name}: {far:,} of {len(distances):,} components of {array} are far from Gaussian, by "
                f"{attributes['far_distance']:.2g} σ or more, where chance gives "
                f"{attributes['sampling_floor']:.2g} σ{largest}."
            )
    lead = "How the values of each component are distributed, beside the Gaussian of its mean and variance."
    return Section("Along the axes", lead, details=tuple(verdicts), reading=_READING)


def _array_table(title: str, result: Result, number: int) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    attributes, distance = result.attributes, result["distance"][number]
    threshold, chance = attributes["far_distance"], attributes["sampling_floor"]
    components = f"of {len(distance):,} components"
    far, coarse = (int(result[name][number].sum()) for name in ("far", "coarse"))
    lines = [f"{far:,} {components} far from Gaussian: {threshold:.2g} σ or more; by chance {chance:.2g} σ"]
    if constant := int(np.isnan(distance).sum()):
        lines.append(f"{constant:,} {components} constant")
    if coarse:
        lines.append(f"bins too wide in {coarse:,} {components}, values or mean far out: ~ is rough")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("component", "mean", "std", "skewness", "excess kurtosis", "distance, σ"):
        table.add_column(heading, justify="right", no_wrap=True)
    for component in _farthest(distance, LISTED):
        figures = [result[name][number, component] for name in ("mean", "variance", "skewness", "kurtosis")]
        figures[1] = np.sqrt(figures[1])
        rough = "~" if result["coarse"][number, component] else ""
        table.add_row(str(component), *(f"{f:.3g}" for f in figures), f"{rough}{distance[component]:.3f}")
    return [Text(title, style="bold cyan"), *map(Text, lines), *([table] if table.row_count else []), Text()]


def _farthest(distance: Floats, count: int) -> list[int]:
    """Return the components with the largest distances, largest first, without those of one value."""
    order = np.argsort(-distance, kind="stable")[:count]  # NaN comes last
    return [component for component in order.tolist() if not np.isnan(distance[component])]


def _draw_picture(axes: Axes, result: Result, number: int) -> None:
    from matplotlib.colors import PowerNorm

    by, order = _order(result)
    edges = _coordinate_edges(result, number)
    density = np.stack([_density(result, number, component, edges) for component in order], axis=1)
    relative = density / density.max(axis=0)
    image = axes.imshow(
        np.ma.masked_equal(relative, 0),
        extent=(-0.5, len(order) - 0.5, edges[0], edges[-1]),
        norm=PowerNorm(0.5, 0, 1),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma_r",
    )
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1], format="%g")
    bar.set_label("density, relative to the component's peak")
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel(f"rank of the component by {by}")
    axes.set_ylabel("coordinate")
    axes.set_title(
        f"without the outermost {100 * _tail(result):.2g} %", loc="right", fontsize="small", color="0.4"
    )


def _draw_lines(axes: Axes, result: Result, number: int) -> None:
    from matplotlib.collections import LineCollection

    mean, deviation = result["mean"][number], np.sqrt(result["variance"][number])
    distance = result["distance"][number]
    scores = np.linspace(-SCORES, SCORES, _bins(result) + 1)
    middles = (scores[1:] + scores[:-1]) / 2
    curves = {}
    for component in np.flatnonzero(~np.isnan(distance)).tolist():
        edges = mean[component] + deviation[component] * scores
        curves[component] = deviation[component] * _density(result, number, component, edges)
    alpha = float(np.clip(8 / max(len(curves), 1), 0.08, 0.8))
    grey = [np.column_stack([middles, curve]) for curve in curves.values()]
    axes.add_collection(LineCollection(grey, colors="0.5", linewidths=0.7, alpha=alpha, rasterized=True))
    for component, colour in zip(_coloured(result, number), series_colours(), strict=False):
        label = f"{component}: {distance[component]:.2f} σ"
        axes.plot(middles, curves[component], color=colour, linewidth=1.5, label=label)
    if (more := int(result["far"][number].sum()) - COLOURED) > 0:
        axes.plot([], [], color="0.5", linewidth=0.7, label=f"… and {more:,} more")
    fine = np.linspace(-SCORES, SCORES, 201)
    axes.plot(fine, np.exp(-(fine**2) / 2) / np.sqrt(2 * np.pi), "k--", linewidth=1.3, label="Gaussian")
    axes.set_xlim(-SCORES, SCORES)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("(coordinate − mean) / σ")
    axes.set_ylabel("share of images per σ")
    axes.set_title("all components grey, the farthest from Gaussian in colour", loc="right", fontsize="small")
    axes.legend(
        frameon=False, fontsize="small", loc="upper right", title="component (▼ left)", title_fontsize="small"
    )


def _coloured(result: Result, number: int) -> list[int]:
    """Return the components with a colour: those far from Gaussian, or where none is, the farthest alone."""
    far = int(np.clip(result["far"][number].sum(), 1, COLOURED))
    return _farthest(result["distance"][number], far)


def _mark_coloured(axes: Axes, result: Result, number: int) -> None:
    """Mark the ranks of the components that have a colour, which the legend calls by their number."""
    ranks = np.argsort(_order(result)[1])
    for component, colour in zip(_coloured(result, number), series_colours(), strict=False):
        at = ranks[component], axes.get_ylim()[1]
        axes.plot(*at, "v", color=colour, markersize=5, clip_on=False, zorder=3)


def _order(result: Result) -> tuple[str, NDArray[np.intp]]:
    """Sort components, the same way for all arrays: by mean where means differ by more than they spread."""
    arrays = result["array"].tolist()
    number = arrays.index("mu") if "mu" in arrays else 0  # along mu, components that hold nothing stand out
    mean, deviation = result["mean"][number], np.sqrt(result["variance"][number])
    if mean.std() > np.sqrt(np.mean(deviation**2)):  # most may hold nothing
        return f"the mean of {arrays[number]}", np.argsort(mean, kind="stable")
    return f"the standard deviation of {arrays[number]}", np.argsort(deviation, kind="stable")


def _bins(result: Result) -> int:
    """Choose how many bins show a shape of ten standard deviations and not the noise of few images.

    Freedman, D., Diaconis, P. (1981), On the histogram as a density estimator: L2 theory.
    """
    width = 2.7 * _good_images(result) ** (-1 / 3)
    return int(np.clip(2 * SCORES / width, 20, 160))


def _coordinate_edges(result: Result, number: int) -> Floats:
    """Cut the coordinates that all components but their outermost tails take into equal bins."""
    tail, ends = _tail(result), []
    for component in range(len(result["mean"][number])):
        edges, shares = _cumulative(result, number, component)
        ends.append((edges[shares <= tail][-1], edges[shares >= 1 - tail][0]))
    low, high = np.min(ends), np.max(ends)
    if np.isnan(result["distance"][number]).all():
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, 2 * _bins(result) + 1)


def _tail(result: Result) -> float:
    """Return the share of images to leave out at either end: one image far out must not shrink all others."""
    return max(TAIL, min(1.5 / _good_images(result), 0.01))


def _good_images(result: Result) -> int:
    return int(result.attributes["images"] - result.attributes["rejected"])


def _cumulative(result: Result, number: int, component: int) -> tuple[Floats, Floats]:
    """Return the edges of a component's bins, and the share of images below each."""
    counts = result["histogram"][number, component]
    steps: Floats = result["bin_width"][number, component] * np.arange(len(counts) + 1.0)
    return result["bin_start"][number, component] + steps, np.concatenate(
        [[0.0], np.cumsum(counts)]
    ) / counts.sum()


def _density(result: Result, number: int, component: int, edges: Floats) -> Floats:
    """Count a component's images in other bins: their share, per unit of the coordinate."""
    shares = np.interp(edges, *_cumulative(result, number, component))
    return np.asarray(np.diff(shares) / np.diff(edges))
