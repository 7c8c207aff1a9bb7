"""Runs of several kinds: on a terminal, as heat maps with the ratios of kinds, and as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite
from latentscan.report.section import Section
from latentscan.report.style import COLOURS, series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.store.results import Result

TITLES = {  # of the distances, short, and what they are
    "cka": ("1 − CKA", "1 − linear CKA: 0 for the same cloud, turned, moved or scaled"),
    "map": ("1 − R²", "1 − R² of linear maps on a held-out half, the mean of both directions"),
    "neighbours": ("1 − neighbours", "1 − the share of an image's nearest images that are the same in both"),
    "spectrum": ("spectrum", "distance of the spectra of the covariances, of their square roots"),
    "radius": ("radii", "Wasserstein-1 distance of the radii, each over their mean"),
}
RATIOS = ("ratio", "spread")
LISTED = 15  # pairs of stores in a table
WRITTEN = 8  # stores up to which a heat map has its numbers
LONGEST = 16  # letters of a name beside a heat map, beyond which stores are numbered
COLUMNS = 3  # heat maps in a row
PANEL = 3.5  # inches of a heat map
LINE = 0.24  # inches of a ratio
WIDEST = 1e3  # the largest ratio in the picture
AS_NEAR, FARTHER = "as near as seeds", "farther"
MARKERS = {AS_NEAR: "o", FARTHER: "s"}
_TICKS = (2, 3, 5, 10, 20, 50, 100, 1000)
_VERDICTS = {AS_NEAR: "as near", FARTHER: "farther"}

_LEAD = "How far runs are apart, by kind, and whether other kinds are farther apart than other seeds."
_READING = {
    "ratio": "the mean distance of runs of different kinds over that of runs of one kind; 1 where the kind "
    "makes no difference. Its interval of 90 % is the jackknife's over runs.",
    "as near as seeds": "the interval ends below the margin: an equivalence test at 5 %.",
    "spread": "how far runs of the second kind are from one another, over the same of the first; kinds of "
    "other spread are other kinds, whatever the ratio.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange the distances of every two stores, and what is found of every two kinds, as a JSON document."""
    attributes, measures = result.attributes, result["measure"].tolist()
    stores = ("kind", "array", "components", "search_recall")
    return {
        "sampled": attributes["sampled"],
        "nearest": attributes["nearest"],
        "margin": attributes["margin"],
        "stores": {
            name: {
                **{key: result[key].tolist()[at] for key in stores},
                "training_seed": seed if (seed := int(result["training_seed"][at])) >= 0 else None,
            }
            for at, name in enumerate(result["store"].tolist())
        },
        "pairs": [
            {
                "first": first,
                "second": second,
                "same_first_weights": bool(result["same_first_weights"][at]),
                "distances": {
                    measure: {
                        "value": finite(result["distance"][row, at]),
                        "error": finite(result["distance_error"][row, at]),
                    }
                    for row, measure in enumerate(measures)
                },
            }
            for at, (first, second) in enumerate(
                zip(result["first"].tolist(), result["second"].tolist(), strict=True)
            )
        ],
        "kinds": [_kinds_json(result, at) for at in range(len(result["first_kind"]))],
        "notes": list(attributes["notes"]),
        "noticed": noticed(result),
    }


def _kinds_json(result: Result, at: int) -> dict[str, Any]:
    names = ("cross", "within_first", "within_second", *RATIOS)
    return {
        "first": str(result["first_kind"][at]),
        "second": str(result["second_kind"][at]),
        "runs": [int(result[name][at]) for name in ("first_runs", "second_runs")],
        "pairs_left_out": int(result["left_out"][at]),
        "distances": {
            measure: {
                **{name: finite(result[name][row, at]) for name in names},
                **{f"{name}_interval": _ends(result, name, row, at) for name in RATIOS},
                "verdict": str(result["verdict"][row, at]),
            }
            for row, measure in enumerate(result["measure"].tolist())
        },
    }


def _ends(result: Result, name: str, row: int, at: int) -> list[float | None]:
    return [finite(result[f"{name}_{end}"][row, at]) for end in ("low", "high")]


def noticed(result: Result) -> list[str]:
    """Return what the intervals allow to say of every two kinds, then what to know of it, a sentence each."""
    said = [sentence for at in range(len(result["first_kind"])) for sentence in _said(result, at)]
    return [*said, *(f"{note[0].upper()}{note[1:]}." for note in result.attributes["notes"])]


