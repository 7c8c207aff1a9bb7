"""Inertia curves of k-means and the gap, as a table and as a plot, for one store or several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.kmeans.assign import centres_of, chosen_k
from latentscan.analyses.kmeans.verdict import CLEAR, LEAST
from latentscan.kernels.far_rows import FAR, MOST
from latentscan.report.format import finite_list, image_name, number_like
from latentscan.report.section import Images, Section
from latentscan.report.style import series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

MOST_LINES = 20  # of a table
MOST_NAMED = 6  # rows


_LEAD = "Inertia of k-means by the number of clusters, and the gap below that of Gaussian data."
_READING = {
    "inertia": "the sum of squared distances to the nearest centre; it falls with k for any data, so that a "
    "bend alone says little.",
    "gap": "by how much it is lower than for Gaussian data of the same covariance, as a logarithm, with its "
    "standard deviation over samples: 0 where there are no clusters beyond the covariance.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `kmeans` as a JSON document, without centres."""
    names = ("array", "clustered", "components", "batches", "passes")
    ks, seeds = result["k"].tolist(), result["seed"].tolist()
    document = {
        "images": result.attributes["images"],
        **{name: result.attributes[name] for name in names},
        "k": ks,
        "seed": seeds,
        "inertia": {"total": float(result["total"]), "by_seed": result["inertia"].T.tolist()},
        "gap": _gap_json(result) if "gap" in result else None,
        "far": {
            "beyond": FAR * result.attributes["median_distance"],
            "count": result.attributes["far"],
            "images": result["far_image"].tolist(),
            "paths": result["far_image_path"].tolist(),
        },
        "alone": [
            {"image": image, "path": path, "k": of, "models": count}
            for image, path, of, count in _alone(result)
        ],
        "sizes": {str(k): _sizes(result, k) for k in ks},
    }
    curves = {name.removeprefix("inertia_"): finite_list(result[name]) for name in _CURVES if name in result}
    document["inertia"] |= curves
    if "labels" in result:
        of_k = zip(result["label_k"].tolist(), result["label_seed"].tolist(), result["labels"], strict=True)
        document["labels"] = {str(k): {"seed": seed, "labels": row.tolist()} for k, seed, row in of_k}
    return document


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the inertia of stores and its gap below that of Gaussian data, by the number of clusters.

    Inertia is written as mean and standard deviation over the seeds, and as a share of that of one cluster.

    Parameters
    ----------
    results
        Results of `kmeans` by the name of their store.
    """
    from rich.console import Group

    return Group(*(part for name, result in results.items() for part in _store_table(name, result)))


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot inertia as a share of that of one cluster, and the gap below it, in a colour for each store.

    Bands reach from the lowest to the highest seed, and a standard deviation about the mean gap; Gaussian
    data of the same covariance are pale and dashed; a ring and a bar mark a natural number of clusters and
    its range.
    """
    from matplotlib.figure import Figure

    gaps = any("gap" in result for result in results.values())
    drawing = Figure(figsize=(7.0, 5.8 if gaps else 4.2), layout="constrained")
    panels = drawing.subplots(1 + gaps, 1, sharex=True, squeeze=False, height_ratios=(3, 2)[: 1 + gaps])[:, 0]
    for (name, result), colour in zip(results.items(), series_colours(), strict=False):
        _draw_curve(panels[0], f"{name} ({result.attributes['array']})", result, colour)
        if "gap" in result:
            _draw_gap(panels[1], result, colour)
    if gaps:
        label = "Gaussian, same covariance (by the gap)"
        panels[0].plot([], [], color="0.55", linestyle="--", linewidth=1.2, label=label)
        panels[1].axhline(0, color="0.55", linestyle="--", linewidth=1.2)
        panels[1].set_ylabel("gap: ln(Gaussian / points)")
    notes = [f"{name}: {_verdict(result)}" for name, result in results.items() if "gap" in result]
    panels[0].set_title("\n".join(notes), loc="left", fontsize="medium")
    panels[0].set_ylabel("inertia (% of that of one cluster)")
    drawing.legend(loc="outside lower center", ncols=2, frameon=False)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    _scale_by_k(panels[-1], [k for one in results.values() for k in _all_k(one)])
    return drawing


def section(results: Mapping[str, Result]) -> Section:
    """Return how many clusters there are, by the gap."""
    verdicts = tuple(f"{name}: {gap_summary(result)}." for name, result in results.items())
    images = tuple(_members(name, result) for name, result in results.items() if "member" in result)
    return Section("Clusters", _LEAD, verdicts, reading=_READING, images=images)


