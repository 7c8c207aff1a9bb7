"""The gap of `kmeans`: of a Gaussian it says nothing beyond the covariance; five clusters are five."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.analysis import Request
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.kmeans.gap import GAP, GapParameters
from tests.analyses.quick import compute
from tests.analyses.shape.clouds import clusters, ellipsoid
from tests.builders import build_store
from tests.rates.campaign import Part, apart

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.store.results import Result

ROWS, COMPONENTS, CLUSTERS = 1000, 8, 5
STRUCTURE, NUMBER = "structure beyond the covariance", "about five clusters"


def _gap_of(folder: Path, x: NDArray[np.float64]) -> Result:
    store = build_store(folder / "z.zarr", arrays={"z": x}, chunk_rows=ROWS)
    return compute(Request(GAP, GapParameters()), OneStore.open({"store": store}))


def _said(result: Result) -> dict[str, bool]:
    verdict, (low, high) = result.attributes["verdict"], result.attributes["range"]
    return {
        STRUCTURE: verdict in ("about", "no natural k"),
        NUMBER: verdict == "about" and low <= CLUSTERS <= high,
    }


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    return _said(_gap_of(folder, ellipsoid(ROWS, COMPONENTS, int(rng.integers(2**31)))))


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    return _said(_gap_of(folder, clusters(ROWS, COMPONENTS, 12, CLUSTERS, int(rng.integers(2**31)))))


PART = Part("kmeans", {STRUCTURE: 0.05, NUMBER: 0.05}, apart(_null, _planted))
