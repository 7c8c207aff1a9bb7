"""Attributes as directions, and clusters beside them: with intervals, stores side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite, own_attributes
from latentscan.report.section import Section
from latentscan.report.style import series_colours
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.store.results import Result

    Floats = NDArray[np.float64]
    Results = Mapping[str, Result]

GOOD = 0.9  # an AUC from which on an attribute is called a direction
SURE = 0.05  # p after Holm, from which on chance is no explanation
SCALES = 4  # attributes that are named as integers
LISTED = 40  # attributes in a table
DRAWN = 60  # in a picture
NAME = 22  # characters of an attribute's name
NORMAL = 1.96

_LEAD = (
    "How well the direction of each attribute tells images that it was not fitted on, with 95 % intervals, "
    "and how much clusters say of each attribute."
)
_READING = {
    "AUC": "the chance that an image with the attribute lies farther along its direction than one without: 1 "
    "tells all, 0.5 is chance.",
    "component": "the one that is correlated most with the attribute; if it tells as much as the direction, "
    "it is the attribute.",
    "clusters": "which share of the attribute's entropy the cluster of an image explains, less what permuted "
    "attributes have: 1 if clusters settle it, 0 for chance.",
    "phi": "how nearly a cluster is an attribute: 1 for the same images, 0 for no relation.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `labels` as a JSON document, without the directions."""
    return {**own_attributes(result), "noticed": noticed(result), "attributes": list(_documents(result))}


def _documents(result: Result) -> Iterator[dict[str, Any]]:
    for at, name in enumerate(result["attribute"].tolist()):
        is_binary = result["measure"][at] == "binary"
        figures: dict[str, Any] = {
            "attribute": name,
            "measure": result["measure"].tolist()[at],
            "known": int(result["known"][at]),
            **({"having": int(result["having"][at])} if is_binary else {}),
            "auc" if is_binary else "correlation": _with_interval(result, "skill", at),
            "p_holm": finite(result["p_holm"][at]),
            "best_component": {
                "component": int(result["component"][at]),
                **_with_interval(result, "component_skill", at),
            },
            "spread": finite(result["spread"][at]),
        }
        if is_binary and "shared" in result:
            figures["clusters"] = {
                name: finite(result[f"shared{ending}"][at])
                for name, ending in (
                    ("share", ""),
                    ("error", "_error"),
                    ("chance", "_chance"),
                    ("p_holm", "_p_holm"),
                )
            }
            nearest = int(np.nan_to_num(np.abs(result["agreement"][at]), nan=-1).argmax())
            figures["nearest_cluster"] = {
                "cluster": nearest,
                "phi": finite(result["agreement"][at, nearest]),
                "error": finite(result["agreement_error"][at, nearest]),
            }
        yield figures


def _with_interval(result: Result, name: str, at: int) -> dict[str, Any]:
    ends = result[f"{name.removesuffix('_skill')}_interval"][at].tolist()
    return {"value": finite(result[name][at]), "interval": [finite(end) for end in ends]}


def noticed(result: Result) -> list[str]:
    """Return what follows, a sentence each, as far as the intervals allow it."""
    return [
        sentence
        for sentence in (
            _said_of_binary(result),
            _said_of_numbers(result),
            _said_of_scales(result),
            *_said_of_clusters(result),
        )
        if sentence
    ]


def _said_of_scales(result: Result) -> str:
    """Warn of numbers that may be the classes' own."""
    scales = result.attributes["scales"]
    if not scales:
        return ""
    named = ", ".join(scales[:SCALES]) + (", ..." if len(scales) > SCALES else "")
    are = "is an integer and is taken as a scale" if len(scales) == 1 else "are integers, taken as scales"
    return f"{named} {are}; where numbers stand for classes, write the store with their names instead."


def _of(result: Result, measure: str) -> NDArray[np.intp]:
    """Return which attributes are of a measure, the best first."""
    at = np.flatnonzero(result["measure"] == measure)
    return at[np.argsort(-np.nan_to_num(result["skill"][at], nan=-1), kind="stable")]


def _said_of_binary(result: Result) -> str:
    at = _of(result, "binary")
    if not len(at):
        return "" if len(_of(result, "continuous")) else "No attribute has images enough to be tried."
    above = int((result["skill_interval"][at, 0] > GOOD).sum())
    clear = int((result["p_holm"][at] < SURE).sum())
    mean, single = (float(result[name][at].mean()) for name in ("skill", "component_skill"))
    are = _of_all(above, len(at), "is a direction", "are directions")
    first = one_line(result["attribute"][at[0]])
    best = f", best of all {first}, AUC {_interval(result, 'skill', int(at[0]))}" if clear else ""
    return (
        f"{are} with an AUC above {GOOD:g}, as the 95 % intervals say, and {clear:,} can be told from chance "
        f"(Holm, {100 * SURE:g} %){best}; on average the AUC is {mean:.2f}, and {single:.2f} of the best "
        "component."
    )


