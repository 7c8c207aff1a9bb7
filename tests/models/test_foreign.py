"""Keras models as they are found: with layers whose code is nowhere, in parts, and of Keras 2."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import latentscan as ls
from latentscan.errors import ParameterError, UnsafeInputError, UsageError
from latentscan.models.backend import keras
from latentscan.models.encoder import load_encoder
from latentscan.models.kinds import starts_tensorflow
from tests.models.encoders import as_keras_2

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

layers = keras.layers

OWN = """
import keras

@keras.saving.register_keras_serializable(package="mine")
class Halve(keras.layers.Layer):
    def call(self, values):
        return values / 2

class Sample(keras.layers.Layer):
    def call(self, heads):
        return heads[0] + keras.random.normal(keras.ops.shape(heads[0]))
"""
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """Return classes of a user's own, which nothing else here knows."""
    (tmp_path / "own.py").write_text(OWN)
    made: dict[str, Any] = {}
    exec(OWN, made)  # noqa: S102
    yield made
    forget()


def predicted(model: Any) -> list[NDArray[np.float32]]:
    found = keras.tree.flatten(model(IMAGES / np.float32(255), training=False))
    return [np.asarray(one) for one in found]


def vae(own: dict[str, Any], *, names: tuple[str, str] = ("z_mean", "z_log_var")) -> tuple[Any, Any]:
    """Return a VAE whose encoder samples in a layer of its own, and its encoder."""
    image = keras.Input((8, 8, 3))
    hidden = layers.Dense(7, activation="relu")(layers.Flatten()(image))
    heads = [layers.Dense(2, name=name)(hidden) for name in names]
    encoder = keras.Model(image, [*heads, own["Sample"]()(heads)], name="encoder")
    point = keras.Input((2,))
    decoder = keras.Model(point, layers.Reshape((8, 8, 3))(layers.Dense(192)(point)), name="decoder")
    return keras.Model(image, decoder(encoder(image)[2]), name="vae"), encoder


def forget() -> None:
    """Forget what is registered, as another process would not know it."""
    for name in [name for name in keras.saving.get_custom_objects() if name.startswith("mine>")]:
        del keras.saving.get_custom_objects()[name]


def test_mu_and_logvar_in_front_of_a_layer_without_code_are_read(own: dict[str, Any], tmp_path: Path) -> None:
    _, encoder = vae(own)
    encoder.save(tmp_path / "e.keras")
    expected = predicted(encoder)
    forget()
    found = load_encoder(tmp_path / "e.keras")(IMAGES)
    for name, values in zip(("mu", "logvar"), expected, strict=False):
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)


def test_the_encoder_in_a_whole_vae_is_named(own: dict[str, Any], tmp_path: Path) -> None:
    whole, encoder = vae(own)
    whole.save(tmp_path / "vae.keras")
    expected = predicted(encoder)
    forget()
    found = load_encoder(tmp_path / "vae.keras", layer="encoder")(IMAGES)
    for name, values in zip(("mu", "logvar"), expected, strict=False):
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
    with pytest.raises(ParameterError, match=r"its layers are .*encoder, decoder"):
        load_encoder(tmp_path / "vae.keras", layer="encode")


def test_a_layer_that_is_the_latent_is_named(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    middle = layers.Dense(3, name="bottleneck")(layers.Flatten()(image))
    model = keras.Model(image, layers.Reshape((8, 8, 3))(layers.Dense(192)(middle)))
    model.save(tmp_path / "ae.keras")
    found = load_encoder(tmp_path / "ae.keras", layer="bottleneck")(IMAGES)["z"]
    np.testing.assert_allclose(found, predicted(keras.Model(image, middle))[0], rtol=1e-5, atol=1e-6)


def test_what_a_layer_without_code_computes_is_refused_and_can_be_given(
    own: dict[str, Any], tmp_path: Path
) -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, own["Halve"](name="code")(layers.Dense(3, name="fc")(layers.Flatten()(image))))
    model.save(tmp_path / "e.keras")
    expected = predicted(model)[0]
    forget()
    with pytest.raises(UnsafeInputError, match=r"code \(Halve\), .*in front of it are flatten\w*, fc: name"):
        load_encoder(tmp_path / "e.keras")
    with pytest.raises(UnsafeInputError, match="which is run to load the model"):
        load_encoder(tmp_path / "e.keras", custom_objects=tmp_path / "own.py")
    found = load_encoder(tmp_path / "e.keras", custom_objects=tmp_path / "own.py", trust=True)(IMAGES)
    np.testing.assert_allclose(found["z"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"raise SystemExit(0)", "own.py: SystemExit: 0; expected Python with the classes of the model"),
        (b"name = '\xe9'", "cannot be read .*; expected Python in UTF-8, or in the encoding"),
    ],
)
def test_a_file_of_code_that_ends_or_is_no_text_is_named(tmp_path: Path, code: bytes, message: str) -> None:
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Flatten()(image)).save(tmp_path / "e.keras")
    (tmp_path / "own.py").write_bytes(code)
    with pytest.raises(UsageError, match=message):
        load_encoder(tmp_path / "e.keras", custom_objects=tmp_path / "own.py", trust=True)


def test_a_file_of_keras_2_is_read(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    hidden = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.LeakyReLU(0.1)(hidden))))
    model.save(tmp_path / "new.keras")
    as_keras_2(tmp_path / "new.keras", tmp_path / "old.keras")
    found = load_encoder(tmp_path / "old.keras")(IMAGES)["z"]
    np.testing.assert_allclose(found, predicted(model)[0], rtol=1e-5, atol=1e-6)


def test_tensorflow_starts_for_its_own_formats_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("e.keras", "e.h5", "e.pt", "e.onnx", "e.py"):
        (tmp_path / name).write_bytes(b"x")
    names = ("run", "e.keras", "e.h5", "e.pt", "e.onnx", "e.py:encode", "absent", "absent.keras")
    assert [name for name in names if starts_tensorflow(tmp_path / name)] == ["run", "e.keras", "e.h5"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("e.pt", "torch.onnx.export"),
        ("e.weights.h5", "save the whole model"),
        ("e.h5", "can run any code"),
        ("e.txt", "expected a run folder"),
    ],
)
def test_what_a_path_says_is_refused_before_tensorflow_starts(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    code = """
import sys
from pathlib import Path
from latentscan.models.encoder import load_encoder
try:
    load_encoder(Path(sys.argv[1]))
except Exception as error:
    print(error, {"keras", "tensorflow"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=True
    )
    assert said in done.stdout
    assert done.stdout.rstrip().endswith("set()")


def test_a_store_is_gone_on_with_by_the_same_layer_alone(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    first = layers.Dense(3, name="first")(layers.Flatten()(image))
    keras.Model(image, layers.Dense(3, name="second")(first)).save(tmp_path / "e.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    where = (tmp_path / "e.keras", tmp_path / "images.npy", tmp_path / "z.zarr")
    ls.encode(*where, layer="first", progress=False)
    with pytest.raises(UsageError, match=r"begun with encoder\.layer = first, now it is second"):
        ls.encode(*where, layer="second", progress=False)
