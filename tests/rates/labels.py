"""`labels`: attributes drawn apart from the points are chance; directions have the AUC that is stated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from latentscan.report.labels import SURE, noticed
from tests.analyses.labels.planted import store_of
from tests.builders import analyse
from tests.rates.campaign import Part, apart

if TYPE_CHECKING:
    from pathlib import Path

ROWS, COMPONENTS, ATTRIBUTES, CLUSTERS = 1000, 6, 4, 4
SHARE = 0.4  # of the images that have the planted attribute
DIRECTION, SHARES, ALIKE = (
    "attributes are told",
    "attributes share with clusters",
    "a cluster is an attribute",
)
CHANCE, AUC, NUMBER = "0.5 is outside the interval", "the AUC is outside", "the correlation is outside"


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    z = rng.standard_normal((ROWS, COMPONENTS)) @ rng.standard_normal((COMPONENTS, COMPONENTS))
    binary = {f"{at}": np.where(rng.random(ROWS) < 0.3, 1, -1) for at in range(ATTRIBUTES)}
    numbers = {f"n{at}": rng.standard_normal(ROWS) for at in range(ATTRIBUTES)}
    store = store_of(folder / "nothing.zarr", z, binary=binary, numbers=numbers)
    result = analyse(store, "labels", clusters=CLUSTERS)
    low, high = result["skill_interval"][0]
    return {
        DIRECTION: bool((result["p_holm"] < SURE).any()),
        SHARES: bool((result["shared_p_holm"] < SURE).any()),
        ALIKE: not any(sentence.startswith("No cluster is one attribute") for sentence in noticed(result)),
        CHANCE: not low <= 0.5 <= high,
        **_outside(folder, rng),
    }


def _outside(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    """Say which intervals do not hold what the directions that were found have in closed form."""
    apart, along = rng.standard_normal((2, COMPONENTS))
    apart /= np.linalg.norm(apart)
    is_with = rng.random(ROWS) < SHARE
    z = rng.standard_normal((ROWS, COMPONENTS)) + np.outer(is_with, apart)
    number = z @ along + rng.standard_normal(ROWS)
    binary, numbers = {"planted": np.where(is_with, 1, -1)}, {"number": number}
    store = store_of(folder / "known.zarr", z, binary=binary, numbers=numbers)
    result = analyse(store, "labels", clusters=0)
    covariance = np.eye(COMPONENTS) + SHARE * (1 - SHARE) * np.outer(apart, apart)
    direction = result["direction"]
    auc = math.erfc(-direction[0] @ apart / 2) / 2  # Φ(d / √2)
    squares = (direction[1] @ covariance @ direction[1]) * (along @ covariance @ along + 1)
    correlation = direction[1] @ covariance @ along / math.sqrt(squares)
    ends = result["skill_interval"]
    return {
        AUC: not ends[0, 0] <= auc <= ends[0, 1],
        NUMBER: not ends[1, 0] <= correlation <= ends[1, 1],
    }


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    group = rng.integers(0, CLUSTERS, ROWS)
    z = rng.standard_normal((ROWS, COMPONENTS)) + 8 * np.eye(CLUSTERS, COMPONENTS)[group]
    store = store_of(folder / "z.zarr", z, binary={"group": np.where(group == 2, 1, -1)})
    result = analyse(store, "labels", clusters=CLUSTERS)
    return {
        DIRECTION: bool((result["p_holm"] < SURE).any()),
        SHARES: bool((result["shared_p_holm"] < SURE).any()),
        ALIKE: any(" agree, |phi| above" in sentence for sentence in noticed(result)),
    }


PART = Part(
    "labels",
    {DIRECTION: SURE, SHARES: SURE, ALIKE: 0.05, CHANCE: 0.05, AUC: 0.05, NUMBER: 0.05},
    apart(_null, _planted),
)
