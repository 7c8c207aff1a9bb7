"""Logvar beside the one that the decoder's curvature asks for: a scatter, a table, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import own_attributes
from latentscan.report.section import Section
from latentscan.report.style import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.store.results import Result

LISTED = 14  # components in the table: the first, and the last ones
LAST = 4  # of them at the end
POINTS = 4000  # drawn one by one; more are drawn as density
COLUMNS = 3  # panels side by side

_LEAD = (
    "Logvar of each component of some images, beside the one at which the loss would be lowest, by the "
    "curvature of the decoder's loss."
)
_READING = {
    "expected": "ln(fact / (G + fact)), where G is the curvature of the reconstruction loss along a "
    "component: 0 for one that the decoder ignores, far below for one that changes the image much.",
    "correlation, slope, difference": "1, 1 and 0 where logvar has converged; with a tiny factor on the KL "
    "loss, that takes a very long training.",
    "within components": "the correlation over the images alone: whether logvar knows which image is how "
    "sensitive.",
}
_VERDICTS = {
    "converged": "logvar has converged: it says how sensitive images are to each component",
    "not converged": "logvar has not converged: it does not say how sensitive images are to a component",
    "undecided": "whether logvar has converged is undecided",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `logvar` as a JSON document, without the entries."""
    attributes = own_attributes(result)
    named = {}
    for name in ("correlation", "within", "slope", "offset"):
        value, *ends = attributes.pop(name)
        named[name] = {"value": value, "interval": ends}
    return {
        **attributes,
        **named,
        "noticed": noticed(result),
        "images": result["image"].tolist(),
        "per_component": {
            name: result[name].tolist() for name in ("component", "stored_median", "expected_median")
        },
    }


def noticed(result: Result) -> str:
    """Return what follows, in a sentence."""
    attributes = result.attributes
    return (
        f"{_VERDICTS[attributes['verdict']]} (correlation {_written(attributes['correlation'])}, slope "
        f"{_written(attributes['slope'])}, {_written(attributes['offset'], sign=True)} nat off on average)."
    )


def section(results: Mapping[str, Result]) -> Section:
    """Return whether logvar has converged."""
    verdicts = tuple(f"{name}: {noticed(result)}" for name, result in results.items())
    return Section("Logvar and curvature", _LEAD, verdicts, reading=_READING)


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange for each store what follows, and the medians of components, the most sensitive first."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        attributes = result.attributes
        said = (
            f"{len(result['image']):,} images, {len(result['component']):,} of {attributes['components']:,} "
            f"components, decoded by {attributes['decoder']}; {attributes['reconstruction']}, fact "
            f"{attributes['fact']:g}"
        )
        parts += [Text(name, style="bold cyan"), Text(noticed(result)), Text(said)]
        parts.append(
            Text(
                f"correlation within components {_written(attributes['within'])}; with twice the step, the "
                f"expected ones differ by {attributes['step_change']:.2g} nat"
            )
        )
        parts += [Text(), _component_table(result), Text()]
    return Group(*parts[:-1])


def _component_table(result: Result) -> Table:
    from rich.table import Table

    plain = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("component", "logvar, median", "expected", "difference"):
        plain.add_column(title, justify="right", no_wrap=True)
    stored, expected = result["stored_median"], result["expected_median"]
    order = np.argsort(expected, kind="stable").tolist()
    cut = len(order) > LISTED
    for at in [*order[: LISTED - LAST], None, *order[-LAST:]] if cut else order:
        if at is None:
            plain.add_row(f"... {len(order) - LISTED:,} more")
        else:
            plain.add_row(
                str(result["component"][at]),
                f"{stored[at]:.2f}",
                f"{expected[at]:.2f}",
                f"{stored[at] - expected[at]:+.2f}",
            )
    return plain


def figure(results: Mapping[str, Result]) -> Figure:
    """Draw logvars over the expected ones, a panel a store: entries, medians of components, the diagonal."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(len(results), COLUMNS)
    rows = -(-len(results) // columns)
    drawing = Figure(
        figsize=(max(5.2, 4.3 * columns), 4.6 * rows), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    )
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, result) in zip(panels, results.items(), strict=False):
        _draw(axes, name, result)
    for axes in panels[len(results) :]:
        axes.set_axis_off()
    return drawing


def _draw(axes: Axes, name: str, result: Result) -> None:
    x, y = result["expected"].ravel(), result["stored"].ravel()
    if len(x) <= POINTS:
        axes.plot(
            x,
            y,
            ".",
            color=COLOURS[0],
            markersize=3,
            alpha=0.35,
            markeredgewidth=0,
            rasterized=True,
            label="a component of an image",
        )
    else:
        axes.hexbin(x, y, gridsize=50, bins="log", cmap="Blues", mincnt=1, rasterized=True)
    axes.plot(
        result["expected_median"],
        result["stored_median"],
        "o",
        color=COLOURS[1],
        markersize=4,
        label="a component, median",
    )
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.05 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, "--", color="0.4", linewidth=1.2, label="where it has converged")
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("expected logvar, by the curvature, nat")
    axes.set_ylabel("logvar of the store, nat")
    attributes = result.attributes
    axes.set_title(
        f"{name}: {attributes['verdict']}\n"
        f"r = {_written(attributes['correlation'])}, {_written(attributes['offset'], sign=True)} nat",
        loc="left",
        fontsize="small",
    )
    axes.legend(frameon=False, fontsize="small", loc="lower right")


def _written(figure: list[float | None], *, sign: bool = False) -> str:
    """Write a figure with its interval."""
    value, low, high = figure
    form = "+.2f" if sign else ".2f"
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{value:{form}}"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"
