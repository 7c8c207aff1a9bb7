"""The shape of a cloud beside Gaussian twins: on a terminal, as a figure, and as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.report.format import finite, finite_list, own_attributes, with_error
from latentscan.report.section import Section
from latentscan.report.style import series_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.store.results import Result

TITLES = {
    "tails": "tails (kurtosis)",
    "axis": "worst axis (σ off)",
    "neighbours": "own neighbours",
    "dimension": "dimension / Gaussian",
}
SMALL = {  # differences that hardly matter, whatever the number of images
    "tails": 0.05,
    "axis": 0.02,
    "neighbours": 0.01,
    "dimension": 0.05,
}
NEAR = 0.05  # shares of a core that differ by less are not worth a sentence
FEW = 0.5  # of a Gaussian's dimensions, from which on down they are filaments, sheets or groups
GREY = "0.55"

_LEAD = "Whether the cloud is one Gaussian ellipsoid, or has heavy tails, clusters or filaments."
_READING = {
    "tails": "Mardia's kurtosis over that of a Gaussian: 1 for one, more for images far out.",
    "worst axis": "the largest Wasserstein-1 distance from a Gaussian along a principal axis.",
    "own neighbours": "images and a Gaussian twin are joined: the share of the nearest that is of the same "
    "set, about 0.5 if they are alike, and more where the cloud is lumpy.",
    "dimension": "the intrinsic dimension over that of the twins, at the scale where it is lowest.",
    "core": "the share of a Gaussian core, by a robust fit; clusters lower it too, and two of them hide.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange the effects beside those of the twins, the dimensions, the core and the axes."""
    effects = result["effect"].tolist()
    return {
        **own_attributes(result),
        "noticed": noticed(result),
        "effects": {effect: _effect_json(result, at) for at, effect in enumerate(effects)},
        "dimension": {
            "scale": result["scale"].tolist(),
            "value": finite_list(result["dimension"]),
            "error": finite_list(result["dimension_error"]),
            "gaussian": finite_list(_mean(result["gaussian_dimension"])),
            "gaussian_std": finite_list(result["gaussian_dimension"].std(axis=1, ddof=1)),
            "matched": finite_list(_mean(result["matched_dimension"])),
        },
        "core": {
            "cut": result["cut"].tolist(),
            "share": finite_list(result["core_share"]),
            "error": finite_list(result["core_error"]),
            "gaussian": finite_list(_mean(result["gaussian_core_share"])),
            "gaussian_std": finite_list(result["gaussian_core_share"].std(axis=1, ddof=1)),
        },
        "axis_distance": finite_list(result["axis_distance"]),
    }


def _effect_json(result: Result, at: int) -> dict[str, Any]:
    found = {"value": finite(result["found"][at]), "error": finite(result["error"][at])}
    for name, outside in (("gaussian", "outside"), ("matched", "outside_matched")):
        found[name] = {  # type: ignore[assignment]
            "mean": finite(result[name][at].mean()),
            "interval": [finite(result[f"{name}_{end}"][at]) for end in ("low", "high")],
            "outside": bool(result[outside][at]),
        }
    return found


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values.mean(axis=1))


def noticed(result: Result) -> list[str]:
    """Return what the four effects allow to say, then the share of a core, and repeats, a sentence each."""
    return [_said(result), *_said_of_core(result), *_said_of_repeats(result)]


def _said(result: Result) -> str:
    if not result.attributes["axes"]:
        return "All points are equal, so they have no shape."
    effects = result["effect"].tolist()
    outside = [effect for effect, is_so in zip(effects, result["outside"].tolist(), strict=True) if is_so]
    if not outside:
        return "One Gaussian ellipsoid as far as tails, axes, neighbours and dimension show."
    by_tails = []
    if "tails" in outside:
        beyond = dict(zip(effects, result["outside_matched"].tolist(), strict=True))
        by_tails = [effect for effect in outside if effect != "tails" and not beyond[effect]]
    named = [effect for effect in outside if effect not in by_tails]
    large = [effect for effect in named if abs(_difference(result, effect)) >= SMALL[effect]]
    words = [_words(result, effect) for effect in large or named]
    said = f"{'Not one' if large else 'Nearly one'} Gaussian ellipsoid: {', '.join(words)}"
    if by_tails:
        said += f"; what is found by {_listed([_SHORT[effect] for effect in by_tails])}, such tails explain"
    return f"{said}."


