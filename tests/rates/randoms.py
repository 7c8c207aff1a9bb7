"""`randoms`: generators of one distribution reach as many, and intervals hold what they have on average."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from latentscan.analyses.randoms import randoms
from latentscan.analyses.randoms.generators import CEILING
from latentscan.report.randoms import to_json
from latentscan.store.results import Result
from tests.analyses.decoders import identity_decoder
from tests.builders import build_store
from tests.rates.campaign import Part, apart, shared_folder

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

SIDE, COMPONENTS = 2, 12
IMAGES, POINTS, NEAREST = 240, 120, 5
ALIKE = ("N(0, 1)", "diagonal covariance", "full covariance")  # of an image cloud that is N(0, I)
FEWER = "one of three alike reaches fewer"
COVERAGE, DENSITY = "the coverage is outside", "the density is outside"


@cache
def _decoder() -> Path:
    return identity_decoder(shared_folder(), SIDE)


def _randoms_of(folder: Path, z: NDArray[np.float64], seed: int) -> Result:
    store = build_store(folder / "z.zarr", arrays={"z": z}, chunk_rows=IMAGES)
    found = randoms(
        store, _decoder(), points=POINTS, nearest=NEAREST, uniform=(4.0,), seed=seed, progress=False
    )
    return Result.from_dataset(found)


def _may_reach_as_many(result: Result, name: str) -> bool:
    """Return whether a generator is named as the one that reaches most, or as one that may."""
    return name in to_json(result)["noticed"][-1].partition("are reached from ")[2]


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    result = _randoms_of(folder, rng.standard_normal((IMAGES, COMPONENTS)), int(rng.integers(2**31)))
    ceiling = result["generator"].tolist().index(CEILING)

    def is_outside(name: str, true: float) -> bool:
        return not result[f"{name}_low"][ceiling] <= true <= result[f"{name}_high"][ceiling]

    # of two samples of one distribution (Naeem et al. 2020, equation 6); density is 1 on average
    both = 2 * POINTS - 1
    missed = math.prod((POINTS - 1 - at) / (both - at) for at in range(NEAREST))
    return {
        FEWER: not all(_may_reach_as_many(result, name) for name in ALIKE),
        COVERAGE: is_outside("coverage", 1 - missed),
        DENSITY: is_outside("density", 1.0),
    }


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    turned = rng.standard_normal((COMPONENTS, COMPONENTS))
    z = rng.standard_normal((IMAGES, COMPONENTS)) @ turned + 5
    result = _randoms_of(folder, z, int(rng.integers(2**31)))
    return {FEWER: not _may_reach_as_many(result, "N(0, 1)")}


PART = Part("randoms", {FEWER: 0.05, COVERAGE: 0.05, DENSITY: 0.05}, apart(_null, _planted))
