"""Inertia curves of k-means as a table and as a plot, for one store or several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.kmeans.elbow import MARGIN
from latentscan.report.format import number_like
from latentscan.report.style import series_colours, single_plot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

MOST_LINES = 20  # of a table


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `kmeans` as a JSON document, without centres."""
    names = ("clustered", "components", "batches", "passes")
    ks, seeds = result["k"].tolist(), result["seed"].tolist()
    document = {
        "images": result.attributes["images"],
        **{name: result.attributes[name] for name in names},
        "k": ks,
        "seed": seeds,
        "inertia": {"total": float(result["total"]), "by_seed": result["inertia"].T.tolist()},
        "elbow": {
            "verdict": result.attributes["elbow"],
            "knees": [at or None for at in result["knee"].tolist()],
            "knees_agree": result.attributes["knees_agree"],
            "bends": result["bend"].tolist(),
            "reference_bend": result.attributes["reference_bend"],
            "bends_more": result.attributes["bends_more"],
            "summary": elbow_summary(result),
        },
        "sizes": {str(k): _sizes(result, k) for k in ks},
    }
    curves = {name.removeprefix("inertia_"): result[name].tolist() for name in _CURVES if name in result}
    document["inertia"] |= curves
    if "labels" in result:
        of_k = zip(result["label_k"].tolist(), result["label_seed"].tolist(), result["labels"], strict=True)
        document["labels"] = {str(k): {"seed": seed, "labels": row.tolist()} for k, seed, row in of_k}
    return document


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the inertia of stores and of Gaussian data with their covariances, by the number of clusters.

    Inertia is written as mean and standard deviation over the seeds, and as a share of that of one cluster.

    Parameters
    ----------
    results
        Results of `kmeans` by the name of their store.
    """
    from rich.console import Group

    return Group(*(part for name, result in results.items() for part in _store_table(name, result)))


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot inertia by the number of clusters, as a share of that of one cluster, in a colour for each store.

    A band from the lowest to the highest seed, dashed lines for Gaussian data with the same covariance, a
    ring at the knee where it is clear.
    """
    from matplotlib.ticker import MaxNLocator

    drawing, axes = single_plot(7.0, 4.2)
    for (name, result), colour in zip(results.items(), series_colours(), strict=False):
        _draw_curve(axes, name if len(results) > 1 else "", result, colour)
    notes = [(f"{name}: " if len(results) > 1 else "") + _verdict(result) for name, result in results.items()]
    axes.set_title("\n".join(notes), loc="left", fontsize="medium")
    axes.set_xlabel("number of clusters k")
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    axes.set_ylabel("inertia (% of that of one cluster)")
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False)
    return drawing


def elbow_summary(result: Result) -> str:
    """Return a sentence: where the knees lie, how much the curve bends, and what follows."""
    knees = [at for at in result["knee"].tolist() if at]
    if len(result["k"]) < 3:
        return "an elbow cannot be judged with fewer than three k"
    if not knees:
        return "no clear elbow: the curve has no knee"
    bend, reference = 100 * float(np.median(result["bend"])), result.attributes["reference_bend"]
    where = (
        f"knees at k = {_range(knees)} ({len(knees)} seeds)" if len(knees) > 1 else f"knee at k = {knees[0]}"
    )
    beside = "" if reference is None else f", Gaussian data {100 * reference:.2g} %"
    clear = f" (clear from {MARGIN:g} times that)" if result.attributes["bends_more"] is False else ""
    return (
        f"{_verdict(result)}: {where}; the curve bends by {bend:.2g} % of the inertia of one cluster"
        f"{beside}{clear}"
    )


def _verdict(result: Result) -> str:
    verdict = result.attributes["elbow"]
    if len(result["k"]) < 3:
        return ""
    if verdict == "clear":
        return f"elbow near k = {round(float(np.median(result['knee'])))}"
    if verdict == "none":
        return "no clear elbow"
    missing = []
    if result.attributes["reference_bend"] is None:
        missing.append("the Gaussian reference")
    if len(result["seed"]) < 2:
        missing.append("a second seed")
    return "an elbow cannot be judged" + (f" without {' and '.join(missing)}" if missing else "")


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low}..{high}"


_CURVES = ("inertia_mean", "inertia_std", "reference")


def _sizes(result: Result, k: int) -> list[list[int]]:
    """Return the sizes of the clusters of every seed, the largest first."""
    of_k = result["centre_k"] == k
    return [
        sorted(result["size"][of_k & (result["centre_seed"] == seed)].tolist(), reverse=True)
        for seed in result["seed"].tolist()
    ]


def _store_table(name: str, result: Result) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    curves = {curve: result[curve] for curve in _CURVES if curve in result}
    total, count = float(result["total"]) or 1.0, len(result["k"])
    table = Table(box=None, header_style="bold", pad_edge=False)
    titles = {
        "inertia_mean": ("inertia", "share"),
        "inertia_std": ("± seeds",),
        "reference": ("Gaussian", "share"),
    }
    for title in ("k", *(title for curve in curves for title in titles[curve])):
        table.add_column(title, justify="right", no_wrap=True)
    step = -(-count // MOST_LINES)
    shown = sorted({*range(0, count, step), count - 1})
    for line in shown:
        cells = [f"{result['k'][line]}"]
        for curve, values in curves.items():
            like = values if curve == "reference" else result["inertia_mean"]
            cells.append(number_like(values[line], like=like[line]))
            if curve != "inertia_std":
                cells.append(f"{100 * values[line] / total:.2f} %")
        table.add_row(*cells)
    seeds = len(result["seed"])
    head = f"\n{name}: inertia of {result.attributes['clustered']:,} images, {seeds} seed" + "s" * (seeds > 1)
    thinned = (
        [Text(f"{len(shown)} of {count} k shown; the JSON document has all", style="dim")] if step > 1 else []
    )
    return [Text(head, style="bold cyan"), table, *thinned, Text(elbow_summary(result))]


def _draw_curve(axes: Axes, name: str, result: Result, colour: str) -> None:
    ks, scale = result["k"], 100 / (float(result["total"]) or 1.0)
    shares: NDArray[np.float64] = scale * result["inertia"]
    prefix = f"{name}, " if name else ""
    mark = "o" if len(ks) < 3 else ""
    seeds = len(result["seed"])
    label = name or (f"mean of {seeds} seeds" if seeds > 1 else "inertia")
    axes.plot(ks, scale * result["inertia_mean"], color=colour, linewidth=1.6, marker=mark, label=label)
    axes.fill_between(ks, shares.min(axis=1), shares.max(axis=1), color=colour, alpha=0.2, linewidth=0)
    if "reference" in result:
        style: dict[str, Any] = {"color": colour, "linestyle": "--", "linewidth": 1.2, "marker": mark}
        axes.plot(ks, scale * result["reference"], label=f"{prefix}Gaussian, same covariance", **style)
    if result.attributes["elbow"] == "clear":
        at = int(np.abs(ks - np.median(result["knee"])).argmin())
        axes.plot(
            ks[at], scale * result["inertia_mean"][at], "o", color=colour, markersize=10, fillstyle="none"
        )