_SHORT = {"axis": "the worst axis", "neighbours": "own neighbours", "dimension": "the dimension"}


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _at(result: Result, effect: str) -> int:
    return int(result["effect"].tolist().index(effect))


def _difference(result: Result, effect: str) -> float:
    at = _at(result, effect)
    return float(result["found"][at] - result["gaussian"][at].mean())


def _words(result: Result, effect: str) -> str:
    """Return what an effect that lies outside is called, with its value and a Gaussian's."""
    at = _at(result, effect)
    value, gaussian = result["found"][at], result["gaussian"][at].mean()
    number = with_error(value, result["error"][at])
    if effect == "tails":
        kind = "heavy" if value > gaussian else "light"
        return f"{kind} tails (kurtosis {number} times a Gaussian's)"
    if effect == "axis":
        axis = result.attributes["worst_axis"]
        return f"a direction that is not Gaussian (axis {axis}: {number} σ off, a Gaussian {gaussian:.3f})"
    if effect == "neighbours":
        return (
            f"clusters or other structure between images (own neighbours {number}, a Gaussian {gaussian:.3f})"
        )
    scale = result.attributes["lowest_scale"]
    own = with_error(result["dimension"][scale], result["dimension_error"][scale])
    beside = result["gaussian_dimension"][scale].mean()
    kind = "filaments, sheets or tight groups" if value <= FEW else "fewer dimensions"
    near = "" if scale else ", of the two nearest images, which near-duplicates lower"
    return f"{kind} (dimension {own} where a Gaussian has {beside:.2f}{near})"


def _said_of_repeats(result: Result) -> list[str]:
    left_out, measured = result.attributes["repeats"], result.attributes["sampled"]
    if not left_out:
        return []
    are = "1 image repeats" if left_out == 1 else f"{left_out:,} images repeat"
    return [f"{are} another one, nearly or to the bit, of {left_out + measured:,}: left out of the shape."]


def _said_of_core(result: Result) -> list[str]:
    shares, gaussian = result["core_share"], _mean(result["gaussian_core_share"])
    if not np.isfinite(shares).all():
        return []
    spread = 5 * result["gaussian_core_share"].std(axis=1, ddof=1)
    if (np.abs(shares - gaussian) <= np.maximum(spread, NEAR)).all():
        return []
    caution = (
        "; clusters lower it too, and need no core" if result["outside"][_at(result, "neighbours")] else ""
    )
    cuts = _listed([f"{100 * cut:.0f}" for cut in result["cut"]])
    own, beside = (_listed([f"{share:.2f}" for share in values]) for values in (shares, gaussian))
    return [
        f"A Gaussian core would hold a share of {own} of the images, by those inside its {cuts} % ellipsoids "
        f"(of Gaussian twins {beside}){caution}."
    ]


def section(results: Mapping[str, Result]) -> Section:
    """Return what the four effects allow to say of each cloud."""
    verdicts = tuple(f"{name}: {_named(result, _said(result))}" for name, result in results.items())
    details = tuple(
        f"{name}: {sentence}" for name, result in results.items() for sentence in _said_of_core(result)
    )
    return Section("The shape of the cloud", _LEAD, verdicts, details, reading=_READING)


def _named(result: Result, sentence: str) -> str:
    return (
        f"{result.attributes['array']} is {sentence[0].lower()}{sentence[1:]}"
        if (result.attributes["axes"])
        else sentence
    )


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the effects of each store beside the twins', then dimensions by scale, and the core."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        attributes = result.attributes
        head = (
            f"{name}: {attributes['array']}, {attributes['sampled']:,} of {attributes['images']:,} images, "
            f"beside {attributes['twins']} Gaussian twins"
        )
        parts += [Text(head, style="bold cyan"), *map(Text, noticed(result)), Text()]
        parts += [_effect_table(result), Text(), _scale_table(result), Text(), _core_table(result), Text()]
    legend = (
        "Gaussian: what a Gaussian cloud of this covariance would be within, all four with a probability of "
        "95 %. Same tails: beside twins that also have the Mahalanobis distances of the images; what is "
        "outside of both is more than tails. ±: standard error over the images. Scale n: from the "
        "distances to the n-th and the 2 n-th nearest. Core: the share of the images where a share of a "
        "Gaussian would be, by a robust fit, over that share; clusters lower it too, and two of them hide."
    )
    return Group(*parts, Text(legend, style="dim"))


