"""Every output is what its name says, or what the user says; otherwise the model is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorflow as tf

from latentscan.errors import ParameterError
from latentscan.models.backend import keras
from latentscan.models.encoder import load_encoder
from latentscan.models.outputs import heads_as_asked, meaning_of, named_outputs
from tests.models.encoders import save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

layers = keras.layers


@pytest.mark.parametrize(
    ("meaning", "names"),
    [
        ("mu", "mu z_mean mean loc Z_Mean zMean latent_mu encoder/z_mean mu_layer z_mean_1 MU"),
        ("logvar", "logvar log_var z_log_var log_sigma2 zLogVar z_log_variance log_sigma_sq LogVar"),
        ("log_std", "log_std log_sigma z_log_sigma log_stddev z_log_sigma_1"),
        ("std", "std sigma stddev z_stddev scale z_sigma"),
        ("var", "var variance z_sigma2"),
        ("z", "z latent code embedding sampling z_sample latent_vector z_1 bottleneck"),
        (None, "dense dense_3 output_0 log_sigma_2 sigma_2 neg_logvar half_log_var kl features exp"),
    ],
)
def test_names_that_people_use(meaning: str | None, names: str) -> None:
    assert {name: meaning_of(name) for name in names.split()} == dict.fromkeys(names.split(), meaning)


@pytest.mark.parametrize("text", ["", "mu", "mu=0,logvar", "mu,mu,logvar", "mean_of_x,logvar", "mu=", "a=b"])
def test_outputs_that_say_nothing_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as refused:
        load_encoder(save(tmp_path / "e.keras"), outputs=named_outputs(text))
    assert refused.value.field == "outputs"


def test_a_number_is_a_position_or_else_a_name(tmp_path: Path) -> None:
    names, shapes = [["1"], ["125"]], [(None, 3)] * 2
    for text, sources in (("mu=125,logvar=0", [1, 0]), ("mu=0,logvar=1", [0, 1])):
        heads = heads_as_asked(tmp_path / "e.onnx", names, shapes, named_outputs(text) or {})
        assert [head.source for head in heads] == sources


def test_a_dictionary_is_read_by_its_keys(tmp_path: Path, eights: NDArray[np.uint8]) -> None:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    heads = {name: layers.Dense(2)(flat) for name in ("z_mean", "log_sigma")}
    model = keras.Model(image, heads)
    model.save(tmp_path / "e.keras")
    encoder = load_encoder(tmp_path / "e.keras", batch_size=8)
    truth = model.predict(eights / np.float32(255), verbose=0)
    found = encoder(eights)
    np.testing.assert_allclose(found["mu"], truth["z_mean"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["logvar"], 2 * truth["log_sigma"], rtol=1e-5, atol=1e-6)
    assert "log_sigma is log_std, not logvar" in encoder.notes[0]
    assert dict(zip(encoder.outputs, encoder.positions, strict=True)) == {"mu": 1, "logvar": "0 (log_std)"}


@pytest.mark.parametrize(
    ("name", "value", "logvar"),
    [
        ("z_log_sigma", -3.0, -6.0),
        ("sigma", 0.05, 2 * np.log(0.05)),
        ("z_stddev", 0.05, 2 * np.log(0.05)),
        ("variance", 0.25, np.log(0.25)),
        ("log_sigma2", -3.0, -3.0),
    ],
)
def test_a_spread_becomes_logvar(
    tmp_path: Path, eights: NDArray[np.uint8], name: str, value: float, logvar: float
) -> None:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    constant = keras.initializers.Constant(value)
    spread = layers.Dense(2, name=name, kernel_initializer="zeros", bias_initializer=constant)(flat)
    keras.Model(image, [spread, layers.Dense(2, name="z_mean")(flat)]).save(tmp_path / "e.keras")
    encoder = load_encoder(tmp_path / "e.keras", batch_size=8)
    assert encoder.outputs == ("mu", "logvar")
    np.testing.assert_allclose(encoder(eights)["logvar"], logvar, rtol=1e-6)
    assert [name in note for note in encoder.notes] == ([] if name == "log_sigma2" else [True])
    asked = load_encoder(tmp_path / "e.keras", outputs=named_outputs("logvar,mu"), batch_size=8)
    np.testing.assert_allclose(asked(eights)["logvar"], value, rtol=1e-6)


def test_what_names_do_not_say_is_asked_for(tmp_path: Path, eights: NDArray[np.uint8]) -> None:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    model = keras.Model(image, [layers.Dense(2, name="one")(flat), layers.Dense(2, name="two")(flat)])
    model.save(tmp_path / "e.keras")
    with pytest.raises(ParameterError) as refused:
        load_encoder(tmp_path / "e.keras")
    said = refused.value.spelled("command line")
    assert "one (n, 2), two (n, 2)" in said
    assert "--outputs mu,logvar or logvar,mu" in said
    first, second = model.predict(eights / np.float32(255), verbose=0)
    for text, mu in (
        ("mu,logvar", first),
        ("logvar,mu", second),
        ("mu=two,logvar=one", second),
        ("-,z", second),
    ):
        encoder = load_encoder(tmp_path / "e.keras", outputs=named_outputs(text), batch_size=8)
        found = encoder(eights)
        np.testing.assert_allclose(found["mu" if "mu" in found else "z"], mu, rtol=1e-5, atol=1e-6)


def test_a_saved_model_is_read_by_the_names_of_its_signature(
    tmp_path: Path, eights: NDArray[np.uint8]
) -> None:
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    model = keras.Model(image, [layers.Dense(2)(flat), layers.Dense(2)(flat)])

    class Served(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])  # type: ignore[untyped-decorator]
        def serve(self, images: Any) -> dict[str, Any]:
            mu, logvar = self.encoder(images, training=False)
            return {"z_mean": mu, "z_log_var": logvar}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "vae"), signatures={"serving_default": served.serve})
    found = load_encoder(tmp_path / "vae", trust=True, batch_size=8)(eights)
    mu, logvar = model.predict(eights / np.float32(255), verbose=0)
    np.testing.assert_allclose(found["mu"], mu, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["logvar"], logvar, rtol=1e-5, atol=1e-6)
