"""The study's table: as JSON, on a terminal, and as a plot of the radii, of logvar and of KL."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.stats import KLS, SHARES, VARIANCES
from latentscan.kernels.modes import SIGMAS
from latentscan.report.format import finite, finite_list, image_name, number, with_error
from latentscan.report.section import Images, Section
from latentscan.report.style import COLOURS, glyphs, scale_from_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from latentscan.store.results import Result

FITS = 0.02  # share of the expected mean square by which that of the noise may be off
SHIFT = 0.02  # by which its mean may be off
SURE = 6.0  # and so many standard errors besides
READ = 0.1  # by which another reading of logvar may be off, to be named
_Row = tuple[str, "Callable[[dict[str, Any]], str]"]
_BARS = " ▁▂▃▄▅▆▇█"
_LINES = 4  # of a histogram
_COLUMNS = 70
_NAMED = 5  # components in a sentence
_LOGVAR = ("max", "max_image", "max_image_path", "min", "min_image", "min_image_path", "mean")
_VALLEY = ("score", "position", "share")
ARRAY_COLOURS = {"z": COLOURS[0], "mu": COLOURS[1]}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `stats` as a JSON document."""
    head = {name: result.attributes[name] for name in ("images", "unwritten", "rejected", "components")}
    document = {**head, "moments": _moments_json(result), "radius": _radius_json(result)}
    if "logvar_max" in result:
        low, high = result.attributes["logvar_interval"]
        document["logvar"] = {
            "max": float(result["logvar_max"].max()),
            "min": float(result["logvar_min"].min()),
            "mean": float(result["logvar_mean"].mean()),
            "max_at": _position(result, "logvar_max", int(result["logvar_max"].argmax())),
            "min_at": _position(result, "logvar_min", int(result["logvar_min"].argmin())),
            "intervals": {f"[{low:g},{high:g}]": int(result["logvar_within"])},
            "per_component": _lists(result, "logvar_", _LOGVAR),
        }
    if "deviation_max" in result:
        document["deviation"] = {
            "max": finite(result["deviation_max"].max()),
            "max_at": _position(result, "deviation_max", int(result["deviation_max"].argmax())),
            "above": {f"{result.attributes['deviation_threshold']:g}": int(result["deviation_above"].sum())},
            "per_component": _lists(result, "deviation_", ("max", "max_image", "max_image_path", "above")),
        }
    if "kl" in result:
        document["kl"] = {
            "mean_unscaled": finite(result["kl"].sum()),
            "per_component": finite_list(result["kl"]),
            "active_components": {
                "by_variance": active(result, "variance"),
                "by_kl": active(result, "kl"),
                "effective_number": result.attributes["effective_kl"],
            },
        }
    document["duplicates"] = _duplicates_json(result)
    document["groups"] = _groups_json(result)
    if "noise_variance" in result.attributes:
        names = ("noise_values", "noise_mean", "noise_variance", "noise_variance_error")
        document["noise"] = {
            **{name.removeprefix("noise_"): result.attributes[name] for name in names},
            "expected_variance": result.attributes["expected_noise_variance"],
        }
    document["noticed"] = noticed(result)
    return document


def _position(result: Result, name: str, component: int) -> dict[str, Any]:
    return {**_image(result, f"{name}_image", component), "component": component}


def _image(result: Result, name: str, at: int) -> dict[str, Any]:
    """Return the row of an image, and its path."""
    return {"image": int(result[name][at]), "path": str(result[f"{name}_path"][at])}


def active(result: Result, name: str) -> dict[str, int]:
    """Return how many components are above each threshold, of the variance or of the KL."""
    thresholds, counts = result[f"{name}_threshold"].tolist(), result[f"active_by_{name}"].tolist()
    return {f"{threshold:g}": count for threshold, count in zip(thresholds, counts, strict=True)}


def noticed(result: Result) -> list[str]:
    """Return what a user should know of a store beside its numbers, a sentence each."""
    said = [_said_of_groups(result), _said_of_duplicates(result), _said_of_noise(result)]
    return [sentence for sentence in said if sentence]


def _duplicates_json(result: Result) -> dict[str, Any]:
    attributes = result.attributes
    return {
        "rows": attributes["repeated_rows"],
        "of": attributes["followed_rows"],
        "largest": [
            {"images": int(images), "first": int(first), "path": str(path)}
            for images, first, path in zip(
                result["repeat_images"],
                result["repeat_first_image"],
                result["repeat_first_image_path"],
                strict=True,
            )
        ],
    }


