"""Models that scale pixels themselves, in the ways people write it: rows are those of `predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.images.preprocessing import Preprocessing
from latentscan.models.backend import keras
from latentscan.models.encoder import load_encoder
from latentscan.models.pixel_range import normalization_misfit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

layers = keras.layers
BYTES, UNIT = (0.0, 255.0), (0.0, 1.0)


def rescaling() -> Any:
    return layers.Rescaling(1 / 255)


def trained_normalization(mean: float, deviation: float) -> Any:
    """A BatchNormalization that has seen pixels of one range."""
    layer = layers.BatchNormalization()
    layer.build((None, 16, 16, 3))
    layer.moving_mean.assign(np.full(3, mean))
    layer.moving_variance.assign(np.full(3, deviation**2))
    return layer


@keras.saving.register_keras_serializable("tests")
class Centred(keras.layers.Layer):  # type: ignore[misc]
    """A layer of someone's own."""

    def call(self, pixels: Any) -> Any:
        return pixels / 127.5 - 1


@keras.saving.register_keras_serializable("tests")
class Strict(keras.layers.Layer):  # type: ignore[misc]
    """A layer of someone's own that refuses pixels beyond 0..1, where it sees any."""

    def call(self, pixels: Any) -> Any:
        if hasattr(pixels, "numpy") and pixels.numpy().max() > 1:
            raise RuntimeError("pixels beyond 1")
        return pixels


def nested() -> Any:
    image = keras.Input((16, 16, 3))
    return keras.Model(image, layers.Conv2D(4, 3)(layers.Rescaling(1 / 127.5, -1)(layers.Identity()(image))))


WAYS: dict[str, tuple[Callable[[Any], Any], tuple[float, float] | None]] = {
    "Rescaling": (rescaling(), BYTES),
    "Resizing first": (lambda x: rescaling()(layers.Resizing(12, 12)(x)), BYTES),
    "augmentation first": (lambda x: rescaling()(layers.RandomFlip("horizontal")(x)), BYTES),
    "pooling first": (lambda x: rescaling()(layers.AveragePooling2D(2)(x)), BYTES),
    "a Sequential inside": (
        keras.Sequential([rescaling(), layers.RandomFlip("horizontal")]),
        BYTES,
    ),
    "x / 255.0": (lambda x: x / 255.0, BYTES),
    "x - 127.5": (lambda x: x - 127.5, BYTES),
    "Normalization of bytes": (layers.Normalization(axis=None, mean=127.5, variance=127.5**2), BYTES),
    "a trained BatchNormalization": (trained_normalization(120, 60), BYTES),
    "of bytes, with a border": (lambda x: layers.ZeroPadding2D()(layers.Rescaling(1 / 127.5, -1)(x)), BYTES),
    "as Caffe": (keras.applications.vgg16.preprocess_input, BYTES),
    "as PyTorch": (keras.applications.densenet.preprocess_input, BYTES),
    "a Lambda": (layers.Lambda(lambda x: x / 255.0), BYTES),
    "a layer of one's own": (Centred(), BYTES),
    "inside another model": (nested(), BYTES),
    "2 * x - 1": (lambda x: 2 * x - 1, UNIT),
    "Normalization of 0..1": (layers.Normalization(axis=None, mean=0.5, variance=0.25), UNIT),
    "(x + 1) / 2": (lambda x: (x + 1) / 2, (-1.0, 1.0)),
    "nothing": (lambda x: layers.Conv2D(3, 3)(layers.ZeroPadding2D(4)(x)), None),
}


@pytest.fixture(scope="module")
def sixteens() -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_those_of_predict(tmp_path: Path, sixteens: NDArray[np.uint8], way: str) -> None:
    begin, limits = WAYS[way]
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(begin(image))))
    model.save(tmp_path / "e.keras")
    encoder = load_encoder(tmp_path / "e.keras", trust=True, batch_size=4)
    assert encoder.takes.value_range == limits
    low, high = limits or UNIT
    truth = model.predict((low + sixteens * ((high - low) / 255)).astype(np.float32), verbose=0)
    np.testing.assert_allclose(encoder(sixteens)["z"], truth, rtol=1e-4, atol=1e-4)
    said = encoder.range_notes(sixteens, asked=False)
    assert [note for note in said if "WARNING" in note] == []
    assert ["255" in note for note in said] == ([] if limits not in (BYTES, None) else [True])
    chosen = Preprocessing(size=16, value_range=BYTES)
    if limits in (BYTES, None):
        truth = model.predict(sixteens.astype(np.float32), verbose=0)
        found = encoder.with_preprocessing(chosen)(sixteens)["z"]
        np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4 * np.abs(truth).max())