def _said_of_numbers(result: Result) -> str:
    at = _of(result, "continuous")
    if not len(at):
        return ""
    clear = int((result["p_holm"][at] < SURE).sum())
    best = int(at[0])
    are = _of_all(clear, len(at), "is correlated", "are correlated", "continuous attributes")
    first = one_line(result["attribute"][best])
    return (
        f"{are} with a direction beyond chance (Holm, {100 * SURE:g} %); the most, {first}, by "
        f"{_interval(result, 'skill', best)}."
    )


def _said_of_clusters(result: Result) -> list[str]:
    if "shared" not in result:
        return []
    at = _of(result, "binary")
    share = round(100 * float(result["shared"][at].mean()), 1) + 0.0  # without a sign at 0
    clear = int((result["shared_p_holm"][at] < SURE).sum())
    k, alike = result.attributes["clusters"], result.attributes["alike"]
    phi, error = np.abs(result["agreement"]), result["agreement_error"]
    pairs = np.nan_to_num(phi[at], nan=0)
    sure = int((pairs - NORMAL * error[at] > alike).sum())
    open_ = int((pairs + NORMAL * error[at] > alike).sum()) - sure
    first, cluster = np.unravel_index(int(np.nan_to_num(phi, nan=-1).argmax()), phi.shape)
    name = one_line(result["attribute"][first])
    nearest = (
        f"the nearest are cluster {cluster} and {name}, with a phi of "
        f"{result['agreement'][first, cluster]:.2f} ± {error[first, cluster]:.2f}"
    )
    among = f"of the pairs of {k:,} clusters and {len(at):,} attributes"
    if sure:
        said = f"{sure:,} {among} agree, |phi| above {alike:g}; {nearest}."
    elif open_:
        said = f"Whether a cluster is one attribute is undecided, |phi| {alike:g} or not; {nearest}."
    else:
        said = f"No cluster is one attribute: {among} none has a |phi| above {alike:g}; {nearest}."
    return [
        said,
        f"The {k:,} clusters explain {share:.1f} % of an attribute's entropy on average, beyond chance; "
        f"{_of_all(clear, len(at), 'shares', 'share')} more with them than chance (Holm, {100 * SURE:g} %).",
    ]


def _of_all(count: int, total: int, one: str, several: str, what: str = "binary attributes") -> str:
    named = what if total != 1 else what.removesuffix("s")
    return f"{count:,} of {total:,} {named} {one if count == 1 else several}"


def section(results: Results) -> Section:
    """Return how many attributes are directions, and whether clusters are attributes."""
    verdicts, details = [], []
    for name, result in results.items():
        said = [f"{name}: {sentence}" for sentence in noticed(result)]
        head = len(said) - ("shared" in result)
        verdicts += said[:head]
        details += said[head:]
    return Section("Attributes", _LEAD, tuple(verdicts), tuple(details), _READING)


def table(results: Results) -> RenderableType:
    """Arrange for each store the attributes, the best first, and what follows."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        attributes = result.attributes
        by = "the partition of the store" if attributes["by_split"] else "random halves"
        head = (
            f"{name}: {attributes['array']} of {attributes['fitted']:,} images fitted on, "
            f"{attributes['held_out']:,} held out, by {by}"
        )
        parts += [Text(head, style="bold cyan"), *map(Text, noticed(result)), Text()]
        for measure, title in (("binary", "AUC"), ("continuous", "correlation")):
            if len(at := _of(result, measure)):
                parts += [_attribute_table(result, at, title), Text()]
        said = [*attributes["left_out"], *([attributes["note"]] if attributes["note"] else [])]
        if said:
            parts += [Text(f"left out: {one_line('; '.join(said))}", style="dim"), Text()]
        if not len(result["attribute"]):
            parts += [_plain_table("attribute", "AUC"), Text()]
    return Group(*parts[:-1])


def _attribute_table(result: Result, at: NDArray[np.intp], title: str) -> Table:
    is_binary = title == "AUC"
    with_clusters = is_binary and "shared" in result
    columns = ["attribute", "images", f"{title}, 95 %", "component"]
    plain = _plain_table(*columns, *(["clusters, %"] if with_clusters else []))
    for one in at[:LISTED].tolist():
        cells = [
            _short(result["attribute"][one]),
            f"{result['having' if is_binary else 'known'][one]:,}",
            _interval(result, "skill", one),
            f"{result['component'][one]}: {result['component_skill'][one]:.3f}",
        ]
        if with_clusters:
            share, error = (100 * result[name][one] for name in ("shared", "shared_error"))
            cells.append(f"{share:.1f} ± {error:.1f}".replace("-0.0", "0.0"))
        plain.add_row(*(cell.replace("nan", "–") for cell in cells))
    if len(at) > LISTED:
        plain.add_row(f"... {len(at) - LISTED:,} more")
    return plain


def _plain_table(*titles: str) -> Table:
    from rich.table import Table

    plain = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        plain.add_column(title, justify="left" if title == "attribute" else "right", no_wrap=True)
    return plain


def _interval(result: Result, name: str, at: int) -> str:
    value = result[name][at]
    low, high = result[f"{name.removesuffix('_skill')}_interval"][at]
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{value:.3f}"


def _short(name: object) -> str:
    text = one_line(name)
    return text if len(text) <= NAME else f"{text[: NAME - 3]}..."


def figure(results: Results) -> Figure:
    """Draw a row an attribute: how well it is predicted, with intervals, and what clusters say of it.

    A colour a store; the mark of the direction is filled, that of the best single component is hollow.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = {measure: _ordered(results, measure) for measure in ("binary", "continuous")}
    shown = {measure: names[:DRAWN] for measure, names in rows.items() if names}
    with_clusters = any("shared" in result for result in results.values())
    heights = {measure: 0.9 + 0.2 * len(names) for measure, names in shown.items()}
    wide = with_clusters and "binary" in shown
    drawing = Figure(
        figsize=(9.5 if wide else 7, max(2.2, 0.9 + sum(heights.values()))),
        layout=ConstrainedLayoutEngine(w_pad=0.1),
    )
    if not shown:
        axes = drawing.subplots()
        axes.text(0.5, 0.5, "no attribute has images enough", ha="center", va="center", color="0.4")
        axes.set_axis_off()
        return drawing
    grid = drawing.add_gridspec(
        len(shown), 2 if wide else 1, height_ratios=list(heights.values()), width_ratios=(1.6, 1)[: 1 + wide]
    )
    for row, (measure, names) in enumerate(shown.items()):
        axes = drawing.add_subplot(grid[row, 0])
        _draw_skill(axes, results, measure, names)
        if len(rows[measure]) > len(names):
            cut = f"the {len(names)} of {len(rows[measure]):,} that are predicted best"
            axes.set_title(cut, loc="left", fontsize="small")
        if wide and measure == "binary":
            _draw_shares(drawing.add_subplot(grid[row, 1], sharey=axes), results, names)
    _draw_legend(drawing, results)
    return drawing


