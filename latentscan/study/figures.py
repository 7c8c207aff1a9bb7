"""What is measured of every run of the study: figures of its results, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.randoms.generators import FITTED, NORMAL
from latentscan.report.study import Grid, Measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.store.results import Result
    from latentscan.study.grid import Kind, Run
    from latentscan.study.layout import Found

    Results = Mapping[str, Result]

ACTIVE = 0.01  # variance of mu above which a component is active
Figure = Callable[["Results"], float]


def grid_of(kinds: Sequence[Kind], runs: Sequence[Run], found: Found) -> Grid:
    """Return the figures of every run by kind.

    Parameters
    ----------
    kinds, runs
        Those of the study.
    found
        What the analyses of the runs found.
    """
    by_kind = [[run for run in runs if run.kind is kind] for kind in kinds]
    measures = [
        Measure(name, title, tuple(_values(of, found, members) for members in by_kind))
        for name, (title, of) in FIGURES.items()
    ]
    return Grid(
        tuple(kind.name for kind in kinds),
        tuple(kind.words for kind in kinds),
        tuple(measure for measure in measures if any(measure.values)),
    )


def _values(of: Figure, found: Found, runs: Sequence[Run]) -> tuple[float, ...]:
    values = []
    for run in runs:
        try:
            value = float(of(found.of_run[run.name]))
        except KeyError:  # the kind has no such figure
            continue
        if np.isfinite(value):
            values.append(value)
    return tuple(values)


def _term(name: str, scale: float = 1.0) -> Figure:
    def of(results: Results) -> float:
        ledger = results["ledger"]
        terms = dict(zip(ledger["term"].tolist(), ledger["value"].tolist(), strict=True))
        return scale * float(terms[name])

    return of


def _active(results: Results) -> float:
    return float((results["collapse"]["variance"] > ACTIVE).sum())


def _radius(results: Results) -> float:
    stats = results["stats"]
    at = stats["array"].tolist().index(stats.attributes["points"])
    return float(stats["radius_mean"][at])


def _of_generator(generator: str, figure: str) -> Figure:
    def of(results: Results) -> float:
        randoms = results["randoms"]
        return 100 * float(randoms[figure][randoms["generator"].tolist().index(generator)])

    return of


def _fragments(results: Results) -> float:
    return 100 * float(results["randoms"].attributes["fragments"][0])


def _skill(results: Results) -> float:
    labels = results["labels"]
    tried = labels["skill"][labels["measure"] == "binary"]
    return float(tried.mean()) if len(tried) else float("nan")


def _effect(name: str) -> Figure:
    def of(results: Results) -> float:
        shape = results["shape"]
        return float(shape["found"][shape["effect"].tolist().index(name)])

    return of


FIGURES: dict[str, tuple[str, Figure]] = {
    "excess": ("reconstruction above the floor, nats", _term("excess")),
    "excess_share": ("of what the mean image has, %", _term("excess_share", 100)),
    "kl": ("KL, nats an image", _term("kl")),
    "information": ("of it information, nats", _term("information")),
    "distance_from_prior": ("of it distance from N(0, I), nats", _term("distance_from_prior")),
    "active": (f"components of variance > {ACTIVE:g}", _active),
    "radius": ("mean radius", _radius),
    "participation_ratio": (
        "participation ratio",
        lambda results: float(results["pca"].attributes["participation_ratio"]),
    ),
    "tails": ("tails, of those of a Gaussian", _effect("tails")),
    "normal_precision": ("images of N(0, 1) among real ones, %", _of_generator(NORMAL, "precision")),
    "normal_coverage": ("real images reached by N(0, 1), %", _of_generator(NORMAL, "coverage")),
    "fitted_precision": ("images of the full covariance, %", _of_generator(FITTED, "precision")),
    "fitted_coverage": ("real images reached by it, %", _of_generator(FITTED, "coverage")),
    "fragments": ("points between real ones not brought back, %", _fragments),
    "skill": ("AUC of attributes, mean", _skill),
}
