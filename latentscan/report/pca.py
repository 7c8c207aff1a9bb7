"""Principal axes and the radius law: table, plot, JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.kernels.intervals import GROUPS, TWO_SIDED
from latentscan.report.format import number
from latentscan.report.section import Section
from latentscan.report.style import COLOURS, series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

EXPLAINS = 0.1  # a law whose Wasserstein-1 distance is below this share of the radii's std
FEW_DECADES = 1e3  # between eigenvalues, where 2 and 5 times a power of ten have ticks too
TALLEST = 2.0  # how much higher than the radii and the full law the picture is
LEAST_SHARE = 1e-4  # of the images, in a bin that is plotted
_SHOWN = 5  # eigenvalues
_DASHES = ("-", "--", ":")
_LAWS = {  # the simplest first
    "isotropic": "with the measured mean and one variance",
    "diagonal": "with the measured mean and variances (correlations are not needed for them, and may exist)",
    "full": "with the measured mean and covariance",
}
_BLIND = (
    "that says little of the cloud's shape, since with many components clusters and filaments have such "
    "radii too: the gap of kmeans, axes and tsne can see those"
)
_RADIUS_LEGEND = (
    "images, and Gaussians of their mean and covariance: mean ± std,\n"
    "Wasserstein-1 distance W₁ in standard deviations of the radii (± 95 %)"
)
_HEAD = ("array", "images", "unwritten", "rejected", "components")
_CLOUD = ("mean_distance", "total_variance", "participation_ratio")


_READING = {
    "participation ratio": "how many axes share the variance: 1 for a line, all components for a ball.",
    "Gaussians": "the same mean and one variance, or one for each component, or the whole covariance; the "
    "simplest that has the measured radii explains them.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `pca` as a JSON document."""
    attributes = result.attributes
    shares = zip(attributes["shares"], attributes["axes_for_shares"], strict=True)
    std = attributes["radius_std"]
    laws = {
        law: {
            "mean": float(result["law_radius_mean"][number]),
            "std": float(result["law_radius_std"][number]),
            "square_std": float(result["law_square_std"][number]),
            "wasserstein_distance": float(result["wasserstein_distance"][number]),
            "wasserstein_interval": _interval(
                result["wasserstein_distance"][number], result["wasserstein_error"][number]
            ),
            "distance_in_std": float(result["wasserstein_distance"][number]) / std if std else None,
            "shares": result["radius_law"][number].tolist(),
        }
        for number, law in enumerate(result["law"].tolist())
    }
    return {
        **{name: attributes[name] for name in (*_HEAD, *_CLOUD)},
        "participation_ratio_interval": _interval(
            attributes["participation_ratio"], attributes["participation_ratio_error"]
        ),
        "intervals": f"95 %, jackknife over {GROUPS} groups of rows",
        "eigenvalue_floor": attributes["eigenvalue_floor"],
        "below_the_floor": int(np.count_nonzero(result["eigenvalue"] < attributes["eigenvalue_floor"])),
        "axes_for": {f"{share:g}": axes for share, axes in shares},
        "mean": result["mean"].tolist(),
        "eigenvalue": result["eigenvalue"].tolist(),
        "explained": result["explained"].tolist(),
        "radius": {
            "mean": attributes["radius_mean"],
            "std": std,
            "square_mean": attributes["square_mean"],
            "square_std": attributes["square_std"],
            "edges": result["radius_edge"].tolist(),
            "histogram": result["radius_histogram"].tolist(),
            "laws": laws,
        },
    }


def _interval(value: float, error: float | None) -> list[float] | None:
    """Return the 95 % interval of a figure that is not negative; None where there is no error."""
    if error is None or not np.isfinite(error):
        return None
    return [max(float(value - TWO_SIDED * error), 0.0), float(value + TWO_SIDED * error)]


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the cloud's shape and the radius law of stores, one a column, and what explains the radii."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = [_column(to_json(result)) for result in results.values()]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in results:
        table.add_column(name, justify="right", overflow="fold")
    for title in columns[0]:
        table.add_row("")
        table.add_row(Text(title, style="bold cyan"))
        for label in columns[0][title]:
            table.add_row(f"  {label}", *(column[title][label] for column in columns))
    verdicts = [Text(f"\n{name}: {_verdict(to_json(result))}") for name, result in results.items()]
    return Group(table, *verdicts)