def _members(name: str, result: Result) -> Images:
    """Return an image of each cluster, the largest cluster first."""
    k = chosen_k(result)
    at = centres_of(result, k)
    order = at[np.argsort(-result["size"][at], kind="stable")]
    held = order[result["member"][order] >= 0]
    notes = tuple(f"1 of {size:,}" for size in result["size"][held].tolist())
    title = f"an image of each of {k} clusters"
    if result.attributes.get("gap_verdict") != "about":
        title += ", a number that was only tried"
    return Images(name, title, tuple(result["member"][held].tolist()), notes)


def gap_summary(result: Result) -> str:
    """Return a sentence: what the gap says of the number of clusters, by what, over which k."""
    if "gap" not in result:
        return "the number of clusters is not judged without Gaussian data"
    attributes, k = result.attributes, result["gap_k"]
    at = int(np.flatnonzero(k == attributes["gap_best"])[0])
    gap = f"gap {result['gap_mean'][at]:.3f} ± {result['gap_std'][at]:.3f} (sd) at k = {k[at]}"
    low, high = attributes["gap_range"]
    reach = "still rising there" if k[at] == k[-1] else f"about as large from k = {low} to {high}"
    why = {
        "about": gap,
        "no natural k": f"{gap}, {reach}",
        "nothing": f"{gap} at most, where {LEAST:g} would count" if k[at] > 1 else _below_zero(result),
        "undecided": f"{gap}; {attributes['gap_missing']} would be needed",
    }[attributes["gap_verdict"]]
    rows = f"{attributes['gap_replicates']} samples of {attributes['gap_rows']:,} images"
    return f"{_verdict(result)}: {why} (over k = 1..{k[-1]}, {rows})"


def _below_zero(result: Result) -> str:
    """Return what a gap means that is nowhere above 0: fewer clusters than chance, not a Gaussian."""
    lowest = int(result["gap_mean"].argmin())
    mean, std = result["gap_mean"][lowest], result["gap_std"][lowest]
    if mean < -CLEAR * std:
        return "the gap is below 0, so that they cluster less than Gaussian data; heavy tails do that"
    return "the gap is nowhere above 0"


def _verdict(result: Result) -> str:
    low, high = result.attributes["gap_range"]
    reach = f" ({low}..{high})" if low < high else ""
    return {
        "about": f"about {result.attributes['gap_best']} clusters{reach}",
        "no natural k": "structure, no natural k",
        "nothing": "no clusters, nothing beyond the covariance",
        "undecided": "number of clusters undecided",
    }[result.attributes["gap_verdict"]]


def _gap_json(result: Result) -> dict[str, Any]:
    attributes = result.attributes
    is_about = attributes["gap_verdict"] == "about"
    return {
        "verdict": attributes["gap_verdict"],
        "best": attributes["gap_best"] if is_about else None,
        "range": list(attributes["gap_range"]) if is_about else None,
        "summary": gap_summary(result),
        "missing": attributes["gap_missing"] or None,
        "samples": attributes["gap_replicates"],
        "rows": attributes["gap_rows"],
        "k": result["gap_k"].tolist(),
        "mean": result["gap_mean"].tolist(),
        "sd": result["gap_std"].tolist(),
    }


def _alone(result: Result) -> list[tuple[int, str, list[int], int]]:
    """Return the images that are alone in a cluster, with the k and the number of models where they are."""
    alone = result["size"] == 1
    paths = dict(zip(result["member"].tolist(), result["member_path"].tolist(), strict=True))
    models: dict[int, list[int]] = {}
    for image, k in zip(result["member"][alone].tolist(), result["centre_k"][alone].tolist(), strict=True):
        models.setdefault(image, []).append(k)
    found = [(image, paths[image], sorted(set(ks)), len(ks)) for image, ks in models.items()]
    return sorted(found, key=lambda one: (-one[3], one[0]))


def _notes(result: Result) -> list[str]:
    """Return what to know of rows far out, of those alone in a cluster, and of clusters without any."""
    notes = []
    if count := result.attributes["far"]:
        left_out = ", left out of the gap" if count <= MOST and "gap" in result else ""
        named = zip(result["far_image"].tolist(), result["far_image_path"].tolist(), strict=True)
        images = _listed(list(named), count)
        notes.append(f"far out, beyond {FAR:g} times the median distance{left_out}: {images}")
    if alone := _alone(result):
        images = _listed([(image, path) for image, path, *_ in alone], len(alone))
        models = len(result["k"]) * len(result["seed"])
        notes.append(f"alone in a cluster (the first in {alone[0][3]} of {models} models): {images}")
    if empty := int(np.count_nonzero(result["size"] == 0)):
        notes.append(f"clusters without an image: {empty:,} of {len(result['size']):,}")
    return notes