def _groups_json(result: Result) -> dict[str, Any]:
    components = _in_groups(result)
    found = zip(components, *(result[f"valley_{name}"][components] for name in _VALLEY), strict=True)
    return {
        "rows": result.attributes["shape_rows"],
        "components": [
            {
                "component": component,
                **dict(zip(_VALLEY, map(float, values), strict=True)),
            }
            for component, *values in found
        ],
    }


def _in_groups(result: Result) -> list[int]:
    """Return the components along which the values fall into two groups, the clearest first."""
    scores = result["valley_score"]
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return [component for component in order if scores[component] > SIGMAS]


def _said_of_groups(result: Result) -> str:
    components, points = _in_groups(result), result.attributes["points"]
    if not components:
        return ""
    some = [
        f"{component} (a gap at {number(result['valley_position'][component])} parts off "
        f"{_percent(result['valley_share'][component])})"
        for component in components[:_NAMED]
    ]
    more = f", and {len(components) - _NAMED} more" if len(components) > _NAMED else ""
    are = "component" if len(components) == 1 else "components"
    return f"{points} falls into groups, with few images between, along {are} {', '.join(some)}{more}."


def _said_of_duplicates(result: Result) -> str:
    attributes = result.attributes
    repeated, followed = attributes["repeated_rows"], attributes["followed_rows"]
    if not repeated:
        return ""
    good = attributes["images"] - attributes["rejected"]
    sampled = f" (a random sample of the different rows was followed; the store has {good:,})"
    sampled = "" if followed == good else sampled
    rows = "rows repeats" if repeated == 1 else "rows repeat"
    return (
        f"{repeated:,} of {followed:,} {rows} an earlier one of {attributes['points']} to the bit{sampled}; "
        f"{int(result['repeat_images'][0]):,} images have the row of image "
        f"{image_name(int(result['repeat_first_image'][0]), result['repeat_first_image_path'][0])}."
    )


def _said_of_noise(result: Result) -> str:
    attributes = result.attributes
    if not attributes.get("noise_values"):
        return ""
    found, expected = attributes["noise_variance"], attributes["expected_noise_variance"]
    if found == 0 and expected > 0:
        return "z equals mu: no noise of the variance exp(logvar) was added."
    error = attributes["noise_variance_error"] or 0.0
    said = "z does not fit mu and logvar: (z − mu) / exp(logvar / 2) has the "
    if found is not None and _is_shifted(attributes):
        return f"{said}mean {number(attributes['noise_mean'])}, expected 0."
    if found is not None and abs(found - expected) <= max(FITS * expected, SURE * error):
        return ""
    said += f"mean square {number(found)}, expected {number(expected)}"
    _log_variance, *others = attributes["noise_readings"].items()  # the first is what it should be
    readings = {name: value for name, value in others if value is not None}
    closest = min(readings, key=lambda name: abs(readings[name] - expected), default=None)
    if closest is not None and abs(readings[closest] - expected) < READ * expected:
        return f"{said}; it fits if what is stored as logvar is the {closest}."
    return f"{said}: not all of z comes from this mu and logvar."


def _is_shifted(attributes: Mapping[str, Any]) -> bool:
    """Return whether the mean of the noise is clearly not 0: its mean square then says nothing by itself."""
    mean, square = abs(attributes["noise_mean"]), attributes["noise_variance"]
    error = np.sqrt(max(square - mean**2, 0.0) / attributes["noise_values"])
    return bool(mean > SHIFT and mean > SURE * error)


def _lists(result: Result, prefix: str, names: Sequence[str]) -> dict[str, list[float | None]]:
    return {name: finite_list(result[prefix + name]) for name in names}


def _moments_json(result: Result) -> dict[str, Any]:
    names = ("mean", "variance", "skewness", "kurtosis")
    return {
        array: {name: finite_list(result[name][position]) for name in names}
        for position, array in enumerate(result["array"].tolist())
    }


