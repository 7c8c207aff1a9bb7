"""`ledger`: of a Gaussian channel, information and distance from the prior are known in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.ledger import ledger
from tests.builders import build_store
from tests.rates.campaign import Part, apart

if TYPE_CHECKING:
    from pathlib import Path

IMAGES, COMPONENTS, ANCHORS = 3000, 2, 200
SIGNAL = 0.8  # standard deviation of mu, where that of z is 1
ERRORS = 1.96  # standard errors to either side
KL, INFORMATION, DISTANCE = "the KL is outside", "the information is outside", "the distance is outside"


def _terms(folder: Path, rng: np.random.Generator, shift: float) -> dict[str, tuple[float, float]]:
    mu = SIGNAL * rng.standard_normal((IMAGES, COMPONENTS)) + shift
    noise = math.sqrt(1 - SIGNAL**2)
    arrays = {
        "mu": mu,
        "logvar": np.full_like(mu, 2 * math.log(noise)),
        "z": mu + noise * rng.standard_normal(mu.shape),
    }
    store = build_store(folder / "z.zarr", arrays=arrays, chunk_rows=IMAGES)
    found = ledger(store, anchors=ANCHORS, progress=False)
    pairs = zip(found["value"].values.tolist(), found["error"].values.tolist(), strict=True)
    return dict(zip(found["term"].values.tolist(), pairs, strict=True))


def _is_outside(true: float, value: float, error: float) -> bool:
    return abs(value - true) > ERRORS * error


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    terms = _terms(folder, rng, 0.0)
    information = -COMPONENTS * math.log(1 - SIGNAL**2) / 2
    return {
        KL: _is_outside(information, *terms["kl"]),
        INFORMATION: _is_outside(information, *terms["information"]),
        DISTANCE: _is_outside(0.0, *terms["distance_from_prior"]),
    }


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    return {DISTANCE: _is_outside(0.0, *_terms(folder, rng, 0.5)["distance_from_prior"])}


PART = Part("ledger", {KL: 0.05, INFORMATION: 0.05, DISTANCE: 0.05}, apart(_null, _planted))