def _listed(images: list[tuple[int, str]], count: int) -> str:
    shown = ", ".join(image_name(image, path) for image, path in images[:MOST_NAMED])
    return f"{count:,} image{'s' * (count > 1)}, row {shown}{', ...' if count > MOST_NAMED else ''}"


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

    total, count = float(result["total"]) or 1.0, len(result["k"])
    table = Table(box=None, header_style="bold", pad_edge=False)
    several, gaps = len(result["seed"]) > 1, "gap" in result
    titles = ["k", "inertia", *(["± seeds"] if several else []), "share", *(["gap ± sd"] if gaps else [])]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    step = -(-count // MOST_LINES)
    looked_at = int(np.flatnonzero(result["k"] == chosen_k(result))[0])
    shown = sorted({*range(0, count, step), looked_at, count - 1})
    for line in shown:
        mean = result["inertia_mean"][line]
        cells = [f"{result['k'][line]}", number_like(mean, like=mean)]
        cells += [number_like(result["inertia_std"][line], like=mean)] if several else []
        share = 100 * mean / total
        cells += [f"{share:.2f} %" if share >= 0.01 or not share else f"{share:.1e} %"]
        table.add_row(*cells, *([_gap_cell(result, line)] if gaps else []))
    seeds, attributes = len(result["seed"]), result.attributes
    points = f"{attributes['array']} of {attributes['clustered']:,} images"
    head = f"\n{name}: inertia of {points}, {seeds} seed" + "s" * (seeds > 1)
    thinned = (
        [Text(f"{len(shown)} of {count} k shown; the JSON document has all", style="dim")] if step > 1 else []
    )
    notes = [Text(note) for note in _notes(result)]
    return [Text(head, style="bold cyan"), table, *thinned, Text(gap_summary(result)), *notes]


def _gap_cell(result: Result, line: int) -> str:
    """Write the gap of a k and its standard deviation, interpolated as the curve of Gaussian data is."""
    k, of_gap = result["k"][line], result["gap_k"]
    if k > of_gap[-1]:
        return "–"
    mean, spread = (np.interp(np.log(k), np.log(of_gap), result[name]) for name in ("gap_mean", "gap_std"))
    return f"{mean:.3f} ± {spread:.3f}"


def _draw_curve(axes: Axes, name: str, result: Result, colour: str) -> None:
    ks, scale = result["k"], 100 / (float(result["total"]) or 1.0)
    shares: NDArray[np.float64] = scale * result["inertia"]
    seeds = len(result["seed"])
    label = f"{name}, mean of {seeds} seeds" if seeds > 1 else name
    if "reference" in result:
        mark = "D" if len(ks) < 3 else ""
        style: dict[str, Any] = {"linestyle": "--", "linewidth": 1.2, "alpha": 0.55, "marker": mark}
        axes.plot(ks, scale * result["reference"], color=colour, fillstyle="none", **style)
    mark = "o" if len(ks) < 3 else ""
    axes.plot(ks, scale * result["inertia_mean"], color=colour, linewidth=1.8, marker=mark, label=label)
    axes.fill_between(ks, shares.min(axis=1), shares.max(axis=1), color=colour, alpha=0.2, linewidth=0)


def _draw_gap(axes: Axes, result: Result, colour: str) -> None:
    k, mean, spread = result["gap_k"], result["gap_mean"], result["gap_std"]
    axes.plot(k, mean, color=colour, linewidth=1.6, marker=".")
    axes.fill_between(k, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    if result.attributes["gap_verdict"] == "about":
        best, (low, high) = result.attributes["gap_best"], result.attributes["gap_range"]
        axes.axvspan(low - 0.3, high + 0.3, color=colour, alpha=0.12, linewidth=0)
        at = int(np.flatnonzero(k == best)[0])
        axes.plot(best, mean[at], "o", color=colour, markersize=10, fillstyle="none")


def _all_k(result: Result) -> list[int]:
    return [*result["k"].tolist(), *(result["gap_k"].tolist() if "gap" in result else [])]


def _scale_by_k(axes: Axes, ks: list[int]) -> None:
    """Make the axis of k logarithmic, with whole numbers at its ticks."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    low, high = min(ks), max(ks)
    axes.set_xscale("log")
    steps = [n * 10**power for power in range(7) for n in (1, 2, 3, 5)]
    ticks = [tick for tick in steps if low <= tick <= high] or [low]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlim(low / 1.06, high * 1.06)
    axes.set_xlabel("number of clusters k")