def _radius_json(result: Result) -> dict[str, Any]:
    arrays = result["array"].tolist()
    first = arrays.index("z") if "z" in arrays else 0
    figures = ("min", "max", "mean", "std", "peak")
    document: dict[str, Any] = {
        array: {
            **{name: finite(result[f"radius_{name}"][position]) for name in figures},
            "min_at": _image(result, "radius_min_image", position),
            "max_at": _image(result, "radius_max_image", position),
            "peak_interval": [finite(result[f"radius_peak_{end}"][position]) for end in ("low", "high")],
            "quantiles": {
                f"{share:g}": {
                    "value": float(result["radius_quantile"][position, at]),
                    "interval": [
                        float(result[f"radius_quantile_{end}"][position, at]) for end in ("low", "high")
                    ],
                }
                for at, share in enumerate(result["share"].tolist())
            },
        }
        for position, array in enumerate(arrays)
    }
    if "difference" in result:
        document["difference"] = {
            f"{statistic}_{kind}": float(result[f"difference_{statistic}"][position])
            for statistic in ("max", "mean")
            for position, kind in enumerate(("absolute", "relative"))
        }
    if "radius_within" in result:
        document["within"] = dict(
            zip(result["range"].tolist(), result["radius_within"][first].tolist(), strict=True)
        )
    histogram: dict[str, Any] = {
        "width": result.attributes["radius_width"],
        "edges": result["radius_edge"].tolist(),
    }
    for position, array in enumerate(arrays):
        prefix = "" if position == first else f"{array}_"
        histogram[array] = result["radius_histogram"][position].tolist()
        histogram[f"{prefix}underflow"] = int(result["radius_underflow"][position])
        histogram[f"{prefix}overflow"] = int(result["radius_overflow"][position])
    document["histogram"] = histogram
    return document


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the statistics of stores, one a column, and the histograms of their radii.

    Parameters
    ----------
    results
        Results of `stats` by the name of their store.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    documents = {name: to_json(result) for name, result in results.items()}
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in documents:
        table.add_column(name, justify="right", overflow="fold")
    absent: dict[str, list[str]] = {}
    for title, part, rows in _SECTIONS:
        held = {name for name, document in documents.items() if _holds(document, part)}
        for name in documents:
            if name not in held and part != "radius.within":
                absent.setdefault(name, []).append(title)
        if held:
            table.add_row("")
            table.add_row(Text(title, style="bold cyan"))
        for label, show in rows if held else ():
            table.add_row(f"  {label}", *(show(d) if n in held else "–" for n, d in documents.items()))
    histograms = [_histogram_text(name, document) for name, document in documents.items()]
    missing = [
        Text(f"\n{name} lacks the arrays for: {', '.join(titles)}", style="dim")
        for name, titles in absent.items()
    ]
    notes = [
        Text(f"\n{name}: {sentence}", style="bold")
        for name, result in results.items()
        for sentence in noticed(result)
    ]
    return Group(table, *histograms, *notes, *missing)


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the radii of z and of mu, and where stores have them the logvar and the KL of the components.

    A row for each store.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    held = {name for result in results.values() for name in result.variables}
    panels = [_draw_radii, *(draw for name, draw in _PANELS.items() if name in held)]
    layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.08)
    drawing = Figure(figsize=(4.2 * len(panels) + 0.8, 3.6 * len(results)), layout=layout)
    widths = [1.25, 1.0, 1.0][: len(panels)]
    rows = drawing.subplots(len(results), len(panels), squeeze=False, width_ratios=widths)
    for (name, result), row in zip(results.items(), rows, strict=True):
        for draw, axes in zip(panels, row, strict=True):
            draw(axes, result)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_title(name, loc="left", fontweight="bold")
    if len(results) > 1:  # radii are compared by eye
        ends = np.array([axes.get_xlim() for axes in rows[:, 0]])
        for axes in rows[:, 0]:
            axes.set_xlim(ends[:, 0].min(), ends[:, 1].max())
    return drawing


def section(results: Mapping[str, Result]) -> Section:
    """Return what the study's table says: where the radii lie, whether z is mu, and what was noticed."""
    verdicts = []
    for name, result in results.items():
        verdicts += [_said_of_radius(name, result), *_said_of_difference(name, result)]
        seen = (_said_of_duplicates(result), _said_of_noise(result))
        verdicts += [f"{name}: {sentence}" for sentence in seen if sentence]
    groups = {name: _said_of_groups(result) for name, result in results.items()}
    details = tuple(f"{name}: {sentence}" for name, sentence in groups.items() if sentence)
    images = tuple(_farthest_images(name, result) for name, result in results.items())
    return Section("The study's table", _LEAD, tuple(verdicts), details, _READING, images)


def _farthest_images(name: str, result: Result) -> Images:
    """Return the images with the smallest and the largest radius of each array."""
    found = {
        f"{which} radius of {array}, {number(float(result[f'radius_{end}'][at]))}": int(
            result[f"radius_{end}_image"][at]
        )
        for at, array in enumerate(result["array"].tolist())
        for which, end in (("smallest", "min"), ("largest", "max"))
    }
    return Images(name, "smallest and largest radius", tuple(found.values()), tuple(found))


