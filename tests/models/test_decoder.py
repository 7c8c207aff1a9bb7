from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError, UsageError
from latentscan.models.backend import keras
from latentscan.models.decoder import Decoder, load_decoder
from latentscan.models.points import normal_points
from tests.models.onnx_files import onnx_node
from tests.models.onnx_files import save as save_onnx

if TYPE_CHECKING:
    from pathlib import Path


def test_points_are_decoded_as_by_the_model_whatever_the_batch(vae_run: Path) -> None:
    z = normal_points(10, 3, seed=0)
    model = keras.models.load_model(vae_run / "decoder.keras")
    expected = np.rint(keras.ops.convert_to_numpy(model(z)) * 255)
    decoder = load_decoder(vae_run, batch_size=4)
    assert (decoder.name, decoder.components, decoder.shape) == ("vae", 3, (32, 32, 3))
    images = decoder.decode(z)
    assert images.shape == (10, 32, 32, 3)
    assert images.dtype == np.uint8
    assert np.abs(images - expected).max() <= 1
    assert len(np.unique(images)) > 10
    np.testing.assert_array_equal(load_decoder(vae_run / "decoder.keras", batch_size=16).decode(z), images)
    assert decoder.decode(z[:0]).shape == (0, 32, 32, 3)


def test_black_and_white_may_be_named(vae_run: Path) -> None:
    z = normal_points(4, 3, seed=0)
    own = keras.ops.convert_to_numpy(keras.models.load_model(vae_run / "decoder.keras")(z))
    images = load_decoder(vae_run, value_range=(-1, 3)).decode(z)
    assert np.abs(images - (own + 1) / 4 * 255).max() <= 0.51
    with pytest.raises(ParameterError, match="expected black below white"):
        load_decoder(vae_run, value_range=(1, 1))


def test_points_of_another_space_are_refused(vae_run: Path) -> None:
    with pytest.raises(UsageError, match=r"decoder vae: expected z of \(n, 3\), got \(2, 4\)"):
        load_decoder(vae_run).decode(np.zeros((2, 4), np.float32))


def test_what_is_no_decoder_is_refused(tmp_path: Path, vae_run: Path) -> None:
    with pytest.raises(ParameterError, match=r"expected a decoder of \(n, components\), or of .* into"):
        load_decoder(vae_run / "encoder.keras")
    shutil.copy(vae_run / "run.json", tmp_path)
    with pytest.raises(ParameterError, match=r"has no decoder\.keras"):
        load_decoder(tmp_path)


def test_more_images_than_this_machine_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder("decoder", (4,), (1024, 1024, 3), False, (0, 1), "", batch_size=1, network=None)  # type: ignore[arg-type]
    monkeypatch.setattr("latentscan.models.decoder.memory_bytes", lambda: 10**9)
    decoder.require_memory(100)
    with pytest.raises(ParameterError, match=r"count=10000: so many .* of 1024x1024 pixels take 62\.9 GB"):
        decoder.require_memory(10_000)


@pytest.mark.parametrize(
    ("activation", "value_range"),
    [
        ("sigmoid", (0, 1)),
        ("tanh", (-1, 1)),
        (lambda x: (keras.ops.tanh(x) + 1) * 127.5, (0, 255)),
        (keras.ops.tanh, (-1, 1)),
        (lambda x: keras.ops.sigmoid(x) - 0.01, (0, 1)),
    ],
)
def test_images_of_any_range_and_shape_keep_their_contrast(
    tmp_path: Path, activation: Any, value_range: tuple[float, float]
) -> None:
    latent = keras.Input((2, 2, 3))
    x = keras.layers.Dense(6 * 4, kernel_initializer="orthogonal")(keras.layers.Flatten()(latent))
    images = keras.layers.Reshape((1, 6, 4))(x)
    if isinstance(activation, str):
        images = keras.layers.Activation(activation)(images)
    else:
        images = activation(images)
    model = keras.Model(latent, images)
    model.save(tmp_path / "decoder.keras")
    decoder = load_decoder(tmp_path / "decoder.keras", batch_size=4)
    assert (decoder.latent_shape, decoder.shape, decoder.value_range) == ((2, 2, 3), (6, 4, 1), value_range)
    z = normal_points(5, 12, seed=0)
    own = keras.ops.convert_to_numpy(model(z.reshape(5, 2, 2, 3)))
    low, high = value_range
    expected = np.clip((own - low) / (high - low), 0, 1).transpose(0, 2, 3, 1) * 255
    assert np.abs(decoder.decode(z) - expected).max() <= 1


def test_a_decoder_into_something_else_is_refused(tmp_path: Path) -> None:
    latent = keras.Input((3,))
    keras.Model(latent, keras.layers.Dense(8)(latent)).save(tmp_path / "decoder.keras")
    with pytest.raises(ParameterError, match=r"RGB or grey images \(n, height, width, 3 or 1\), got"):
        load_decoder(tmp_path / "decoder.keras")


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize(("last", "limits"), [("Sigmoid", (0, 1)), ("Tanh", (-1, 1)), (None, (0, 255))])
def test_an_onnx_file_decodes_as_its_operations_say(
    tmp_path: Path, batch: int | str, last: str | None, limits: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    weights, bias = rng.standard_normal((3, 24)).astype(np.float32), np.zeros(24, np.float32)
    nodes = [onnx_node("Flatten", ["image"], ["flat"]), onnx_node("Gemm", ["flat", "w", "b"], ["values"])]
    if last is None:
        weights, bias = 40 * weights, bias + 127
    nodes.append(onnx_node(last or "Identity", ["values"], ["made"]))
    nodes.append(onnx_node("Reshape", ["made", "sides"], ["images"]))
    save_onnx(
        tmp_path / "decoder.onnx",
        nodes,
        (batch, 3, 1),
        {"images": None},
        {"w": weights, "b": bias, "sides": np.array([-1, 3, 4, 2])},
    )
    decoder = load_decoder(tmp_path / "decoder.onnx", batch_size=4)
    assert (decoder.latent_shape, decoder.shape, decoder.value_range) == ((3, 1), (4, 2, 3), limits)
    z = normal_points(10, 3, seed=0)
    own = z @ weights + bias
    own = {"Sigmoid": 1 / (1 + np.exp(-own)), "Tanh": np.tanh(own), None: own}[last]
    scaled = np.clip((own - limits[0]) / (limits[1] - limits[0]), 0, 1) * 255
    images = decoder.decode(z)
    assert np.abs(images - scaled.reshape(10, 3, 4, 2).transpose(0, 2, 3, 1)).max() <= 1
    np.testing.assert_array_equal(decoder.decode(z[4:5]), images[4:5])


def test_a_function_is_no_decoder(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"does not say which latents it takes; .* \.onnx file"):
        load_decoder(tmp_path / "my.py:decode", trust=True)
