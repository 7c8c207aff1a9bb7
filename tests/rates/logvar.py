"""`logvar`: the verdict and the intervals, where the correlation or the offset is just at its limit."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.logvar import ALIKE, NEAR, logvar
from tests.analyses.decoders import COMPONENTS, sigmoid_decoder, store_of_model
from tests.rates.campaign import Part, apart, shared_folder

if TYPE_CHECKING:
    from pathlib import Path

    import xarray
    from numpy.typing import NDArray

    from tests.analyses.decoders import Sigmoid

IMAGES, FACT = 120, 0.1
RISK = 0.025  # of a verdict that hangs on one end of an interval of 95 %
SETTLED, NOT = "converged, the {} at its limit", "not converged, the {} at its limit"
SLOPE, OFFSET = "the slope is outside", "the offset is outside"


@cache
def _model() -> tuple[Sigmoid, float]:
    """Return a decoder, and the spread of the logvars that are expected of it."""
    rng = np.random.default_rng(0)
    model = sigmoid_decoder(shared_folder(), rng)
    mu = rng.standard_normal((20_000, COMPONENTS))
    return model, float(_expected(model, mu).std())


def _expected(model: Sigmoid, mu: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.log(FACT / (model.curvature(mu) + FACT)))


def _compared(location: Path, rng: np.random.Generator, noise: float, offset: float) -> xarray.Dataset:
    """Compare logvars whose noise is as large within an image as it is common to its components."""
    model, _ = _model()
    mu = rng.standard_normal((IMAGES, COMPONENTS)).astype(np.float32)
    of_image, of_entry = rng.standard_normal((IMAGES, 1)), rng.standard_normal(mu.shape)
    stored = _expected(model, mu) + offset + noise * (of_image + of_entry) / np.sqrt(2)
    store = store_of_model(location, model.encoder, mu, stored)
    return logvar(store, model.encoder, model.decoder, fact=FACT, progress=False)


def _null(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    limit = _model()[1] * np.sqrt(1 / ALIKE**2 - 1)  # the noise with which the correlation is that
    loose, off = _compared(folder / "a.zarr", rng, limit, 0.0), _compared(folder / "b.zarr", rng, 0.3, NEAR)
    return {
        **_said("correlation", loose),
        **_said("offset", off),
        SLOPE: not loose.attrs["slope"][1] <= 1 <= loose.attrs["slope"][2],
        OFFSET: not off.attrs["offset"][1] <= NEAR <= off.attrs["offset"][2],
    }


def _said(name: str, found: xarray.Dataset) -> dict[str, bool]:
    return {words.format(name): found.attrs["verdict"] == words.split(",")[0] for words in (SETTLED, NOT)}


def _planted(folder: Path, rng: np.random.Generator) -> dict[str, bool]:
    settled = _compared(folder / "a.zarr", rng, 0.2, 0.0)
    off = _compared(folder / "b.zarr", rng, 0.3, 2 * NEAR)
    return {
        SETTLED.format("correlation"): settled.attrs["verdict"] == "converged",
        NOT.format("offset"): off.attrs["verdict"] == "not converged",
    }


PART = Part(
    "logvar",
    {
        **{words.format(name): RISK for name in ("correlation", "offset") for words in (SETTLED, NOT)},
        SLOPE: 0.05,
        OFFSET: 0.05,
    },
    apart(_null, _planted),
)