def _said_of_radius(name: str, result: Result) -> str:
    array = result["array"].tolist()[0]
    good = result.attributes["images"] - result.attributes["rejected"]
    mean, std = float(result["radius_mean"][0]), float(result["radius_std"][0])
    low, high = float(result["radius_peak_low"][0]), float(result["radius_peak_high"][0])
    peak = f", most often {number(low)} to {number(high)} (90 % interval)" if np.isfinite(low) else ""
    error = std / np.sqrt(max(good, 1))
    return f"{name}: the radius of {array} is {with_error(mean, error)} on average{peak}, std {number(std)}."


def _said_of_difference(name: str, result: Result) -> list[str]:
    if "difference" not in result:
        return []
    relative = 100 * float(result["difference_mean"][1])
    most = 100 * float(result["difference_max"][1])
    word = "about equal" if relative < 1 else "not the same points"
    return [
        f"{name}: z and mu are {word}: their radii differ by {number(relative)} % of the radius on average, "
        f"{number(most)} % at most."
    ]


def _draw_radii(axes: Axes, result: Result) -> None:
    good = result.attributes["images"] - result.attributes["rejected"]
    edges = result["radius_edge"]
    for position, array in reversed(list(enumerate(result["array"].tolist()))):
        shares = 100 * result["radius_histogram"][position] / good
        outside = [int(result[f"radius_{side}flow"][position]) for side in ("under", "over")]
        places = (f"below {edges[0]:.4g}", f"beyond {edges[-1]:.4g}")
        said = [f"{count:,} {place}" for count, place in zip(outside, places, strict=True) if count]
        mean, std = result["radius_mean"][position], result["radius_std"][position]
        label = f"{array}: {number(mean)} ± {number(std)}" + "".join(f"\n({text})" for text in said)
        colour = ARRAY_COLOURS[array]
        axes.stairs(shares, edges, color=colour, linewidth=1.5, label=label)
        axes.stairs(shares, edges, color=colour, fill=True, alpha=0.15)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radius (L2 norm of a row)")
    axes.set_ylabel(f"images in a bin of {edges[1] - edges[0]:.3g} (%)")
    axes.legend(frameon=False, fontsize="small", title="mean ± std", title_fontsize="small", alignment="left")


_LEAD = (
    "Radii of z and of mu, the width of the encoder's noise, and the KL loss of each component, models side "
    "by side."
)
_READING = {
    "radius": "the length of a row. Of a standard normal in d components it is about √d, with a standard "
    "deviation of about 0.7; random z-points that lie at another radius decode to nothing known.",
    "z against mu": "where they are about equal the VAE adds no noise worth the name, and is an AE.",
    "logvar": "the natural log of the noise's variance: 0 is that of N(0, 1), −13 is no noise at all.",
    "KL": "in nat, from N(0, 1). A component with a KL near 0 holds nothing: mu is 0 and logvar is 0 for "
    "every image. The sum times fact is to be near the KL loss of the training's last epoch.",
    "(z − mu) / exp(logvar / 2)": "the noise itself; its mean square is that of the clipped normal if z was "
    "made from this mu and logvar.",
    "repeated rows": "equal to the bit, which no two different images are but by collapse.",
}


def _draw_logvar(axes: Axes, result: Result) -> None:
    if "logvar_mean" not in result:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no logvar", ha="center", va="center", color="0.4", transform=axes.transAxes)
        return
    order = np.argsort(result["logvar_mean"], kind="stable")
    ranks = np.arange(1, len(order) + 1)
    low, high = (result[f"logvar_{end}"][order] for end in ("min", "max"))
    style: dict[str, Any] = {"color": COLOURS[3]}
    axes.fill_between(ranks, low, high, alpha=0.15, linewidth=0, label="smallest to largest", **style)
    axes.plot(ranks, result["logvar_mean"][order], _line(ranks), linewidth=1.5, label="mean", **style)
    axes.axhline(0, color="0.4", linewidth=0.8, linestyle="--", label="N(0, 1)")
    _label_ranks(axes, "components by mean logvar", "logvar")
    axes.legend(framealpha=0.8, edgecolor="none", fontsize="small")