def _plain_table(*titles: str) -> Table:
    from rich.table import Table

    plain = Table(box=None, header_style="bold", pad_edge=False)
    for at, title in enumerate(titles):
        plain.add_column(title, justify="right" if at else "left", overflow="fold")
    return plain


def _effect_table(result: Result) -> Table:
    plain = _plain_table("effect", "found", "Gaussian", "same tails", "")
    for at, effect in enumerate(result["effect"].tolist()):
        plain.add_row(
            TITLES[effect],
            with_error(finite(result["found"][at]), finite(result["error"][at])),
            *(_interval(result, name, at) for name in ("gaussian", "matched")),
            _place(result, at),
        )
    return plain


def _place(result: Result, at: int) -> str:
    if not result["outside"][at]:
        return "within" if np.isfinite(result["found"][at]) else ""
    return "outside" if result["outside_matched"][at] or not at else "by tails"


def _interval(result: Result, name: str, at: int) -> str:
    low, high = (finite(result[f"{name}_{end}"][at]) for end in ("low", "high"))
    if low is None and high is None:
        return "–"
    if low is None:
        return f"below {high:.3f}"
    return f"above {low:.3f}" if high is None else f"{low:.3f} .. {high:.3f}"


def _scale_table(result: Result) -> Table:
    plain = _plain_table("dimension at scale", *map(str, result["scale"].tolist()))
    rows = {
        "images": result["dimension"],
        "±": result["dimension_error"],
        "Gaussian": _mean(result["gaussian_dimension"]),
        "same tails": _mean(result["matched_dimension"]),
    }
    for name, values in rows.items():
        plain.add_row(name, *(f"{value:.2f}" if np.isfinite(value) else "–" for value in values))
    return plain


def _core_table(result: Result) -> Table:
    plain = _plain_table("core within", *(f"{100 * cut:.0f} %" for cut in result["cut"]))
    spread = result["gaussian_core_share"].std(axis=1, ddof=1)
    for name, values, errors in (
        ("images", result["core_share"], result["core_error"]),
        ("Gaussian (± std)", _mean(result["gaussian_core_share"]), spread),
    ):
        plain.add_row(
            name,
            *(
                f"{value:.2f} ± {error:.2f}" if np.isfinite(value) else "–"
                for value, error in zip(values, errors, strict=True)
            ),
        )
    return plain


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot of each store the four effects beside the twins', and dimensions, core and axes.

    Effects are in widths of the interval of a Gaussian cloud about the mean of the twins.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0, 6.4 * len(results)), layout="constrained")
    rows = drawing.subfigures(len(results), 1, squeeze=False)[:, 0]
    for (name, result), colour, row in zip(results.items(), series_colours(), rows, strict=False):
        panels = row.subplots(2, 2)
        draws = (_draw_effects, _draw_dimensions, _draw_core, _draw_axes)
        for axes, draw in zip(panels.flat, draws, strict=True):
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes, result, colour)
        row.suptitle(f"{name}, {result.attributes['array']}: {_said(result)}", fontsize="medium", wrap=True)
    return drawing


def _draw_effects(axes: Axes, result: Result, colour: str) -> None:
    effects = result["effect"].tolist()
    middle = _mean(result["gaussian"])
    ends = np.stack([result["gaussian_low"], result["gaussian_high"]])
    widths = np.nanmin(np.where(np.isfinite(ends), np.abs(ends - middle), np.inf), axis=0)
    widths = np.where(np.isfinite(widths) & (widths > 0), widths, 1.0)
    lines = np.arange(len(effects))
    twins = (result["gaussian"] - middle[:, np.newaxis]) / widths[:, np.newaxis]
    axes.axvspan(-1, 1, color="0.92")
    axes.plot(twins.T, np.broadcast_to(lines, twins.T.shape), ".", color=GREY, markersize=4)
    found, bars = (result["found"] - middle) / widths, 2 * result["error"] / widths
    axes.errorbar(found, lines, xerr=np.nan_to_num(bars), fmt="o", color=colour, capsize=3, markersize=6)
    for at in lines.tolist():
        if np.isfinite(found[at]):
            text = f"{result['found'][at]:.3g}, Gaussian {middle[at]:.3g}"
            axes.annotate(
                text,
                (0.99, at),
                xycoords=("axes fraction", "data"),
                xytext=(0, 9),
                textcoords="offset points",
                ha="right",
                fontsize="small",
                color="0.3",
            )
    axes.set_xscale("symlog", linthresh=2)
    reach = np.nanmax([*np.abs(found), 2.0]) * 1.6
    axes.set_xlim(-reach if np.nanmin([*found, 0.0]) < -2 else -3, reach)
    axes.set_yticks(lines, [TITLES[effect] for effect in effects])
    axes.set_ylim(len(effects) - 0.5, -0.8)
    axes.set_xlabel("distance from the twins (grey), in their intervals")


def _draw_dimensions(axes: Axes, result: Result, colour: str) -> None:
    scale = result["scale"]
    axes.errorbar(
        scale,
        result["dimension"],
        yerr=2 * np.nan_to_num(result["dimension_error"]),
        color=colour,
        marker="o",
        capsize=2,
        label="images, two standard errors",
    )
    for name, label, style in (
        ("gaussian", "Gaussian twins", "-"),
        ("matched", "twins of the same tails", ":"),
    ):
        values = result[f"{name}_dimension"]
        axes.plot(scale, _mean(values), linestyle=style, color=GREY, label=label)
        if name == "gaussian":
            axes.fill_between(
                scale, values.min(axis=1), values.max(axis=1), color=GREY, alpha=0.3, linewidth=0
            )
    axes.set_xscale("log", base=2)
    axes.set_xlim(scale[0] / 1.2, scale[-1] * 1.2)
    axes.set_xticks(scale, [str(one) for one in scale.tolist()])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("scale n: the n-th and 2 n-th nearest")
    axes.set_ylabel("intrinsic dimension")
    axes.legend(frameon=False, fontsize="small")


def _draw_core(axes: Axes, result: Result, colour: str) -> None:
    cuts, values = 100 * result["cut"], result["gaussian_core_share"]
    axes.errorbar(
        cuts,
        result["core_share"],
        yerr=2 * np.nan_to_num(result["core_error"]),
        color=colour,
        marker="o",
        capsize=2,
        label="images",
    )
    axes.plot(cuts, _mean(values), color=GREY, label="Gaussian twins")
    axes.fill_between(cuts, values.min(axis=1), values.max(axis=1), color=GREY, alpha=0.3, linewidth=0)
    axes.set_xticks(cuts, [f"{cut:.0f}" for cut in cuts])
    axes.set_ylim(0, max(1.1, 1.05 * np.nanmax([*result["core_share"], 0.0])))
    axes.set_xlabel("within where so many % of a Gaussian core are")
    axes.set_ylabel("share of the images / of the core")
    if not np.isfinite(result["core_share"]).any():
        axes.text(0.5, 0.5, "too few images for a core", transform=axes.transAxes, ha="center", color="0.4")
    axes.legend(frameon=False, fontsize="small", loc="lower left")


def _draw_axes(axes: Axes, result: Result, colour: str) -> None:
    number = np.arange(len(result["axis_distance"]))
    axes.plot(number, result["axis_distance"], ".", color=colour, label="images")
    axes.plot(number, result["gaussian_axis_distance"], "_", color=GREY, label="largest of the twins")
    if len(number):
        worst = result.attributes["worst_axis"]
        axes.annotate(
            f"axis {worst}",
            (worst, result["axis_distance"][worst]),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize="small",
        )
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("principal axis, the widest first")
    axes.set_ylabel("distance from a Gaussian (σ)")
    axes.legend(frameon=False, fontsize="small")
