"""Any encoder on any images: the store holds what the model's own framework gives for the same pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from PIL import Image

import latentscan as ls
from latentscan.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES = 7
RGB, GREY, WIDE = (8, 8, 3), (28, 28, 1), (8, 12, 3)
layers = keras.layers


@dataclass(frozen=True)
class Made:
    """An encoder that was made: what `encode` is given, and what its framework gives for pixels in 0..1."""

    model: str
    shape: tuple[int, int, int]
    truth: Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]
    options: dict[str, Any] = field(default_factory=dict)
    latent_shape: tuple[int, ...] | None = None


def _keras(model: Any, file: Path, names: tuple[str, ...], **more: Any) -> Made:
    model.save(file)

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        found = keras.tree.flatten(model(pixels, training=False))
        return {name: np.asarray(one) for name, one in zip(names, found, strict=True)}

    return Made(str(file), tuple(model.inputs[0].shape[1:]), truth, **more)


def _heads(x: Any, units: int = 3) -> list[Any]:
    x = layers.Flatten()(x)
    return [layers.Dense(units, name=name)(x) for name in ("z_mean", "z_log_var")]


def keras_vae(folder: Path) -> Made:
    image = keras.Input(RGB)
    return _keras(keras.Model(image, _heads(image)), folder / "vae.keras", ("mu", "logvar"))


def keras_grey(folder: Path) -> Made:
    model = keras.Sequential([keras.Input(GREY), layers.Conv2D(4, 3, 2), layers.Flatten(), layers.Dense(2)])
    return _keras(model, folder / "grey.keras", ("z",))


def keras_wide(folder: Path) -> Made:
    image = keras.Input(WIDE)
    x = layers.Conv2D(4, 3, 2, padding="same")(image)
    return _keras(keras.Model(image, _heads(x, 16)), folder / "wide.keras", ("mu", "logvar"))


def keras_spatial(folder: Path) -> Made:
    image = keras.Input(GREY)
    z = layers.Conv2D(5, 3, 4, padding="same")(image)
    return _keras(keras.Model(image, z), folder / "spatial.keras", ("z",), latent_shape=(7, 7, 5))


def keras_channels_first(folder: Path) -> Made:
    image = keras.Input((3, 8, 8))
    model = keras.Model(image, _heads(layers.Permute((2, 3, 1))(image)))
    made = _keras(model, folder / "first.keras", ("mu", "logvar"))
    return Made(made.model, RGB, lambda pixels: made.truth(pixels.transpose(0, 3, 1, 2)), made.options)


def keras_mixed_precision(folder: Path) -> Made:
    image = keras.Input(RGB)
    x = layers.Dense(6, dtype="mixed_bfloat16")(layers.Flatten()(image))
    model = keras.Model(image, layers.Dense(2, name="mu", dtype="mixed_float16")(x))
    return _keras(model, folder / "mixed.keras", ("z",))


def _pngs(pixels: NDArray[np.uint8]) -> dict[str, bytes]:
    found = {}
    for row, image in enumerate(pixels):
        stream = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(stream, "png")
        found[f"{row:03d}.png"] = stream.getvalue()
    return found


def in_folder(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    for name, data in _pngs(pixels).items():
        (folder / name).write_bytes(data)
    return folder


def in_npy(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    np.save(folder / "images.npy", pixels)
    return folder / "images.npy"


def in_zarr(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    zarr.create_array(folder / "images.zarr", data=pixels, chunks=(3, *pixels.shape[1:]))
    return folder / "images.zarr"


def in_list(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    in_folder(folder, pixels)
    names = list(_pngs(pixels))
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return folder / "list.txt"


SOURCES = (in_folder, in_npy, in_zarr, in_list)
ENCODERS = (keras_vae, keras_grey, keras_wide, keras_spatial, keras_channels_first, keras_mixed_precision)
# every encoder with two sources, every source with three encoders
PAIRS = [
    (encoder, SOURCES[(at + step) % len(SOURCES)]) for at, encoder in enumerate(ENCODERS) for step in (0, 1)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Made]], Made]:
    return cache(lambda build: build(tmp_path_factory.mktemp(build.__name__)))


@pytest.mark.parametrize(
    ("build", "source"), PAIRS, ids=[f"{build.__name__}-{source.__name__}" for build, source in PAIRS]
)
def test_the_store_holds_what_the_framework_gives(
    build: Callable[[Path], Made],
    source: Callable[[Path, NDArray[np.uint8]], Path],
    made: Callable[[Callable[[Path], Made]], Made],
    tmp_path: Path,
) -> None:
    encoder = made(build)
    pixels = np.random.default_rng(3).integers(0, 256, (IMAGES, *encoder.shape), np.uint8)
    (tmp_path / "images").mkdir()
    images = source(tmp_path / "images", pixels)
    summary = ls.encode(
        encoder.model, images, tmp_path / "z.zarr", progress=False, chunk_rows=4, **encoder.options
    )
    assert (summary.images, dict(summary.rejected)) == (IMAGES, {})
    store = ls.open(str(tmp_path / "z.zarr"))
    expected = encoder.truth((pixels / np.float32(255)).astype(np.float32))
    assert set(store.schema.latents) == set(expected) | {"z"}
    for name, values in expected.items():
        rows = values.reshape(IMAGES, -1)
        # the last digits of float16 and bfloat16 are those of the order of the sums
        tolerance = (1e-2 if build is keras_mixed_precision else 1e-4) * np.abs(rows).max()
        np.testing.assert_allclose(np.asarray(getattr(store, name)[:]), rows, rtol=0, atol=tolerance)
    assert store.latent_shape == (encoder.latent_shape or (rows.shape[1],))
