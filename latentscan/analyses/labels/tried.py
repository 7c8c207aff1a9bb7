"""How well directions, and single components, tell attributes on images that they were not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.auc import auc, correlation
from latentscan.kernels.contingency import holm
from latentscan.store.results import Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.labels.known import Known
    from latentscan.analyses.labels.passes import Scores
    from latentscan.kernels.auc import Interval
    from latentscan.kernels.directions import SharedMoments

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tried:
    """The attributes that have images enough, and how well they are predicted.

    Parameters
    ----------
    suited
        Which attributes.
    names, measures
        What they are.
    known, having
        Images held out whose attribute is known, and that have it; −1 for a continuous one.
    skill, component
        Of the direction, and of the component.
    left_out
        The other attributes, each with the reason.
    """

    suited: list[int]
    names: list[str]
    measures: list[str]
    known: list[int]
    having: list[int]
    skill: list[Interval]
    component: list[Interval]
    left_out: list[str]

    @classmethod
    def of(cls, known: tuple[Known, ...], fitted: SharedMoments, scores: Scores, fewest: int) -> Tried:
        """Try all attributes that `fewest` images have, and lack, of those fitted on and those held out."""
        made, best, values = (np.concatenate(part) for part in (scores.scores, scores.best, scores.values))
        found = cls([], [], [], [], [], [], [], [])
        for at, one in enumerate(known):
            held = ~np.isnan(values[:, at])
            own, score, component = values[held, at], made[held, at], best[held, at]
            is_binary = one.measure == "binary"
            having = int(own.sum()) if is_binary else -1
            reason = _too_few(one, fitted, at, own, fewest)
            if reason:
                found.left_out.append(f"{one.name}: {reason}")
                continue
            found.suited.append(at)
            found.names.append(one.name)
            found.measures.append(one.measure)
            found.known.append(len(own))
            found.having.append(having)
            found.skill.append(auc(score, own > 0) if is_binary else correlation(score, own))
            found.component.append(auc(component, own > 0) if is_binary else correlation(component, own))
        return found

    def variables(self) -> dict[str, Variable]:
        """Return them as variables of a result."""
        skill, component = (
            np.array(part, np.float64).reshape(-1, 4) for part in (self.skill, self.component)
        )
        dims, ends = ("attribute",), ("attribute", "end")
        return {
            "attribute": Variable(dims, np.array(self.names, object)),
            "measure": Variable(dims, np.array(self.measures, object)),
            "known": Variable(dims, np.array(self.known, np.int64)),
            "having": Variable(dims, np.array(self.having, np.int64)),
            "skill": Variable(dims, skill[:, 0].copy()),
            "skill_interval": Variable(ends, skill[:, 1:3].copy()),
            "p": Variable(dims, skill[:, 3].copy()),
            "p_holm": Variable(dims, holm(skill[:, 3])),
            "component_skill": Variable(dims, component[:, 0].copy()),
            "component_interval": Variable(ends, component[:, 1:3].copy()),
        }


def _too_few(one: Known, fitted: SharedMoments, at: int, own: Floats, fewest: int) -> str:
    """Return why an attribute cannot be tried; nothing where it can."""
    count = round(float(fitted.count[at]))
    if one.measure == "continuous":
        if min(count, len(own)) < fewest:
            return f"known of {count:,} images fitted on and of {len(own):,} held out"
        return "the same in all images" if fitted.square[at] == 0 or np.ptp(own) == 0 else ""
    for images, having, where in (
        (count, round(float(fitted.value[at]) * count), "fitted on"),
        (len(own), int(own.sum()), "held out"),
    ):
        if having < fewest:
            return f"{having:,} of {images:,} images {where} have it"
        if images - having < fewest:
            return f"{images - having:,} of {images:,} images {where} lack it"
    return ""