def test_a_model_that_takes_integers_takes_bytes(tmp_path: Path, sixteens: NDArray[np.uint8]) -> None:
    image = keras.Input((16, 16, 3), dtype="uint8")
    scaled = layers.Rescaling(1 / 255, dtype="float32")(image)
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(scaled)))
    model.save(tmp_path / "e.keras")
    encoder = load_encoder(tmp_path / "e.keras", batch_size=4)
    assert encoder.default_preprocessing.value_range == BYTES
    np.testing.assert_allclose(
        encoder(sixteens)["z"], model.predict(sixteens, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_floats_become_the_nearest_bytes_and_never_wrap(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(image, layers.Flatten(name="z")(layers.Rescaling(1, dtype="float32")(image)))
    model.save(tmp_path / "e.keras")
    pixels = np.zeros((1, 8, 8, 3), np.float32)
    pixels[0, 0, 0] = (1.02, -0.02, 0.999)  # as bicubic gives them
    found = load_encoder(tmp_path / "e.keras", batch_size=4).with_preprocessing(
        Preprocessing(size=8, value_range=BYTES)
    )(pixels)
    assert found["z"][0, :3].tolist() == [255, 0, 255]


def test_images_that_speak_for_the_other_range_are_a_warning(
    tmp_path: Path, sixteens: NDArray[np.uint8]
) -> None:
    image = keras.Input((16, 16, 3))
    filters = layers.Conv2D(3, 1, kernel_initializer="ones", name="first")
    seen = trained_normalization(382, 128)
    keras.Model(image, layers.Dense(3)(layers.Flatten()(seen(filters(image))))).save(tmp_path / "bytes.keras")
    encoder = load_encoder(tmp_path / "bytes.keras", batch_size=4)
    assert encoder.takes.value_range is None
    (assumed, warning) = encoder.range_notes(sixteens, asked=False)
    assert "0..1 are assumed" in assumed
    assert "BatchNormalization" in warning
    right = encoder.with_preprocessing(Preprocessing(size=16, value_range=BYTES))
    assert right.range_notes(sixteens, asked=True) == []


@pytest.mark.parametrize("axis", [-1, 1])
def test_the_figures_of_a_normalization_are_those_of_its_axis(axis: int) -> None:
    mean, deviation = np.array([0.2, 0.5, 0.8]), 0.05
    coloured = mean + deviation * np.random.default_rng(0).standard_normal((8, 16, 16, 3))
    images = np.moveaxis(coloured, -1, axis).astype(np.float32)
    image, layer = keras.Input(images.shape[1:]), layers.BatchNormalization(axis=axis)
    model = keras.Model(image, layer(image))
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(np.full(3, deviation**2))
    misfit = normalization_misfit(model, images)
    assert misfit is not None
    assert misfit < 0.01


def test_a_logvar_beyond_all_measure_is_a_warning(tmp_path: Path, sixteens: NDArray[np.uint8]) -> None:
    image = keras.Input((16, 16, 3))
    heads = [layers.Dense(3, name=name)(layers.Flatten()(image)) for name in ("z_mean", "z_log_var")]
    keras.Model(image, heads).save(tmp_path / "unit.keras")
    encoder = load_encoder(tmp_path / "unit.keras", batch_size=4)
    assert len(encoder.range_notes(sixteens, asked=False)) == 1
    wrong = encoder.with_preprocessing(Preprocessing(size=16, value_range=BYTES))
    (warning,) = wrong.range_notes(sixteens, asked=True)
    assert "logvar up to" in warning


def test_a_mu_beyond_all_measure_is_named_as_such(tmp_path: Path, sixteens: NDArray[np.uint8]) -> None:
    image = keras.Input((16, 16, 3))
    flat = layers.Flatten()(image)
    mu = layers.Dense(3, name="z_mean")(flat)
    logvar = layers.Dense(3, name="z_log_var", kernel_initializer="zeros")(flat)
    keras.Model(image, [mu, logvar]).save(tmp_path / "unit.keras")
    encoder = load_encoder(tmp_path / "unit.keras", batch_size=4)
    wrong = encoder.with_preprocessing(Preprocessing(size=16, value_range=BYTES))
    (warning,) = wrong.range_notes(sixteens, asked=True)
    size = np.sqrt((wrong(sixteens)["mu"] ** 2).mean())
    assert size > 100
    assert warning.startswith(f"WARNING: mu of the size {size:.3g} speaks against pixels in 0..255")


def test_a_layer_that_raises_leaves_no_doubt(tmp_path: Path, sixteens: NDArray[np.uint8]) -> None:
    image = keras.Input((16, 16, 3))
    filters = layers.Conv2D(3, 1, kernel_initializer="ones")(Strict()(image))
    seen = trained_normalization(1.5, 0.5)(filters)
    keras.Model(image, layers.Dense(3)(layers.Flatten()(seen))).save(tmp_path / "e.keras")
    encoder = load_encoder(tmp_path / "e.keras", trust=True, batch_size=4)
    (assumed,) = encoder.range_notes(sixteens, asked=False)
    assert "cannot be tried (RuntimeError)" in assumed
