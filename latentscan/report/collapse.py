"""Which components hold anything: sorted, as a table and as curves, with the closed forms beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite, finite_list, number
from latentscan.report.section import Section
from latentscan.report.style import scale_from_zero, series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.store.results import Result

LISTED = 12  # components in the table: the first, and the last ones
LAST = 3  # of them at the end
USUAL = 0.01  # variance of an active unit: Burda, Y. et al. (2016), Importance weighted autoencoders
_HEAD = ("images", "unwritten", "rejected", "components", "points")
_FIGURES = ("variance", "kl", "noise_variance", "signal_share")
_DEVIATIONS = ("deviation", "expected_deviation", "deviation_above", "expected_deviation_above")
_TITLES = {"variance": "var", "kl": "KL, nat", "noise_variance": "noise", "signal_share": "signal"}


_LEAD = "Variance and KL of the components, sorted: where the curves fall, components hold nothing."
_READING = {
    "variance of mu": "how much of a component depends on the image; 0 for a collapsed one.",
    "signal": "that variance as a share of all of z's: 1 for no noise, 0 for noise alone.",
    "measured, expected": "what z is off mu, and the closed form of what this logvar would give.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `collapse` as a JSON document."""
    attributes = result.attributes
    document: dict[str, Any] = {
        **{name: attributes[name] for name in _HEAD},
        "effective_dimension": attributes["effective_dimension"],
        "active": {f"by_{name}": _active(result, name) for name in ("variance", "kl") if name in result},
        "per_component": {
            name: finite_list(result[name]) for name in (*_FIGURES, *_DEVIATIONS) if name in result
        },
        "missing": list(attributes["missing"]),
    }
    if "kl" in result:
        document["kl"] = {
            "total": finite(attributes["kl_total"]),
            "effective_number": attributes["effective_kl"],
        }
    if "deviation" in result:
        document["closed_forms"] = {
            "epsilon_limit": attributes["epsilon_limit"],
            "epsilon_factor": attributes["epsilon_factor"],
            "threshold": attributes["deviation_threshold"],
            **{
                name: {"measured": finite(measured), "expected": finite(expected)}
                for name, (measured, expected) in _compared(result).items()
            },
        }
    return document


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange for each store how many components are active, the components sorted, and the closed forms."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        parts += [Text(f"{name}: {_summary(result)}", style="bold cyan"), _counts_table(result), Text()]
        parts += [_component_table(result), Text()]
        if "deviation" in result:
            parts += [_closed_form_table(result), Text()]
        if result.attributes["missing"]:
            parts += [Text(f"cannot be said: {'; '.join(result.attributes['missing'])}", style="dim"), Text()]
    return Group(*parts[:-1])


def section(results: Mapping[str, Result]) -> Section:
    """Return how many components hold anything, by the usual threshold, and by those around it."""
    verdicts = tuple(f"{name}: {_said(result)}" for name, result in results.items())
    return Section("Collapse", _LEAD, verdicts, reading=_READING)


def _said(result: Result) -> str:
    attributes = result.attributes
    components, points = attributes["components"], attributes["points"]
    counts, thresholds = result["active_by_variance"], result["variance_threshold"]
    active = int(counts[np.abs(thresholds - USUAL).argmin()])
    fewest, most = int(counts.min()), int(counts.max())
    reach = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    measure = (
        f"variance of {points} above {USUAL:g}; {reach} for limits from {thresholds.min():g} to "
        f"{thresholds.max():g}"
    )
    if active == components:
        return f"no component is collapsed, all {components:,} are active ({measure})."
    verb = "is" if components - active == 1 else "are"
    left = f"{active:,} {'is' if active == 1 else 'are'} active"
    return f"{components - active:,} of {components:,} components {verb} collapsed, {left} ({measure})."


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the variances, noise variances and KL of the components, sorted, in a colour for each store."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with_kl = any("kl" in result for result in results.values())
    height = 4.2 + 0.2 * len(results)
    drawing = Figure(figsize=(9.5 if with_kl else 5.5, height), layout=ConstrainedLayoutEngine(w_pad=0.15))
    panels = drawing.subplots(1, 2 if with_kl else 1, squeeze=False)[0]
    for (name, result), colour in zip(results.items(), series_colours(), strict=False):
        _draw_variances(panels[0], name if len(results) > 1 else "", result, colour)
        if "kl" in result:
            _draw_sorted(panels[1], result["kl"], name, color=colour, linewidth=1.6)
    panels[0].set_ylabel("variance")
    drawing.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    if with_kl:
        panels[1].set_ylabel("mean KL divergence from N(0, 1), nat")
    for axes, order in zip(panels, ("variance", "KL divergence"), strict=False):
        _scale(axes)
        axes.set_xlabel(f"components, the largest {order} first")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    drawing.suptitle(
        "\n".join(
            (f"{name}: " if len(results) > 1 else "") + _summary(result) for name, result in results.items()
        ),
        fontsize="medium",
    )
    return drawing