def _draw_kl(axes: Axes, result: Result) -> None:
    if "kl" not in result:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no KL", ha="center", va="center", color="0.4", transform=axes.transAxes)
        return
    kl = np.sort(result["kl"])[::-1]
    ranks = np.arange(1, len(kl) + 1)
    axes.plot(ranks, kl, _line(ranks), color=COLOURS[2], linewidth=1.5)
    scale_from_zero(axes, kl)
    _label_ranks(axes, "components, the largest KL first", "mean KL from N(0, 1), nat")
    total, effective = kl.sum(), result.attributes["effective_kl"]
    axes.set_title(
        f"{total:.4g} nat in all, shared by {effective:.1f} of {len(kl)}", fontsize="small", loc="right"
    )


_PANELS = {"logvar_mean": _draw_logvar, "kl": _draw_kl}


def _line(ranks: NDArray[np.intp]) -> str:
    return "-" if len(ranks) > 2 else "o-"


def _label_ranks(axes: Axes, ranks: str, values: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(ranks)
    axes.set_ylabel(values)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _holds(document: Mapping[str, Any], part: str) -> bool:
    for key in part.split("."):
        if key not in document:
            return False
        document = document[key]
    return True


def _images(document: dict[str, Any]) -> str:
    written, unwritten = document["images"], document["unwritten"]
    return f"{written:,}" + (f" of {written + unwritten:,}" if unwritten else "")


def _place(part: str, extreme: str) -> tuple[_Row, ...]:
    return (
        ("  at image", lambda d: _named(d[part][extreme])),
        ("  at component", lambda d: str(d[part][extreme]["component"])),
    )


def _named(place: Mapping[str, Any]) -> str:
    return image_name(place["image"], place["path"])


def _all(mapping: Mapping[str, float], show: Callable[[float], str]) -> str:
    return "\n".join(f"{name}: {show(value)}" for name, value in mapping.items())


def _of_values(document: Mapping[str, Any]) -> Callable[[float], str]:
    """Return how a count of values of an array is written, of all that good images have."""
    values = (document["images"] - document["rejected"]) * document["components"]
    return lambda count: f"{count:,} of {values:,}"


def _with_a_gap(document: Mapping[str, Any]) -> str:
    return f"{len(document['groups']['components']):,} of {document['components']:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(array: str) -> tuple[_Row, ...]:
    def radius(document: dict[str, Any]) -> dict[str, Any]:
        part: dict[str, Any] = document["radius"][array]
        return part

    return (
        ("peak (90 % interval)", lambda d: _peak(d["radius"], array)),
        ("mean ± std", lambda d: f"{number(radius(d)['mean'])} ± {number(radius(d)['std'])}"),
        ("min", lambda d: number(radius(d)["min"])),
        ("  at image", lambda d: _named(radius(d)["min_at"])),
        *_quantile_rows(radius),
        ("max", lambda d: number(radius(d)["max"])),
        ("  at image", lambda d: _named(radius(d)["max_at"])),
    )


def _peak(radius: Mapping[str, Any], array: str) -> str:
    """Return the radius of the fullest bin, and where bins end if more images may lie beyond that."""
    histogram, peak = radius["histogram"], number(radius[array]["peak"])
    overflow = histogram.get(f"{array}_overflow", histogram["overflow"])
    low, high = radius[array]["peak_interval"]
    ends = "" if low is None else f" ({number(low)} to {number(high)})"
    cut = f", bins to {histogram['edges'][-1]:g}" if overflow > max(histogram[array]) else ""
    return f"{peak}{ends}{cut}"


def _quantile_rows(radius: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[_Row]:
    """Yield a row for each quantile, with half of its 95 % interval."""

    def shown(document: dict[str, Any], share: str) -> str:
        found = radius(document)["quantiles"][share]
        low, high = found["interval"]
        return f"{number(found['value'])} ± {(high - low) / 2:.1g}"

    for share in SHARES:
        yield f"{100 * share:g} % below (± 95 %)", partial(shown, share=f"{share:g}")


def _within(document: dict[str, Any]) -> str:
    return _all(document["radius"].get("within", {}), _percent) or "–"


def _active_rows() -> Iterator[_Row]:
    """Yield a row for each threshold by which components are counted."""

    def shown(document: dict[str, Any], by: str, threshold: str) -> str:
        count = document["kl"]["active_components"][by][threshold]
        return f"{count} of {document['components']}"

    for by, what, thresholds, unit in (
        ("by_variance", "variance of mu", VARIANCES, ""),
        ("by_kl", "KL", KLS, " nat"),
    ):
        for threshold in thresholds:
            yield f"  {what} > {threshold:g}{unit}", partial(shown, by=by, threshold=f"{threshold:g}")


def _effective(document: dict[str, Any]) -> str:
    return f"{document['kl']['active_components']['effective_number']:.1f} of {document['components']}"


def _noise_variance(document: dict[str, Any]) -> str:
    noise = document["noise"]
    if not noise["values"]:
        return "too small for float32"
    error = "" if noise["variance_error"] is None else f" ± {noise['variance_error']:.1g}"
    return f"{number(noise['variance'])}{error}"


def _difference(kind: str) -> Callable[[dict[str, Any]], str]:
    return lambda d: number(d["radius"]["difference"][kind])


_SECTIONS: tuple[tuple[str, str, tuple[_Row, ...]], ...] = (
    (
        "store",
        "images",
        (
            ("images", _images),
            ("rejected", lambda d: f"{d['rejected']:,} of {d['images']:,}"),
            ("components", lambda d: f"{d['components']:,}"),
        ),
    ),
    ("radius of z", "radius.z", _points("z")),
    ("radius of mu", "radius.mu", _points("mu")),
    ("radius within", "radius.within", (("share of images", _within),)),
    (
        "radius of z against mu",
        "radius.difference",
        (
            ("max absolute", _difference("max_absolute")),
            ("mean absolute", _difference("mean_absolute")),
            ("max relative", _difference("max_relative")),
            ("mean relative", _difference("mean_relative")),
        ),
    ),
    (
        "deviation |z − mu|",
        "deviation",
        (
            ("max", lambda d: number(d["deviation"]["max"])),
            *_place("deviation", "max_at"),
            ("above", lambda d: _all(d["deviation"]["above"], _of_values(d))),
        ),
    ),
    (
        "logvar",
        "logvar",
        (
            ("max", lambda d: number(d["logvar"]["max"])),
            *_place("logvar", "max_at"),
            ("min", lambda d: number(d["logvar"]["min"])),
            *_place("logvar", "min_at"),
            ("mean", lambda d: number(d["logvar"]["mean"])),
            ("within", lambda d: _all(d["logvar"]["intervals"], _of_values(d))),
        ),
    ),
    (
        "KL from N(0, 1), unscaled",
        "kl",
        (
            ("mean of an image, nat", lambda d: number(d["kl"]["mean_unscaled"])),
            ("active components, by", lambda _: ""),
            *_active_rows(),
            ("  sharing the KL (entropy)", _effective),
        ),
    ),
    (
        "rows that repeat others, and groups",
        "duplicates",
        (
            ("repeated rows", lambda d: f"{d['duplicates']['rows']:,} of {d['duplicates']['of']:,}"),
            ("components with a gap in their values", _with_a_gap),
        ),
    ),
    (
        "(z − mu) / exp(logvar / 2)",
        "noise",
        (
            ("mean, expected 0", lambda d: number(d["noise"]["mean"])),
            ("mean square", _noise_variance),
            ("  expected", lambda d: number(d["noise"]["expected_variance"])),
        ),
    ),
)


def _histogram_text(name: str, document: Mapping[str, Any]) -> RenderableType:
    """Arrange the radii as bars over an axis, with as few bins a column as fit."""
    from rich.text import Text

    histogram = document["radius"]["histogram"]
    array = "z" if "z" in histogram else "mu"
    together = -(-len(histogram[array]) // _COLUMNS)
    counts = [sum(histogram[array][at : at + together]) for at in range(0, len(histogram[array]), together)]
    edges = [*histogram["edges"][::together], histogram["edges"][-1]]
    bars = glyphs(_BARS, " .:-=+*#@")
    top = max(counts) or 1
    columns = len(counts)
    steps = len(bars) - 1
    levels = [-(-count * steps * _LINES // top) for count in counts]
    lines = [
        "".join(bars[min(max(level - steps * line, 0), steps)] for level in levels)
        for line in reversed(range(_LINES))
    ]
    axis = ""
    for column in range(0, columns + 1, 10):
        axis = f"{axis:<{column}}{' ' if len(axis) > column else ''}{edges[column]:.4g}"
    ends = {f"below {edges[0]:.4g}": histogram["underflow"], f"beyond {edges[-1]:.4g}": histogram["overflow"]}
    note = "".join(f", {count:,} {where}" for where, count in ends.items() if count)
    return Text.assemble(
        (f"\n{name}: images by radius of {array}{note}\n", "bold cyan"),
        "\n".join(line.rstrip() for line in lines),
        (f"\n{axis}", "dim"),
    )