def _said(result: Result, at: int) -> list[str]:
    """Return what is said of two kinds."""
    first, second = (str(result[name][at]) for name in ("first_kind", "second_kind"))
    runs = " and ".join(f"{result[name][at]}" for name in ("first_runs", "second_runs"))
    if not np.isfinite(result["ratio"][:, at]).any():
        return [f"{first} and {second}: {runs} runs are too few to say whether they differ."]
    margin = result.attributes["margin"]
    parts = []
    for verdict, words in (
        (AS_NEAR, f"as near as seeds (within {margin:g} times)"),
        (FARTHER, "farther than seeds"),
        ("undecided", "undecided"),
    ):
        rows = np.flatnonzero(result["verdict"][:, at] == verdict).tolist()
        if rows:
            parts.append(f"{words} by {_listed([_with_interval(result, 'ratio', row, at) for row in rows])}")
    sentences = [f"{first} and {second} ({runs} runs) are {'; '.join(parts)}."]
    ends = [_ends(result, "spread", row, at) for row in range(len(TITLES))]
    wider = [
        row
        for row, (low, high) in enumerate(ends)
        if low is not None and high is not None and not low <= 1 <= high
    ]
    if wider:
        sentences.append(
            f"Runs of {second} differ among themselves other than those of {first}, in times: "
            f"{_listed([_with_interval(result, 'spread', row, at) for row in wider])}."
        )
    return sentences


def _with_interval(result: Result, name: str, row: int, at: int) -> str:
    title = TITLES[result["measure"].tolist()[row]][0]
    return f"{title} {_ratio(result, name, row, at)}"


def _ratio(result: Result, name: str, row: int, at: int) -> str:
    """Write a ratio with its interval."""
    value = finite(result[name][row, at])
    if value is None:
        return "–"
    low, high = _ends(result, name, row, at)
    ends = "–" if low is None or high is None else f"{_times(low)}, {_times(high)}"
    return f"{_times(value)} [{ends}]"


def _times(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}" if value < 1e5 else f"{value:.1g}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def section(results: Mapping[str, Result]) -> Section:
    """Return whether other kinds are farther apart than other seeds."""
    verdicts = tuple(sentence for result in results.values() for sentence in noticed(result))
    return Section("Runs and kinds", _LEAD, verdicts, reading=_READING)


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the kinds of the stores, the ratios of every two kinds, and the distances of few pairs."""
    from rich.console import Group

    return Group(*(part for result in results.values() for part in _tables(result)))


def _tables(result: Result) -> list[RenderableType]:
    from rich.text import Text

    parts: list[RenderableType] = [_store_table(result)]
    for at in range(len(result["first_kind"])):
        title = f"\n{result['first_kind'][at]} and {result['second_kind'][at]}"
        parts += [Text(title, style="bold cyan"), _kinds_table(result, at)]
    if len(result["first"]) <= LISTED:
        parts += [Text("\nevery two stores", style="bold cyan"), _pair_table(result)]
    legend = (
        f"On {result.attributes['sampled']:,} images. "
        + "; ".join(f"{short}: {words}" for short, words in TITLES.values())
        + ". Ratio: mean distance across kinds over the mean of those within both, with its 90 % interval "
        "over runs. Spread: within the second kind over within the first. ±: standard error over images."
    )
    said = [Text(f"\n{sentence}", style="bold") for sentence in noticed(result)]
    return [*parts, Text(legend, style="dim"), *said]


def _plain_table(*titles: str, gap: int = 2) -> Table:
    from rich.table import Table

    plain = Table(box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    for at, title in enumerate(titles):
        plain.add_column(title, justify="right" if at else "left", overflow="fold")
    return plain


def _store_table(result: Result) -> RenderableType:
    plain = _plain_table("store", "kind", "seed", "points", "components")
    for at in _order(result):
        seed = int(result["training_seed"][at])
        plain.add_row(
            str(result["store"][at]),
            str(result["kind"][at]),
            str(seed) if seed >= 0 else "–",
            str(result["array"][at]),
            f"{result['components'][at]:,}",
        )
    return plain


def _kinds_table(result: Result, at: int) -> RenderableType:
    plain = _plain_table("distance", "within", "cross", "ratio", "spread", "verdict", gap=1)
    for row, measure in enumerate(result["measure"].tolist()):
        within = [_short(result[f"within_{kind}"][row, at]) for kind in ("first", "second")]
        plain.add_row(
            TITLES[measure][0],
            ", ".join(within),
            _short(result["cross"][row, at]),
            _ratio(result, "ratio", row, at),
            _ratio(result, "spread", row, at),
            _VERDICTS.get(str(result["verdict"][row, at]), "undecided"),
        )
    return plain


def _pair_table(result: Result) -> RenderableType:
    """Return the distances of every two stores, with their standard errors below."""
    from rich.text import Text

    plain = _plain_table("", *(short for short, _ in TITLES.values()))
    for at, (first, second) in enumerate(
        zip(result["first"].tolist(), result["second"].tolist(), strict=True)
    ):
        same = " *" if result["same_first_weights"][at] else ""
        values, errors = result["distance"][:, at], result["distance_error"][:, at]
        plain.add_row(f"{first}, {second}{same}", *map(_short, values))
        plain.add_row("", *(Text(f"± {_short(error)}", style="dim") for error in errors))
    return plain


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.3f}" if value >= 0.01 else f"{value:.1g}" if value > 0 else "0"


def _order(result: Result) -> list[int]:
    """Return the positions of the stores, those of one kind together, kinds in the order of their first."""
    kinds = result["kind"].tolist()
    first = {kind: kinds.index(kind) for kind in kinds}
    return sorted(range(len(kinds)), key=lambda at: (first[kinds[at]], at))


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot a heat map of every distance, stores ordered by kind, and the ratios of every two kinds.

    A ratio is drawn with its interval of 90 % over runs; 1 and the margin are marked.
    """
    (result,) = results.values()
    from matplotlib.figure import Figure

    measures, pairs = len(result["measure"]), len(result["first_kind"])
    maps = -(-measures // COLUMNS)
    heights = [PANEL * maps, *([0.9 + LINE * pairs * (measures + 1)] if pairs else [])]
    drawing = Figure(figsize=(PANEL * COLUMNS, sum(heights)), layout="constrained")
    rows = drawing.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for at, axes in enumerate(rows[0].subplots(maps, COLUMNS, squeeze=False).flat):
        if at < measures:
            _draw_map(axes, result, at, named=at % COLUMNS == 0)
        else:
            axes.set_axis_off()
    rows[0].suptitle(
        f"distance of every two stores, on {result.attributes['sampled']:,} images", fontsize="medium"
    )
    if pairs:
        _draw_ratios(rows[1].subplots(), result)
    return drawing


def _matrix(result: Result, name: str, row: int) -> NDArray[np.float64]:
    """Return figures of pairs as a matrix of stores, ordered by kind; NaN on the diagonal."""
    names = result["store"].tolist()
    found = np.full((len(names), len(names)), np.nan)
    a, b = ([names.index(store) for store in result[end].tolist()] for end in ("first", "second"))
    found[a, b] = found[b, a] = result[name][row]
    order = _order(result)
    return found[np.ix_(order, order)]


def _draw_map(axes: Axes, result: Result, row: int, *, named: bool) -> None:
    values = _matrix(result, "distance", row)
    finest = np.nanmax(values, initial=0.0)
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=finest or 1.0)
    axes.set_facecolor("0.85")
    title = TITLES[result["measure"].tolist()[row]][0]
    error = np.nanmax(result["distance_error"][row], initial=0.0)
    axes.set_title(f"{title} (± {_short(error)} at most)", fontsize="medium")
    axes.figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02)
    order = _order(result)
    count, kinds = len(order), [str(result["kind"][at]) for at in order]
    labels = _labels(result, order)
    axes.set_xticks(range(count), labels if count <= 2 * WRITTEN else [""] * count, rotation=90)
    axes.set_yticks(range(count), labels if named else [""] * count)
    axes.tick_params(length=0, labelsize="small")
    for at in range(1, count):
        if kinds[at] != kinds[at - 1]:
            for line in (axes.axhline, axes.axvline):
                line(at - 0.5, color="white", linewidth=2)
    if count <= WRITTEN:
        for y, x in np.argwhere(np.isfinite(values)).tolist():
            dark = values[y, x] < 0.6 * finest
            colour = "white" if dark else "black"
            axes.text(x, y, _short(values[y, x]), ha="center", va="center", color=colour, fontsize="x-small")