def _summary(result: Result) -> str:
    """Return a line with how many components there are, by each of the ways to count."""
    attributes, points = result.attributes, result.attributes["points"]
    said = [f"effective dimension of {points} {attributes['effective_dimension']:.1f}"]
    if "kl" in result:
        said.append(f"KL shared by {attributes['effective_kl']:.1f}")
    return f"{', '.join(said)} of {attributes['components']:,} components"


def _active(result: Result, name: str) -> dict[str, int]:
    thresholds, counts = result[f"{name}_threshold"].tolist(), result[f"active_by_{name}"].tolist()
    return {f"{threshold:g}": count for threshold, count in zip(thresholds, counts, strict=True)}


def _plain_table(*titles: str) -> Table:
    from rich.table import Table

    plain = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        plain.add_column(title, justify="left" if title == titles[0] else "right", no_wrap=True)
    return plain


def _counts_table(result: Result) -> RenderableType:
    from rich.columns import Columns

    tables = []
    for name, unit in (("variance", ""), ("kl", " nat")):
        if f"active_by_{name}" in result:
            what = "KL" if name == "kl" else f"variance of {result.attributes['points']}"
            counts = _plain_table(f"{what} above", "components")
            for threshold, count in _active(result, name).items():
                counts.add_row(f"{threshold}{unit}", f"{count:,}")
            tables.append(counts)
    return Columns(tables, padding=(0, 6))


def _component_table(result: Result) -> RenderableType:
    """Arrange components by KL, or by variance where there is none: the first, and the last."""
    names = [name for name in _FIGURES if name in result]
    order = _order(result).tolist()
    cut = len(order) > LISTED
    listed = [*order[: LISTED - LAST], None, *order[-LAST:]] if cut else list(order)
    components = _plain_table("component", *(_TITLES[name] for name in names))
    for component in listed:
        if component is None:
            components.add_row(f"... {len(order) - LISTED:,} more")
        else:
            components.add_row(str(component), *(number(float(result[name][component])) for name in names))
    return components


def _closed_form_table(result: Result) -> RenderableType:
    forms = _plain_table("z against mu", "measured", "expected")
    threshold = result.attributes["deviation_threshold"]
    labels = {
        "deviation": "mean |z − mu|",
        "deviation_above": f"|z − mu| above {threshold:g}",
        "radius_difference": "mean |radius of z − of mu|",
    }
    for name, (measured, expected) in _compared(result).items():
        if name == "deviation_above":
            forms.add_row(labels[name], f"{measured:,.0f}", f"{expected:,.0f}")
        else:
            forms.add_row(labels[name], f"{measured:.4g}", f"{expected:.4g}")
    return forms


def _compared(result: Result) -> dict[str, tuple[float, float]]:
    """Return what was measured of z and mu, and what the closed forms say, over all components."""
    attributes = result.attributes
    return {
        "deviation": (float(result["deviation"].mean()), float(result["expected_deviation"].mean())),
        "deviation_above": (
            float(result["deviation_above"].sum()),
            float(result["expected_deviation_above"].sum()),
        ),
        "radius_difference": (attributes["radius_difference"], attributes["expected_radius_difference"]),
    }


def _order(result: Result) -> NDArray[np.intp]:
    """Sort components by KL, or by variance where there is none, the largest first."""
    return np.argsort(-result["kl" if "kl" in result else "variance"], kind="stable")


def _draw_variances(axes: Axes, name: str, result: Result, colour: str) -> None:
    prefix, points = f"{name}, " if name else "", result.attributes["points"]
    _draw_sorted(axes, result["variance"], f"{prefix}variance of {points}", color=colour, linewidth=1.6)
    if "noise_variance" in result:
        by_variance = np.argsort(-result["variance"], kind="stable")
        noise = result["noise_variance"][by_variance]
        axes.plot(
            np.arange(1, len(noise) + 1),
            noise,
            linestyle="none",
            marker=".",
            markersize=4,
            color=colour,
            alpha=0.6,
            label=f"{prefix}mean of exp(logvar) of the same component",
        )


def _draw_sorted(axes: Axes, values: NDArray[np.float64], label: str, **style: Any) -> None:
    marker = "o" if len(values) < 3 else ""
    axes.plot(np.arange(1, len(values) + 1), np.sort(values)[::-1], label=label, marker=marker, **style)


def _scale(axes: Axes) -> None:
    """Use a logarithmic scale where values differ by more than ten times, and show 0 below it."""
    from matplotlib.ticker import MaxNLocator

    scale_from_zero(axes, np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.lines]))
    axes.set_xlim(0.5, max(float(np.max(line.get_xdata())) for line in axes.lines) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