def _ordered(results: Results, measure: str) -> list[str]:
    """Return the attributes of a measure of any store, the best on average first."""
    found: dict[str, list[float]] = {}
    for result in results.values():
        for at in _of(result, measure).tolist():
            found.setdefault(str(result["attribute"][at]), []).append(
                float(np.nan_to_num(result["skill"][at]))
            )
    return sorted(found, key=lambda name: -float(np.mean(found[name])))


def _places(results: Results, names: Sequence[str]) -> Iterator[tuple[str, Result, list[int], Floats]]:
    """Yield, for each store, its colour, its result, its attributes among some, and their heights."""
    step = 0.6 / len(results)
    for number, (result, colour) in enumerate(zip(results.values(), series_colours(), strict=False)):
        own = {str(name): at for at, name in enumerate(result["attribute"])}
        held = [name for name in names if name in own]
        heights = np.array([names.index(name) for name in held], np.float64)
        offset = (number - (len(results) - 1) / 2) * step
        yield colour, result, [own[name] for name in held], heights + offset


def _draw_skill(axes: Axes, results: Results, measure: str, names: Sequence[str]) -> None:
    is_binary = measure == "binary"
    axes.axvline(0.5 if is_binary else 0, color="0.5", linewidth=1, linestyle="--")
    for colour, result, at, heights in _places(results, names):
        single, apart = result["component_skill"][at], result["component_interval"][at]
        axes.hlines(heights, apart[:, 0], apart[:, 1], color=colour, linewidth=0.8, alpha=0.5)
        axes.plot(single, heights, "o", color=colour, markerfacecolor="white", markersize=4)
        value, ends = result["skill"][at], result["skill_interval"][at]
        axes.hlines(heights, ends[:, 0], ends[:, 1], color=colour, linewidth=1.4)
        axes.plot(value, heights, "o", color=colour, markersize=4)
    _dress(axes, names)
    axes.set_xlabel("AUC on images held out" if is_binary else "correlation on images held out")


def _draw_shares(axes: Axes, results: Results, names: Sequence[str]) -> None:
    axes.axvline(0, color="0.5", linewidth=1, linestyle="--")
    ks: set[int] = set()
    for colour, result, at, heights in _places(results, names):
        if "shared" in result:
            share, error = result["shared"][at], NORMAL * result["shared_error"][at]
            axes.hlines(heights, 100 * (share - error), 100 * (share + error), color=colour, linewidth=1.2)
            axes.plot(100 * share, heights, "s", color=colour, markersize=3.5)
            ks.add(result.attributes["clusters"])
    _dress(axes, names)
    axes.tick_params(labelleft=False)
    clusters = " or ".join(f"{k:,}" for k in sorted(ks))
    axes.set_xlabel(f"% of its entropy that {clusters} clusters\nexplain beyond chance")


def _dress(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize="small")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", alpha=0.2)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_legend(drawing: Figure, results: Results) -> None:
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5}
    handles = [
        Line2D([], [], color=colour, label=name, **style)
        for name, colour in zip(results, series_colours(), strict=False)
    ]
    handles += [
        Line2D([], [], color="0.3", label="its direction", **style),
        Line2D([], [], color="0.3", markerfacecolor="white", label="its best component", **style),
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), frameon=False)