def _column(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    radius, axes = document["radius"], document["axes_for"]
    laws = {f"{law} Gaussian": found for law, found in radius["laws"].items()}
    percents = ", ".join(f"{100 * float(share):g}" for share in axes)
    return {
        "cloud": {
            "points": document["array"],
            "images": f"{document['images']:,}",
            "rejected": f"{document['rejected']:,}",
            "components": f"{document['components']:,}",
            "mean from the origin": number(document["mean_distance"]),
            "total variance": number(document["total_variance"]),
            "participation ratio (95 %)": _plus_minus(
                document["participation_ratio"], document["participation_ratio_interval"]
            ),
            f"axes for {percents} %": ", ".join(map(str, axes.values())),
            "largest eigenvalues": "\n".join(map(number, document["eigenvalue"][:_SHOWN])),
            "eigenvalues that are rounding": f"{document['below_the_floor']} "
            f"(below {document['eigenvalue_floor']:.1g})",
        },
        "radius, mean ± std": {
            "measured": _spread(radius["mean"], radius["std"]),
            **{name: _spread(law["mean"], law["std"]) for name, law in laws.items()},
        },
        "radius²": {
            "mean": number(radius["square_mean"]),
            "std, measured": number(radius["square_std"]),
            **{f"std, {name}": number(law["square_std"]) for name, law in laws.items()},
        },
        "Wasserstein-1 distance, std (95 %)": {
            name: _distance(law, radius["std"]) for name, law in laws.items()
        },
    }


def _plus_minus(value: float, interval: Sequence[float] | None) -> str:
    return number(value) if interval is None else f"{number(value)} ± {interval[1] - value:.1g}"


def _distance(law: Mapping[str, Any], std: float) -> str:
    if not std:
        return number(law["wasserstein_distance"])
    interval = law["wasserstein_interval"]
    relative = None if interval is None else [end / std for end in interval]
    return _plus_minus(law["distance_in_std"], relative)


def _verdict(document: Mapping[str, Any]) -> str:
    """Return a sentence that names the simplest Gaussian whose radii are close to those measured.

    A Gaussian is close, or is not, where the whole interval of its distance says so.
    """
    laws, std = document["radius"]["laws"], document["radius"]["std"]
    if not std:
        return "all radii are equal, there is nothing to explain."
    ends = {
        name: [end / std for end in law["wasserstein_interval"] or (0.0, np.inf)]
        for name, law in laws.items()
    }
    for law, known in _LAWS.items():
        if ends[law][1] < EXPLAINS:
            found = _distance(laws[law], std)
            return f"the radii are those of a Gaussian {known} (within {found} of their std); {_BLIND}."
    closest = min(laws, key=lambda law: float(laws[law]["wasserstein_distance"]))
    off = _distance(laws[closest], std)
    distances = {name: number(law["distance_in_std"]) for name, law in laws.items()}
    equal = [law for law, distance in distances.items() if distance == distances[closest]]
    are = f"the closest, {closest}, is" if len(equal) == 1 else f"the closest, {_listed(equal)}, are"
    if any(low < EXPLAINS for low, _ in ends.values()):
        return (
            f"it is undecided whether a Gaussian has these radii: {are} {off} of their std off, "
            f"and {EXPLAINS:g} decides. Few images, images far out, or an order of the images by "
            "their kind make the distance vary so much."
        )
    return (
        f"none of the three Gaussians has these radii: {are} {off} of their std off, "
        f"and {'spreads' if len(equal) == 1 else 'spread'} by "
        f"{_listed(list(dict.fromkeys(number(laws[law]['std']) for law in equal)))}, not {number(std)}."
    )


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def section(results: Mapping[str, Result]) -> Section:
    """Return how many axes the cloud has, and which Gaussian explains the radii."""
    verdicts, details = [], []
    for name, document in ((name, to_json(result)) for name, result in results.items()):
        ratio = _plus_minus(document["participation_ratio"], document["participation_ratio_interval"])
        verdicts.append(
            f"{name}: the cloud of {document['array']} spreads over about {ratio} of "
            f"{document['components']:,} axes (participation ratio, 95 %)."
        )
        details.append(f"{name}: {_verdict(document)}")
    lead = "The variance along the principal axes, and the radii beside those of three Gaussians."
    return Section("Spectrum and radius law", lead, tuple(verdicts), tuple(details), _READING)


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the spectrum, and the radii beside those of three Gaussians, in a colour for each store."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0, 5.2 + 0.3 * (len(results) - 1)), layout="constrained")
    spectrum, radius = drawing.subplots(1, 2)
    colours = dict(zip(results, series_colours(), strict=False))
    for name, result in results.items():
        _draw_spectrum(spectrum, name, result, colours[name])
        law_colours = COLOURS[1:] if len(results) == 1 else (colours[name],) * 3
        _draw_radii(radius, name, result, colours[name], law_colours, of_several=len(results) > 1)
    spectrum.set_xlabel("principal axis")
    spectrum.set_ylabel("variance along it (eigenvalue)")
    _scale(spectrum, list(results.values()))
    radius.set_xlabel("radius (L2 norm of a row)")
    radius.set_ylabel("images per unit of radius (%)")
    _limit(radius, list(results.values()))
    for axes in (spectrum, radius):
        axes.spines[["top", "right"]].set_visible(False)
    above: dict[str, Any] = {"frameon": False, "loc": "lower left", "bbox_to_anchor": (0, 1)}
    above |= {"fontsize": "small", "title_fontsize": "small", "alignment": "left"}
    spectrum.legend(**above)
    radius.legend(
        **above,
        ncols=1 if len(results) == 1 else 2,  # labels of a single store's laws are long
        title=_RADIUS_LEGEND,
    )
    return drawing


def _draw_spectrum(axes: Axes, name: str, result: Result, colour: str) -> None:
    values = np.where(result["eigenvalue"] > 0, result["eigenvalue"], np.nan)
    attributes = result.attributes
    ratio = attributes["participation_ratio"]
    error = _plus_minus(ratio, _interval(ratio, attributes["participation_ratio_error"]))
    label = f"{name}, {attributes['array']}: participation ratio {error}"
    if gone := int(np.isnan(values).sum()):
        label += f"; {gone:,} of {len(values):,} are 0"
    axes.plot(np.arange(1, len(values) + 1), values, ".-", color=colour, linewidth=1.4, label=label)
    floor = attributes["eigenvalue_floor"]
    if ((result["eigenvalue"] < floor) & (result["eigenvalue"] > 0)).any():
        axes.axhline(floor, color=colour, linewidth=0.8, linestyle=":", label=f"below {floor:.1g}: rounding")


def _scale(axes: Axes, results: list[Result]) -> None:
    """Scale the axis: logarithmic for a spectrum that falls far, from zero for a flat one."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    values = np.concatenate([result["eigenvalue"] for result in results])
    values = values[values > 0]
    if len(values) and values.max() > 10 * values.min():
        axes.set_yscale("log")
        if values.max() < FEW_DECADES * values.min():
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, 1.1 * values.max(initial=0) or 1)
    axes.set_xlim(0, max(len(result["eigenvalue"]) for result in results) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _draw_radii(
    axes: Axes, name: str, result: Result, colour: str, law_colours: Sequence[str], *, of_several: bool
) -> None:
    edges, attributes = result["radius_edge"], result.attributes
    label = f"{name}, {attributes['array']}: {_spread(attributes['radius_mean'], attributes['radius_std'])}"
    together = max(1, int(len(edges) / (6 * np.cbrt(result["radius_histogram"].sum()))))
    starts = np.arange(0, len(edges) - 1, together)  # few images in as few bins as show a shape
    wide = np.append(edges[starts], edges[-1])
    density = np.add.reduceat(_measured(result) * np.diff(edges), starts) / np.diff(wide)
    axes.stairs(density, wide, color=colour, fill=True, alpha=0.25, label=label)
    centres = (edges[1:] + edges[:-1]) / 2
    spreads = zip(result["law_radius_mean"], result["law_radius_std"], strict=True)
    labels = [f"{law}: {_spread(*spread)}" for law, spread in zip(result["law"], spreads, strict=True)]
    if attributes["radius_std"]:
        laws = to_json(result)["radius"]["laws"].values()
        heads = [f"{law}:" for law in result["law"]] if of_several else [f"{label}," for label in labels]
        labels = [
            f"{head} W₁ {_distance(law, attributes['radius_std'])}"
            for head, law in zip(heads, laws, strict=True)
        ]
    for curve, dashes, law_colour, label in zip(
        _predicted(result), _DASHES, law_colours, labels, strict=False
    ):
        axes.plot(centres, curve, dashes, color=law_colour, linewidth=1.5, label=label)


def _spread(mean: float, std: float) -> str:
    return f"{number(mean)} ± {number(std)}"


def _measured(result: Result) -> NDArray[np.float64]:
    counts = result["radius_histogram"]
    return np.asarray(100 * counts / counts.sum() / np.diff(result["radius_edge"]))


def _predicted(result: Result) -> NDArray[np.float64]:
    return np.asarray(100 * result["radius_law"] / np.diff(result["radius_edge"]))


def _limit(axes: Axes, results: list[Result]) -> None:
    """Leave out radii that hardly any image has, and what of a narrow law would dwarf the rest."""
    ends, top, peak, outside = [], 0.0, 0.0, 0
    for result in results:
        measured, predicted = _measured(result), _predicted(result)
        shares = np.vstack([measured, predicted]) * np.diff(result["radius_edge"]) / 100
        counts, widths = result["radius_histogram"], np.diff(result["radius_edge"])
        even = widths <= 1.5 * np.median(widths)  # the first and the last bin may reach far out
        seen = np.flatnonzero((shares.max(axis=0) > LEAST_SHARE) & even)
        outside += int(counts.sum() - counts[seen[0] : seen[-1] + 1].sum())
        ends += [result["radius_edge"][seen[0]], result["radius_edge"][seen[-1] + 1]]
        full = result["law"].tolist().index("full")
        top, peak = max(top, measured.max(), predicted[full].max()), max(peak, predicted.max())
    axes.set_xlim(min(ends), max(ends))
    highest = 1.05 * min(max(peak, top), TALLEST * top)
    axes.set_ylim(0, highest)
    notes = [f"narrower peaks, up to {peak:.3g}, are cut off"] if peak > highest else []
    notes += [f"{outside:,} {'image lies' if outside == 1 else 'images lie'} outside"] if outside else []
    if notes:
        note = "\n".join(notes)
        axes.text(
            0.99,
            0.99,
            note,
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize="small",
            color="0.4",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )
