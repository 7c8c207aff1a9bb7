"""The ledger of the losses, as a table and as bars, the stores below one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from latentscan.report.format import finite, number, with_error
from latentscan.report.section import Section
from latentscan.report.style import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from latentscan.store.results import Result

MATCHING = 1e-5  # relative difference of losses that are the same, computed in float32
SATURATED = 0.01  # of the limit of the information

_GROUPS = {
    "Reconstruction": {
        "reconstruction": "loss of the decoded {points}",
        "reconstruction_of_z": "loss of the decoded z",
        "floor": "floor: the output is the image",
        "excess": "excess above the floor, {points}",
        "excess_of_z": "excess above the floor, z",
        "mean_image_excess": "excess of the mean image",
        "excess_share": "share of that",
    },
    "KL": {
        "kl": "KL from N(0, 1)",
        "kl_of_mu": "of it: mu²",
        "kl_of_variance": "of it: variance",
        "kl_scaled": "what it adds to the loss",
        "information": "of it: information on the image",
        "information_limit": "at most, ln(images)",
        "distance_from_prior": "of it: distance of z from N(0, I)",
    },
    "Gaussian of the cloud's z, KL from N(0, I)": {
        "gaussian_kl": "all of it",
        "gaussian_marginals": "of it: each component alone",
        "total_correlation": "of it: total correlation",
        "gaussian_floor": "what a sample of N(0, I) has",
    },
    "Probe of the training": {
        "probe_reco_logged": "reconstruction, as logged",
        "probe_reco": "reconstruction, from the store",
        "probe_kl_logged": "KL, as logged",
        "probe_kl": "KL, from the store",
    },
}
_LEAD = (
    "What the losses are made of: reconstruction above the floor that the images set, and KL as information "
    "about the image and as distance of the cloud from N(0, I)."
)
_READING = {
    "floor": "binary cross-entropy of the images with themselves: no model is below it.",
    "share": "1 for a model that knows the mean image alone, 0 for a perfect one.",
    "information": "0 if z says nothing of the image; ln(images) if it tells every image apart.",
    "distance of z": "0 if the cloud is N(0, I), as the KL loss wants it.",
}


def to_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `ledger` as a JSON document."""
    return {
        **{name: result.attributes[name] for name in ("images", "components", "loss")},
        "terms": {
            name: {"value": finite(value), "error": finite(error)}
            for name, (value, error) in _terms(result).items()
        },
        "missing": list(result.attributes["missing"]),
    }


def table(results: Mapping[str, Result]) -> RenderableType:
    """Arrange the terms of each store, nats an image, with their standard errors."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, result in results.items():
        parts.append(Text(f"{name}: {_unit(result)}", style="bold cyan"))
        terms = _terms(result)
        for title, labels in _GROUPS.items():
            held = [term for term in labels if term in terms]
            if not held:
                continue
            rows = Table(box=None, header_style="bold", pad_edge=False)
            rows.add_column(title, min_width=44)
            rows.add_column("", justify="right")
            for term in held:
                rows.add_row(_label(result, labels[term]), _written(term, *terms[term]))
            parts += [rows, Text()]
        if result.attributes["missing"]:
            parts += [Text(f"cannot be said: {'; '.join(result.attributes['missing'])}", style="dim"), Text()]
    return Group(*parts[:-1])


def section(results: Mapping[str, Result]) -> Section:
    """Return what the losses of each store are made of."""
    verdicts = [f"{name}: {line}" for name, result in results.items() for line in _said(result)]
    details = [f"{name}: {line}" for name, result in results.items() for line in _checked(result)]
    return Section("Losses", _LEAD, tuple(verdicts), tuple(details), reading=_READING)


def figure(results: Mapping[str, Result]) -> Figure:
    """Plot the excess of the reconstruction, and the KL by its two splits, a bar for each store."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    terms = {name: _terms(result) for name, result in results.items()}
    panels = [draw for draw in (_draw_excess, _draw_parts, _draw_meaning) if draw(None, terms)]
    panels = panels or [_draw_prior]
    drawing = Figure(
        figsize=(4.2 * len(panels) + 1.2, 2.0 + 0.55 * len(results)),
        layout=ConstrainedLayoutEngine(w_pad=0.12),
    )
    for draw, axes in zip(panels, drawing.subplots(1, len(panels), squeeze=False)[0], strict=True):
        draw(axes, terms)
        axes.invert_yaxis()
        axes.set_yticks(range(len(terms)), list(terms) if axes is drawing.axes[0] else [""] * len(terms))
        axes.set_ylim(len(terms) - 0.4, -0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
    return drawing


def _terms(result: Result) -> dict[str, tuple[float, float]]:
    pairs = zip(result["value"].tolist(), result["error"].tolist(), strict=True)
    return dict(zip(result["term"].tolist(), pairs, strict=True))


def _unit(result: Result) -> str:
    kind = result.attributes["loss"]
    of = "binary cross-entropy" if kind == "bce" else "squared error"
    return f"losses an image, nats; reconstruction: {of}"


def _label(result: Result, label: str) -> str:
    return label.format(points="mu" if "kl" in _terms(result) else "z")


def _written(term: str, value: float, error: float) -> str:
    if term == "excess_share":
        return f"{100 * value:.1f} %" + ("" if math.isnan(error) else f" ± {100 * error:.1f}")
    if term.startswith("probe"):
        return f"{value:,.6g}"
    return with_error(value, error) if error else number(value)


def _said(result: Result) -> list[str]:
    terms, lines = _terms(result), []
    if "excess" in terms:
        share = _written("excess_share", *terms["excess_share"])
        lines.append(
            f"reconstruction is {with_error(*terms['excess'])} above the floor of the images "
            f"({number(terms['floor'][0])}), {share} of what their mean image is."
        )
    if "information" in terms:
        known, limit = terms["information"], terms["information_limit"][0]
        full = known[0] > (1 - SATURATED) * limit
        of = (
            "the most that so many images allow: they are all told apart, and among more it would be more"
            if full
            else f"of at most {limit:.1f}"
        )
        lines.append(
            f"KL of {with_error(*terms['kl'])} nats is {with_error(*known)} of information about the image "
            f"({of}) and {with_error(*terms['distance_from_prior'])} of distance from N(0, I)."
        )
    elif "gaussian_kl" in terms:
        lines.append(
            f"z is at least {number(terms['gaussian_kl'][0])} nats away from N(0, I) "
            f"(chance: {number(terms['gaussian_floor'][0])})."
        )
    return lines


def _checked(result: Result) -> list[str]:
    """Say whether the store has the losses that the training logged."""
    terms = _terms(result)
    lines = []
    for name, what in (("probe_reco", "reconstruction"), ("probe_kl", "KL")):
        if name in terms and f"{name}_logged" in terms:
            found, logged = terms[name][0], terms[f"{name}_logged"][0]
            apart = abs(found - logged) / max(abs(logged), 1e-12)
            lines.append(
                f"{what} of the training's probe: logged {logged:,.6g}, from the store {found:,.6g}: "
                + (
                    f"the same to {apart:.0e}."
                    if apart <= MATCHING
                    else "they differ; the store is of other weights, images or preprocessing."
                )
            )
    return lines


def _draw_excess(axes: Axes | None, terms: Mapping[str, Any]) -> bool:
    """Draw how far reconstructions are above the floor; return whether there is anything to draw."""
    if axes is not None:
        axes.set_xlabel("reconstruction above the images' floor, nats")
        for at, found in enumerate(terms.values()):
            if "excess" in found:
                value, error = found["excess"]
                axes.barh(at, value, 0.5, color=COLOURS[0], xerr=error, ecolor="0.2")
                text = f"  {_written('excess_share', found['excess_share'][0], math.nan)} of the mean image's"
                axes.text(value, at + 0.36, text, va="center", ha="right", fontsize="x-small")
    return any("excess" in found for found in terms.values())


def _draw_parts(axes: Axes | None, terms: Mapping[str, Any]) -> bool:
    if axes is not None:
        axes.set_xlabel("KL from N(0, 1), nats: mu² and variance")
        _stack(axes, terms, ("kl_of_mu", "kl_of_variance"), ("mu²", "variance"), COLOURS[1:3])
    return any("kl" in found for found in terms.values())


def _draw_meaning(axes: Axes | None, terms: Mapping[str, Any]) -> bool:
    if axes is not None:
        axes.set_xlabel("the same KL: information and distance, nats")
        labels = ("information on the image", "distance of z from N(0, I)")
        _stack(axes, terms, ("information", "distance_from_prior"), labels, (COLOURS[4], COLOURS[5]))
    return any("information" in found for found in terms.values())


def _draw_prior(axes: Axes | None, terms: Mapping[str, Any]) -> bool:
    if axes is not None:
        axes.set_xlabel("KL of the cloud's Gaussian from N(0, I), nats")
        names = ("gaussian_marginals", "total_correlation")
        _stack(axes, terms, names, ("components alone", "total correlation"), COLOURS[1:3])
    return True


def _stack(
    axes: Axes,
    terms: Mapping[str, Any],
    names: Sequence[str],
    labels: Sequence[str],
    colours: Sequence[str],
) -> None:
    for at, found in enumerate(terms.values()):
        left = 0.0
        for name, colour in zip(names, colours, strict=True):
            value = found.get(name, (math.nan, math.nan))[0]
            if math.isfinite(value):
                axes.barh(at, value, 0.5, left=left, color=colour)
                left += value
        text = f"  {number(left)}" if left else "" if "kl" in found else "  no KL"
        axes.text(left, at, text, va="center", fontsize="small")
    axes.margins(x=0.15)
    for label, colour in zip(labels, colours, strict=True):
        axes.barh(0, 0, color=colour, label=label)
    axes.legend(frameon=False, fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
