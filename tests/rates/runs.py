"""`runs`: kinds that are one in distribution are not farther than seeds, and farther ones are not as near."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.runs.distances import MEASURES
from tests.analyses.runs.planted import runs_of_kinds
from tests.builders import analyse
from tests.rates.campaign import Part, Said

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from latentscan.store.results import Result

RUNS, IMAGES, COMPONENTS = 4, 120, 5
OWN = 0.3  # noise of each run
FAR = {"own": 0.6, "common": 1.2}  # noise of each run of the second kind, and of all of them
LIMIT = 0.23  # common noise with which kinds are apart by the margin of 1.25, or a little more
NEAR, FARTHER, SPREAD = "as near by {}", "farther by {}", "other spread by {}"
STATES = {  # of each measure: an end of the 90 % interval, and both
    **{NEAR.format(measure): 0.05 for measure in ("cka", "map")},
    **{FARTHER.format(measure): 0.05 for measure in MEASURES},
    **{SPREAD.format(measure): 0.1 for measure in MEASURES},
}


def _runs(folder: Path, rng: np.random.Generator, own: float = OWN, common: float = 0.0) -> Result:
    """Compare runs whose second kind has noise of its own size in each run, and common noise."""
    folder.mkdir()
    kinds = {"a": (RUNS, OWN, 0.0), "v": (RUNS, own, common)}
    seed = int(rng.integers(2**31))
    stores = runs_of_kinds(folder, kinds, images=IMAGES, components=COMPONENTS, seed=seed)
    return analyse(stores, "runs", kind=("a=a*", "v=v*"))


def _said(result: Result, words: str) -> dict[str, bool]:
    """Return what of some words is said, of the measures that it is tried of."""
    if words == SPREAD:
        said = (result["spread_low"][:, 0] > 1) | (result["spread_high"][:, 0] < 1)
    else:
        said = result["verdict"][:, 0] == ("farther" if words == FARTHER else "as near as seeds")
    named = dict(zip(map(words.format, MEASURES), said.tolist(), strict=True))
    return {name: is_said for name, is_said in named.items() if name in STATES}


def _tried(folder: Path, rng: np.random.Generator) -> Said:
    alike = _runs(folder / "alike", rng)
    limit, far = _runs(folder / "limit", rng, common=LIMIT), _runs(folder / "far", rng, **FAR)
    false = {**_said(limit, NEAR), **_said(alike, FARTHER), **_said(alike, SPREAD)}
    return Said(false, {**_said(alike, NEAR), **_said(far, FARTHER), **_said(far, SPREAD)})


PART = Part("runs", STATES, _tried)