def _labels(result: Result, order: Sequence[int]) -> list[str]:
    """Return the name of each store with its kind."""
    names, kinds = result["store"].tolist(), result["kind"].tolist()
    short = [name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}" for name in names]
    several = len(set(kinds)) > 1
    return [f"{short[at]} · {kinds[at]}" if several else short[at] for at in order]


def _draw_ratios(axes: Axes, result: Result) -> None:
    """Draw a line for each distance of every two kinds, in groups."""
    margin = result.attributes["margin"]
    measures, labels, at = result["measure"].tolist(), [], []
    line, reach = 0.0, margin
    for pair, colour in zip(range(len(result["first_kind"])), series_colours(), strict=False):
        for row, measure in enumerate(measures):
            value, low, high = (result[name][row, pair] for name in ("ratio", "ratio_low", "ratio_high"))
            verdict = str(result["verdict"][row, pair])
            if np.isfinite(value) and value > 0:
                bars = [[value - low], [high - value]] if np.isfinite(low + high) else None
                style = MARKERS.get(verdict, "o")
                fill = "none" if verdict not in MARKERS else "full"
                axes.errorbar(
                    value, line, xerr=bars, fmt=style, fillstyle=fill, color=colour, markersize=6, capsize=3
                )
                reach = max(reach, min(high if np.isfinite(high) else value, WIDEST))
            labels.append(
                f"{result['first_kind'][pair]}, {result['second_kind'][pair]}: {TITLES[measure][0]}"
            )
            at.append(line)
            line += 1
        line += 0.6
    axes.axvline(1, color="0.3", linewidth=1)
    axes.axvline(margin, color=COLOURS[1], linewidth=1, linestyle="--")
    axes.set_yticks(at, labels, fontsize="small")
    axes.set_ylim(line - 0.8, -0.8)
    axes.set_xscale("log")
    axes.set_xlim(0.4, 1.15 * reach)
    ticks = [
        tick for tick in (0.5, 0.7, 1, margin, 2, 3, 5, 10, 20, 50, 100, 1000) if 0.4 <= tick <= 1.15 * reach
    ]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y", color="0.93")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(
        "mean distance across kinds / within kinds, with its 90 % interval over runs\n"
        f"filled circle: as near as seeds, below the margin {margin:g} (dashed); square: farther; "
        "open circle: undecided"
    )
