"""`outliers`: a Gaussian has no image beyond a limit and no near-duplicates; planted ones are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.outliers.chance import CHANCE
from tests.analyses.outliers.clouds import gaussian, permuted
from tests.builders import analyse, build_store
from tests.rates.campaign import Part, apart

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result

ROWS, COMPONENTS, FLAT_ROWS = 300, 12, 800
PLANTED, COPIES = np.array([5, 100]), np.array([200, 201])
LISTS = ("mahalanobis", "neighbour_distance", "density", "largest_radius", "smallest_radius")
ANY, DUPLICATES, PAIRS = "an image stands out", "near-duplicates", "more pairs than chance has"


def _outliers_of(location: Path, z: NDArray[np.float32], **parameters: Any) -> Result:
    return analyse(build_store(location, arrays={"z": z}, chunk_rows=ROWS), "outliers", **parameters)


def _beyond(result: Result) -> dict[str, bool]:
    beyond = dict(zip(result["list"].tolist(), result["beyond"].tolist(), strict=True))
    return {ANY: beyond["score"] > 0, **{name: beyond[name] > 0 for name in LISTS}}


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    from scipy.stats import poisson

    seed, own = rng.integers(2**31, size=2).tolist()  # of the data, and of the analysis
    result = _outliers_of(folder / "wide.zarr", gaussian(ROWS, COMPONENTS, seed), seed=own)
    flat = _outliers_of(folder / "flat.zarr", gaussian(FLAT_ROWS, 2, seed), seed=own, duplicate=0.01)
    pairs = flat.attributes["duplicate_images"] - flat.attributes["duplicate_groups"]
    return {
        **_beyond(result),
        DUPLICATES: result.attributes["duplicate_images"] > 0,
        PAIRS: pairs > poisson.ppf(0.95, flat.attributes["duplicates_expected"]),
    }


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    seed, own = rng.integers(2**31, size=2).tolist()  # of the data, and of the analysis
    z = permuted(gaussian(ROWS, COMPONENTS, seed), PLANTED, seed)
    z[COPIES] = z[COPIES - 10]
    result = _outliers_of(folder / "z.zarr", z, seed=own)
    return {
        ANY: bool((result["score"][PLANTED] > 1).any()),
        DUPLICATES: bool(np.isin(COPIES, result["duplicate_image"]).all()),
    }


PART = Part(
    "outliers",
    {ANY: 3 * CHANCE, **dict.fromkeys(LISTS, CHANCE), DUPLICATES: CHANCE, PAIRS: 0.05},
    apart(_null, _planted),
)
