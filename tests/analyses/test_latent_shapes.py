"""Latents of other shapes than one long vector: a plane, few components, a stack of maps, of grey images.

Each goes through every analysis, its table and its picture, and back to images.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import latentscan as ls
from latentscan.analyses.analysis import Request
from latentscan.analyses.origins import StoreAndOrigins
from latentscan.analyses.registry import ANALYSES
from latentscan.errors import UsageError
from latentscan.report.views import view_of
from tests.analyses.quick import compute, requests
from tests.cli.commands import latentscan
from tests.report.rendering import shown

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.analyses.inputs import Inputs

IMAGES = 150
EVERY = {name: request for name, request in requests() if name in ANALYSES}
OF_THE_TRAINING = {"logvar": {"fact": 1.0, "reconstruction": "bce"}}  # what no file of these says


def _grey(components: int) -> tuple[Any, Any]:
    """Return an encoder of a VAE of grey images of 28 x 28, and its decoder."""
    from latentscan.models.backend import keras

    layers = keras.layers
    image, z = keras.Input((28, 28, 1)), keras.Input((components,))
    flat = layers.Flatten()(image)
    heads = [layers.Dense(components, name=name)(flat) for name in ("z_mean", "z_log_var")]
    decoded = layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(z))
    return keras.Model(image, heads), keras.Model(z, decoded)


def _maps() -> tuple[Any, Any]:
    """Return an encoder of an AE whose latents are 16 maps of 8 x 8, and its decoder."""
    from latentscan.models.backend import keras

    layers = keras.layers
    image, z = keras.Input((16, 16, 3)), keras.Input((8, 8, 16))
    latents = layers.Conv2D(16, 3, 2, padding="same", name="z")(image)
    decoded = layers.Conv2DTranspose(3, 3, 2, padding="same", activation="sigmoid")(z)
    return keras.Model(image, latents), keras.Model(z, decoded)


MODELS = {"plane": lambda: _grey(2), "16 components": lambda: _grey(16), "maps": _maps}


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with an attribute, a model and its store, and the store of another model of the same kind."""
    where: Path = tmp_path_factory.mktemp("shape")
    for name in ("own", "other"):
        encoder, decoder = MODELS[request.param]()
        encoder.save(where / f"{name}.keras")
        decoder.save(where / f"{name}-decoder.keras")
    shape = (IMAGES, *encoder.inputs[0].shape[1:])
    np.save(where / "images.npy", np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    (where / "labels.csv").write_text("even\n" + "".join(f"{row % 2}\n" for row in range(IMAGES)))
    for name in ("own", "other"):
        ls.encode(
            str(where / f"{name}.keras"),
            str(where / "images.npy"),
            str(where / f"{name}.zarr"),
            attributes=str(where / "labels.csv"),
            progress=False,
        )
    return where


def _opened(name: str, folder: Path) -> Inputs:
    kind = ANALYSES[name].inputs
    stores = {store: ls.open(str(folder / store)) for store in ("own.zarr", "other.zarr")}
    model = "own-decoder.keras" if kind is StoreAndOrigins else "own.keras"
    given = {
        "store": stores["own.zarr"],
        "stores": stores,
        "model": folder / model,
        "decoder": folder / "own-decoder.keras",
        "images": folder / "images.npy",
    }
    names = {argument.name for argument in kind.arguments}
    return kind.open({name: value for name, value in given.items() if name in names})


@pytest.mark.parametrize("name", EVERY)
def test_every_analysis_takes_them(folder: Path, name: str, tmp_path: Path) -> None:
    asked = EVERY[name]
    more = OF_THE_TRAINING.get(name, {})
    request = Request(asked.analysis, asked.parameters.model_copy(update=more))
    inputs = _opened(name, folder)
    if not request.analysis.suits(inputs.stores[0].schema):
        with pytest.raises(UsageError, match="logvar"):
            compute(request, inputs, tmp_path / "results.zarr")
        return
    result = compute(request, inputs, tmp_path / "results.zarr")
    view = view_of(name)
    json.dumps(view.to_json(result), allow_nan=False)
    lines = shown(view.table({"own.zarr": result})).splitlines()
    assert lines
    assert max(map(len, lines)) <= 80
    assert view.figure({"own.zarr": result}).axes


def test_points_of_them_are_decoded(folder: Path) -> None:
    out = folder / "random.png"
    words = ("--store", folder / "own.zarr", "--model", folder / "own-decoder.keras", "--count", 4)
    done = latentscan("generate", *words, "--out", out)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as picture:
        assert min(picture.size) >= 2 * 16
