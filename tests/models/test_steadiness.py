"""A row depends on its image alone, or the encoder is refused, with a remedy that works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError
from latentscan.models.backend import keras
from latentscan.models.encoder import load_encoder
from latentscan.models.outputs import named_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

layers = keras.layers


@keras.saving.register_keras_serializable("tests")
class Drawn(keras.layers.Layer):  # type: ignore[misc]
    """z of mu and logvar, with a stream of random numbers, or the same ones for each place in a batch."""

    def __init__(self, fixed: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.fixed = fixed
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, inputs: Any) -> Any:
        mu, logvar = inputs
        seed = 1337 if self.fixed else self.seeds
        return mu + keras.ops.exp(logvar / 2) * keras.random.normal(keras.ops.shape(mu), seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fixed": self.fixed}


def save_sampled(path: Path, names: tuple[str, str], layer: Any) -> Any:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    heads = [layers.Dense(2, name=name)(flat) for name in names]
    keras.Model(image, layer(heads)).save(path)
    return keras.Model(image, heads)


@pytest.mark.parametrize("fixed", [False, True])
def test_mu_and_logvar_in_front_of_a_sampled_z_are_taken_by_their_names(
    tmp_path: Path, eights: NDArray[np.uint8], fixed: bool
) -> None:
    inner = save_sampled(tmp_path / "e.keras", ("z_log_sigma", "z_mean"), Drawn(fixed, name="z"))
    encoder = load_encoder(tmp_path / "e.keras", batch_size=8)
    spread, mu = inner.predict(eights / np.float32(255), verbose=0)
    found = encoder(eights)
    np.testing.assert_allclose(found["mu"], mu, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["logvar"], 2 * spread, rtol=1e-5, atol=1e-6)
    assert "taken from the layers z_mean and z_log_sigma" in encoder.notes[0]
    assert encoder.positions == ("z_mean", "z_log_sigma (log_std)")


@pytest.mark.parametrize("fixed", [False, True])
def test_without_names_it_is_refused_with_what_to_give(
    tmp_path: Path, eights: NDArray[np.uint8], fixed: bool
) -> None:
    inner = save_sampled(tmp_path / "e.keras", ("one", "two"), Drawn(fixed, name="z"))
    with pytest.raises(ParameterError) as refused:
        load_encoder(tmp_path / "e.keras")
    said = refused.value.spelled("command line")
    assert "from layer z (Drawn) on" in said
    assert "--outputs mu=one,logvar=two" in said
    outputs = named_outputs(said.rpartition("--outputs ")[2])
    found = load_encoder(tmp_path / "e.keras", outputs=outputs, batch_size=8)(eights)
    for name, truth in zip(("mu", "logvar"), inner.predict(eights / np.float32(255), verbose=0), strict=True):
        np.testing.assert_allclose(found[name], truth, rtol=1e-5, atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class Dropping(keras.layers.Dropout):  # type: ignore[misc]
    """Dropout in use as well, to see how sure a model is."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return super().call(inputs, training=True)


@keras.saving.register_keras_serializable("tests")
class Centring(keras.layers.Layer):  # type: ignore[misc]
    """A layer that compares the images of a batch."""

    def call(self, inputs: Any) -> Any:
        return inputs - keras.ops.mean(inputs, axis=0, keepdims=True)


@pytest.mark.parametrize("layer", [Dropping(0.5), Centring()])
def test_a_layer_that_looks_beyond_its_image_is_named(tmp_path: Path, layer: Any) -> None:
    image = keras.Input((8, 8, 3))
    points = layers.Dense(2, name="before")(layers.Flatten()(image))
    keras.Model(image, layer(points)).save(tmp_path / "e.keras")
    with pytest.raises(ParameterError) as refused:
        load_encoder(tmp_path / "e.keras")
    assert f"({type(layer).__name__}) on" in refused.value.problem
    assert "--outputs z=before" in refused.value.spelled("command line")
    assert load_encoder(tmp_path / "e.keras", outputs={"z": "before"}).outputs == ("z",)
    keras.Model(image, layers.Dense(2)(layer(points))).save(tmp_path / "e.keras")
    with pytest.raises(ParameterError, match="save a model without it"):
        load_encoder(tmp_path / "e.keras")


def test_noise_as_small_as_rounding_is_noticed(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    tiny = layers.Dense(2, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(-30.0))
    keras.Model(image, Drawn()([layers.Dense(2)(flat), tiny(flat)])).save(tmp_path / "e.keras")
    with pytest.raises(ParameterError, match="is random"):
        load_encoder(tmp_path / "e.keras")


def test_layers_that_are_random_in_training_alone_are_no_matter(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.GaussianNoise(0.5)(layers.RandomFlip()(image))
    keras.Model(image, layers.Dense(2)(layers.Dropout(0.5)(layers.Flatten()(x)))).save(tmp_path / "e.keras")
    assert load_encoder(tmp_path / "e.keras").outputs == ("z",)
