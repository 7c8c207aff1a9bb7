"""`shape`: of a Gaussian it says one ellipsoid, of heavy tails nothing but tails; clusters are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.report.shape import noticed
from tests.analyses.shape.clouds import clusters, ellipsoid, heavy
from tests.builders import analyse, build_store
from tests.rates.campaign import Part, apart

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.store.results import Result

ROWS, COMPONENTS = 300, 6
NOT_ONE, MORE, CORE = "not one Gaussian ellipsoid", "more than tails", "another core"


def _shape_of(location: Path, x: NDArray[np.float64], seed: int) -> Result:
    return analyse(build_store(location, arrays={"z": x}, chunk_rows=ROWS), "shape", seed=seed)


def _is_one(result: Result) -> bool:
    return noticed(result)[0].startswith("One Gaussian ellipsoid")


def _has_more_than_tails(result: Result) -> bool:
    return bool((result["outside"] & result["outside_matched"])[1:].any())


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    seed = int(rng.integers(2**31))
    gaussian = _shape_of(folder / "gaussian.zarr", ellipsoid(ROWS, COMPONENTS, seed), seed)
    tails = _shape_of(folder / "tails.zarr", heavy(ROWS, COMPONENTS, seed), seed)
    return {
        NOT_ONE: not _is_one(gaussian),
        CORE: len(noticed(gaussian)) > 1,
        MORE: _has_more_than_tails(tails),
    }


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    seed = int(rng.integers(2**31))
    result = _shape_of(folder / "clusters.zarr", clusters(ROWS, COMPONENTS, 6, 5, seed), seed)
    return {NOT_ONE: not _is_one(result), MORE: _has_more_than_tails(result)}


PART = Part("shape", {NOT_ONE: 0.05, CORE: 0.05, MORE: 0.05}, apart(_null, _planted))
