from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError, UsageError
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.backend import keras
from latentscan.models.encoder import check_input, load_encoder
from latentscan.models.network import ImageInput
from latentscan.models.run_folder import RunFolder
from tests.models.encoders import direct, save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.models.encoders import Shape

layers = keras.layers


class Sampling(keras.layers.Layer):  # type: ignore[misc]
    """The custom layer of Keras's own example of a VAE."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        mu, logvar = inputs
        epsilon = keras.random.normal(keras.ops.shape(mu), seed=self.seed_generator)
        return mu + keras.ops.exp(0.5 * logvar) * epsilon


def test_a_run_folder_gives_encoder_preprocessing_and_epsilon(
    vae_run: Path, images: NDArray[np.uint8], small: Preprocessing
) -> None:
    encoder = load_encoder(vae_run, batch_size=64)
    assert (encoder.name, encoder.components, encoder.outputs) == ("vae", 3, ("mu", "logvar"))
    assert (encoder.takes_images.height, encoder.preprocessing, encoder.batch_size) == (32, small, 64)
    assert (encoder.epsilon_limit, encoder.epsilon_factor) == (5.0, 1.0)
    own = RunFolder(vae_run).read_record().parameters
    trained = {"kind": "vae", "fact": own.fact, "batch_norm": False, "seed": own.seed}
    assert encoder.training == trained
    assert encoder.sha256 == hashlib.sha256((vae_run / "encoder.keras").read_bytes()).hexdigest()
    assert encoder.versions["keras"] == keras.__version__
    found = encoder(images)
    for name, expected in zip(("mu", "logvar"), direct(vae_run / "encoder.keras", images), strict=True):
        assert found[name].shape == (60, 3)
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)


def test_the_run_of_an_autoencoder_gives_z(ae_run: Path, images: NDArray[np.uint8]) -> None:
    encoder = load_encoder(ae_run)
    assert (encoder.outputs, encoder.epsilon_limit, encoder.epsilon_factor) == (("z",), None, None)
    assert list(encoder(images)) == ["z"]


def test_a_row_depends_neither_on_its_place_nor_on_the_others(
    vae_run: Path, images: NDArray[np.uint8]
) -> None:
    encoder = load_encoder(vae_run, batch_size=48)
    whole = {name: values.copy() for name, values in encoder(images[:48]).items()}
    other_size = load_encoder(vae_run, batch_size=24)
    for start, stop in ((0, 1), (5, 12), (47, 48)):
        for part in (encoder(images[start:stop]), other_size(images[start:stop])):
            for name, values in part.items():
                np.testing.assert_array_equal(values, whole[name][start:stop])
    for name, values in encoder(images[:48][::-1]).items():
        np.testing.assert_array_equal(values[::-1], whole[name])
    assert encoder(images[:0])["mu"].shape == (0, 3)


@pytest.mark.parametrize(
    ("heads", "called", "outputs", "names", "positions"),
    [
        ((3,), (), None, ("z",), (0,)),
        ((3, 3), ("z_mean", "z_log_var"), None, ("mu", "logvar"), (0, 1)),
        ((3, 3), ("logvar", "mu"), None, ("mu", "logvar"), (1, 0)),
        ((3, 3, 3), ("mu", "logvar", "z"), None, ("mu", "logvar"), (0, 1)),
        ((3, 3, 3), ("mu", "logvar", "z"), {"z": 2}, ("z",), (2,)),
        ((9, 3, 3), (), {"logvar": 1, "mu": 2}, ("mu", "logvar"), (2, 1)),
        ((3, 3, 9, 3), (), {"z": 3, "logvar": 1, "mu": 0}, ("mu", "logvar"), (0, 1)),
        ((3, 3), ("a", "b"), {"mu": "b", "logvar": "a"}, ("mu", "logvar"), (1, 0)),
        ((3, 9), ("z", "features"), None, ("z",), (0,)),
    ],
)
def test_outputs_of_a_users_own_encoder(
    tmp_path: Path,
    eights: NDArray[np.uint8],
    heads: tuple[int, ...],
    called: tuple[str, ...],
    outputs: dict[str, int | str] | None,
    names: tuple[str, ...],
    positions: tuple[int, ...],
) -> None:
    path = save(tmp_path / "mine.keras", heads=heads, names=called)
    encoder = load_encoder(path, outputs=outputs, batch_size=8)
    assert (encoder.name, encoder.components, encoder.outputs) == ("mine.keras", 3, names)
    assert (encoder.preprocessing, encoder.epsilon_limit, encoder.epsilon_factor) == (None, None, None)
    assert encoder.default_preprocessing == Preprocessing(size=8)
    assert encoder.positions == positions
    assert len(encoder.notes) == (len(heads) == 1)
    assert all("the only one, is taken as z; if it holds mu and logvar" in note for note in encoder.notes)
    found, expected = encoder(eights), direct(path, eights)
    for name, at in zip(names, positions, strict=True):
        np.testing.assert_allclose(found[name], expected[at], rtol=1e-4, atol=1e-6)


def test_the_sampling_layer_of_the_usual_example_is_understood(
    tmp_path: Path, eights: NDArray[np.uint8]
) -> None:
    path = save(tmp_path / "vae.keras", last=Sampling())
    encoder = load_encoder(path, batch_size=8)
    assert encoder.outputs == ("mu", "logvar")
    assert set(encoder(eights)) == {"mu", "logvar"}


def test_images_of_any_size_are_taken_where_the_model_takes_them(tmp_path: Path) -> None:
    path = save(tmp_path / "any.keras", shape=(None, None, 3), first=layers.GlobalAveragePooling2D())
    encoder = load_encoder(path, batch_size=4)
    assert encoder.takes_images == ImageInput(None, None, 3)
    encoder = encoder.with_preprocessing(Preprocessing(size=10))
    assert encoder(np.zeros((2, 10, 10, 3), np.uint8))["mu"].shape == (2, 3)


def test_large_images_come_in_smaller_batches_of_whole_blocks(tmp_path: Path) -> None:
    path = save(tmp_path / "any.keras", shape=(None, None, 3), first=layers.GlobalAveragePooling2D())
    encoder = load_encoder(path)
    for size, together in ((96, 240), (97, 192), (224, 24), (512, 8), (2048, 1)):
        assert encoder.with_preprocessing(Preprocessing(size=size)).batch_size == together


@pytest.mark.parametrize(
    ("heads", "shape", "outputs", "field", "said"),
    [
        ((3, 4), (8, 8, 3), None, "model", ["(n, 3), (n, 4)", "--outputs"]),
        ((3, 3), (8, 8, 3), {"mu": 0, "logvar": 2}, "outputs", ["logvar=0..1", "z_log_var (n, 3)"]),
        ((3, 3), (8, 8, 3), {"mu": 0}, "outputs", ["--outputs mu=0"]),
        ((3,), (8, 9), None, "model", ["(height, width, channels)", "(8, 9)"]),
    ],
)
def test_a_model_that_is_no_encoder_is_refused_with_what_it_has(
    tmp_path: Path,
    heads: tuple[int, ...],
    shape: Shape,
    outputs: dict[str, int] | None,
    field: str,
    said: list[str],
) -> None:
    path = save(tmp_path / "mine.keras", heads=heads, shape=shape)
    with pytest.raises(ParameterError) as caught:
        load_encoder(path, outputs=outputs)
    assert caught.value.field == field
    message = caught.value.spelled("command line")
    assert [part for part in said if part not in message] == []
    assert field == "outputs" or str(path) in message


def test_a_whole_autoencoder_is_no_encoder(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    path = tmp_path / "whole.keras"
    keras.Model(image, layers.Conv2D(3, 3, padding="same", name="latent")(image)).save(path)
    with pytest.raises(ParameterError, match=r"the shape of its images, \(n, 8, 8, 3\)") as caught:
        load_encoder(path)
    assert (caught.value.field, caught.value.value) == ("model", path)
    assert "--outputs z=LAYER" in caught.value.spelled("command line")


def test_an_output_without_a_known_shape_is_refused(tmp_path: Path) -> None:
    image = keras.Input((None, None, 3))
    path = tmp_path / "map.keras"
    keras.Model(image, layers.Conv2D(2, 3)(image)).save(path)
    with pytest.raises(ParameterError, match=r"with more axes of known length, got \(n, n, n, 2\)"):
        load_encoder(path)


def test_a_run_without_a_finished_epoch_is_refused(tmp_path: Path, vae_run: Path) -> None:
    shutil.copy(vae_run / "run.json", tmp_path)
    with pytest.raises(ParameterError) as caught:
        load_encoder(tmp_path)
    assert (caught.value.field, caught.value.value) == ("model", tmp_path)
    assert "latentscan train --resume" in caught.value.spelled("command line")


def test_another_size_is_refused_with_both(vae_run: Path) -> None:
    encoder = load_encoder(vae_run)
    with pytest.raises(ParameterError) as caught:
        encoder.with_preprocessing(Preprocessing(size=96))
    assert (caught.value.field, caught.value.value) == ("size", 96)
    assert "--size 32" in caught.value.spelled("command line")
    with pytest.raises(
        UsageError, match=r"expected pixels \(n <= 240, 32, 32, 3\) uint8 or float32, got \(1, 96, 96, 3\)"
    ):
        encoder(np.zeros((1, 96, 96, 3), np.uint8))
    with pytest.raises(UsageError, match=r"got .* float64"):
        encoder.probe(np.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
    ("scale", "wrong", "right"),
    [(1 / 255, (0, 1), (0, 255)), (1 / 127.5, (-1, 1), (0, 255)), (2.0, (0, 255), (0, 1))],
)
def test_a_range_that_contradicts_the_rescaling_is_refused(
    tmp_path: Path,
    eights: NDArray[np.uint8],
    scale: float,
    wrong: tuple[float, float],
    right: tuple[float, float],
) -> None:
    path = save(tmp_path / "mine.keras", first=layers.Rescaling(scale))
    encoder = load_encoder(path, batch_size=8)
    assert encoder.default_preprocessing.value_range == right
    with pytest.raises(ParameterError) as caught:
        check_input(encoder, Preprocessing(size=8, value_range=wrong))
    assert caught.value.field == "value_range"
    assert f"{right[0]}..{right[1]}" in caught.value.problem
    assert "--override-preprocessing" in caught.value.spelled("command line")
    check_input(encoder, Preprocessing(size=8, value_range=wrong), override=True)
    model = keras.models.load_model(path)
    low, high = right
    mu = keras.ops.convert_to_numpy(model(low + eights * np.float32((high - low) / 255))[0])
    np.testing.assert_allclose(encoder(eights)["mu"], mu, rtol=1e-4, atol=1e-5)


def test_a_probe_that_gives_no_finite_numbers_is_refused(tmp_path: Path, eights: NDArray[np.uint8]) -> None:
    poison = layers.Dense(3, bias_initializer=keras.initializers.Constant(np.nan))
    path = save(tmp_path / "nan.keras", first=poison)
    with pytest.raises(UsageError, match=r"nan\.keras: expected finite mu, got none for all 5 images"):
        load_encoder(path, batch_size=8).probe(eights)
    whole = load_encoder(save(tmp_path / "good.keras"), batch_size=8)
    assert set(whole.probe(eights)) == {"mu", "logvar"}
