"""A user's own encoder, faces, and a folder with images that cannot be decoded; each made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latentscan.models.encoder import load_encoder
from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.models.encoder import Encoder

SIZE = 32
IMAGES = 150


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with mu and logvar of 6 components, for images of 32 × 32 pixels."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    x = keras.layers.Flatten()(x)
    outputs = [keras.layers.Dense(6, name="mu")(x), keras.layers.Dense(6, name="logvar")(x)]
    path: Path = tmp_path_factory.mktemp("model") / "encoder.keras"
    keras.Model(inputs, outputs).save(path)
    return path


@pytest.fixture(scope="session")
def encoder(model: Path) -> Encoder:
    return load_encoder(model, batch_size=48)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 faces of 178 × 218 pixels in CelebA's layout."""
    directory: Path = tmp_path_factory.mktemp("faces")
    synthesize(directory, IMAGES, workers=1)
    return directory


@pytest.fixture
def bad_folder(faces: Path, tmp_path: Path) -> Path:
    """Ten files, of which four are no images that can be decoded."""
    folder = tmp_path / "bad"
    folder.mkdir()
    good = sorted((faces / "img_align_celeba").iterdir())
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(good[number].read_bytes())
    (folder / "2.jpg").write_bytes(good[2].read_bytes()[:2000])
    (folder / "4.jpg").write_bytes(b"")
    (folder / "5.jpg").write_text("no image")
    (folder / "9.jpg").unlink()
    (folder / "9.jpg").symlink_to(folder / "vanished.jpg")
    return folder
