"""The answers of the study, each from stored numbers and no stronger than their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.models.history import divergence, reconstruction
from latentscan.models.run_folder import RunFolder
from latentscan.report.study import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from latentscan.report.study import Grid
    from latentscan.store.results import Result
    from latentscan.study.grid import Run
    from latentscan.study.layout import Found, Layout

APART = 2.0  # times as far from its kind as the others are: a run in another minimum
AS_NEAR, FARTHER = "as near as seeds", "farther"
_BY = {
    "cka": "CKA",
    "map": "linear maps",
    "neighbours": "neighbours",
    "spectrum": "spectrum",
    "radius": "radii",
}
_RANDOM = ("normal_precision", "normal_coverage", "fitted_precision", "fitted_coverage")
QUESTIONS = (  # which kinds, and what their comparison answers
    ("ae", "tiny", "Is a VAE with a tiny KL loss another model than an AE?"),
    ("tiny", "fact5", "Does a KL loss times 5 change the latent space?"),
    ("ae", "ae-bn", "Does batch normalization change that of an AE?"),
    ("tiny", "tiny-bn", "Does batch normalization change that of a VAE with a tiny KL loss?"),
)


def answers(layout: Layout, runs: Sequence[Run], found: Found, grid: Grid) -> list[str]:
    """Return what the study found, a sentence each.

    Parameters
    ----------
    layout
        Where the runs are.
    runs
        The runs of the study.
    found
        What their analyses found.
    grid
        The figures of every run.
    """
    result = found.of_grid["runs"]
    lines = [line for one in QUESTIONS for line in _compared(result, *one)]
    lines += _what_it_cost(grid)
    lines += _random_points(grid)
    lines += _fragments(found)
    lines += _other_minima(result)
    lines.append(_jumps(layout, runs))
    return lines


def _compared(result: Result, first: str, second: str, question: str) -> Iterator[str]:
    """Answer whether two kinds differ, by the verdicts of all distances."""
    pairs = zip(result["first_kind"].tolist(), result["second_kind"].tolist(), strict=True)
    for at, pair in enumerate(pairs):
        if set(pair) != {first, second}:
            continue
        by_verdict: dict[str, list[str]] = {}
        for row, measure in enumerate(result["measure"].tolist()):
            ratio, low, high = (float(result[f"ratio{end}"][row, at]) for end in ("", "_low", "_high"))
            said = f"{_BY.get(measure, measure)} {ratio:.2f} [{low:.2f}, {high:.2f}]"
            by_verdict.setdefault(str(result["verdict"][row, at]), []).append(said)
        near, far = AS_NEAR in by_verdict, FARTHER in by_verdict
        short = _short(near=near, far=far, every=len(by_verdict) == 1)
        parts = [f"{verdict} by {', '.join(said)}" for verdict, said in by_verdict.items()]
        yield (
            f"{question} {short.capitalize()}: distances between the kinds, over those between seeds, are "
            f"{'; '.join(parts)}."
        )


def _short(*, near: bool, far: bool, every: bool) -> str:
    """Say no more than all distances together allow; one that is farther is enough for another model.

    Examples
    --------
    >>> _short(near=True, far=False, every=False), _short(near=True, far=False, every=True)
    ('not by some distances, undecided by others', 'no')
    """
    if near and far:
        return "by some distances"
    if far:
        return "yes"
    if near:
        return "no" if every else "not by some distances, undecided by others"
    return "undecided"


def _what_it_cost(grid: Grid) -> Iterator[str]:
    values = {measure.name: dict(zip(grid.kinds, measure.values, strict=True)) for measure in grid.measures}
    held = [name for name in ("active", "kl", "excess") if {"tiny", "fact5"} <= values.get(name, {}).keys()]
    if len(held) == 3 and all(values[name]["fact5"] for name in held):
        tiny, large = ({name: written(values[name][kind]) for name in held} for kind in ("tiny", "fact5"))
        yield (
            f"What did a KL loss times 5 do? It leaves {large['active']} components active, where times 1e-5 "
            f"leaves {tiny['active']}; brings the KL from {tiny['kl']} to {large['kl']} nats; and puts the "
            f"reconstruction {large['excess']} above its floor, not {tiny['excess']}."
        )


def _random_points(grid: Grid) -> Iterator[str]:
    """Say of each kind how many random points look real, and how many real images they reach."""
    values = {measure.name: measure.values for measure in grid.measures}
    said = []
    for words, *found in zip(grid.words, *(values.get(name, ()) for name in _RANDOM), strict=False):
        if all(found):
            of_normal, by_normal, of_fitted, by_fitted = map(written, found)
            said.append(
                f"{words}: {of_normal} and {by_normal} of N(0, 1), {of_fitted} and {by_fitted} of a Gaussian "
                "with the covariance of z"
            )
    if said:
        yield (
            "Which random points decode? Images among the real ones, and real images that they reach, in "
            f"percent: {'; '.join(said)}."
        )


def _fragments(found: Found) -> Iterator[str]:
    """Count the runs by what lines between their points say."""
    verdicts: dict[str, list[str]] = {}
    for name, results in found.of_run.items():
        if (verdict := results["randoms"].attributes.get("fragments_verdict")) is not None:
            verdicts.setdefault(str(verdict), []).append(name)
    if not verdicts:
        return
    runs, none = sum(map(len, verdicts.values())), len(verdicts.pop("none", ()))
    named = [f"{verdict} in {', '.join(names)}" for verdict, names in sorted(verdicts.items())]
    parts = [*named, f"none in {none} of {runs} runs"]
    yield f"Does the latent space fall into fragments? By lines between real points: {'; '.join(parts)}."


def _other_minima(result: Result) -> Iterator[str]:
    """Name runs that are much farther from their own kind than its others are from one another."""
    names, kinds = result["store"].tolist(), result["kind"].tolist()
    row = result["measure"].tolist().index("cka")
    between = {
        frozenset((first, second)): float(distance)
        for first, second, distance in zip(
            result["first"].tolist(), result["second"].tolist(), result["distance"][row], strict=True
        )
    }
    apart = []
    for kind in dict.fromkeys(kinds):
        members = [name for name, own in zip(names, kinds, strict=True) if own == kind]
        if len(members) < 4:
            continue
        mean = {
            one: float(np.mean([between[frozenset((one, other))] for other in members if other != one]))
            for one in members
        }
        usual = float(np.median(list(mean.values())))
        apart += [f"{one} ({mean[one] / usual:.1f} times)" for one in members if mean[one] > APART * usual]
    yield (
        f"Runs that ended elsewhere, more than {APART:g} times as far from their kind by CKA as others are: "
        f"{', '.join(apart) or 'none'}."
    )


def _jumps(layout: Layout, runs: Sequence[Run]) -> str:
    jumped = []
    for run in runs:
        history = RunFolder(layout.run(run)).finished()
        curves = [curve for curve in (reconstruction(history), divergence(history)) if curve is not None]
        epochs = sorted({epoch for curve in curves for epoch, _ in curve.jumps})
        jumped += [f"{run.name} in epoch {epoch}" for epoch in epochs]
    return f"Jumps of a loss in {len(runs)} trainings: {', '.join(jumped) or 'none'}."
