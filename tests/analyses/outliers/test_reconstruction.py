"""Images that the model makes badly again, on a run that was trained here and on a planted image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import latentscan as ls
from latentscan.analyses.outliers import outliers
from latentscan.analyses.outliers.reconstruction import excess_extreme
from latentscan.cli.app import app
from latentscan.errors import UsageError
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from xarray import Dataset

SIZE, IMAGES, PLANTED, DAMAGED = 16, 120, 20, 30


def ramp(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image that goes from one colour to another."""
    along = np.linspace(0, 1, SIZE)[:, None, None]
    ends = rng.uniform(0, 255, (2, 3))
    return np.broadcast_to(ends[0] * along + ends[1] * (1 - along), (SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(3)
    for number in range(IMAGES):
        Image.fromarray(ramp(rng)).save(folder / f"{number:03d}.png")
    squares = np.indices((SIZE, SIZE)).sum(axis=0) // 2 % 2 * 255
    Image.fromarray(squares.astype(np.uint8)).convert("RGB").save(folder / f"{PLANTED:03d}.png")
    (folder / f"{DAMAGED:03d}.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from latentscan.models.training import train

    parameters = TrainParameters(
        kind="ae", z_dim=6, filters=(8,), epochs=30, batch_size=16, learning_rate=5e-3
    )
    folder: Path = tmp_path_factory.mktemp("runs") / "ae"
    train(open_images(images, Preprocessing(size=SIZE)), folder, parameters, Preprocessing(size=SIZE))
    return folder


@pytest.fixture(scope="module")
def store(images: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    location = str(tmp_path_factory.mktemp("stores") / "z.zarr")
    ls.encode(run, images, location, chunk_rows=50, progress=False)
    return location


@pytest.fixture(scope="module")
def found(store: str, run: Path, images: Path) -> Dataset:
    return outliers(ls.open(store), str(run), str(images), progress=False)


def expected(store: str, run: Path, images: Path, row: int) -> float:
    """Compute the binary cross-entropy of an image above its entropy with Keras alone."""
    from latentscan.models.backend import keras

    with Image.open(images / f"{row:03d}.png") as picture:
        x = np.asarray(picture, np.float64) / 255
    decoder = keras.models.load_model(run / "decoder.keras")
    y = np.clip(decoder.predict(np.asarray(ls.open(store).z[row : row + 1]), verbose=0)[0], 1e-7, 1 - 1e-7)
    sure = np.clip(x, 1e-300, 1)
    entropy = -x * np.log(sure) - (1 - x) * np.log(np.clip(1 - x, 1e-300, 1))
    loss = -x * np.log(y) - (1 - x) * np.log(1 - y)
    return float((loss - entropy).mean(axis=-1).sum())


def test_the_planted_image_is_made_worst(found: Dataset, store: str, run: Path, images: Path) -> None:
    at = found["list"].values.tolist().index("reconstruction_excess")
    excess = found["reconstruction_excess"].values
    assert found["listed_image"].values[at, 0] == PLANTED
    assert found["beyond"].values[at] == 1
    assert excess[PLANTED] > found["limit"].values[at] > found["expected"].values[at] > np.nanmedian(excess)
    assert np.flatnonzero(np.isnan(excess)).tolist() == [DAMAGED]
    for row in (0, PLANTED, IMAGES - 1):
        assert excess[row] == pytest.approx(expected(store, run, images, row), rel=1e-4)


def test_other_figures_are_those_of_the_store_alone(found: Dataset, store: str) -> None:
    alone = outliers(ls.open(store), progress=False)
    assert "reconstruction_excess" not in alone
    for name in ("score", "mahalanobis", "radius", "neighbour_distance", "density"):
        np.testing.assert_array_equal(alone[name], found[name])
    np.testing.assert_array_equal(alone["listed_image"], found["listed_image"][:6])


@pytest.mark.usefixtures("found")
def test_images_and_tables_have_the_figure(store: str, tmp_path: Path) -> None:
    words = ["images", "--store", store, "--largest", "reconstruction_excess", "--count", "2", "--json"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["images"][0]["image"] == PLANTED
    table = tmp_path / "table.csv"
    said = CliRunner().invoke(app, ["export", "--store", store, "--out", str(table)])
    assert said.exit_code == 0, said.output
    header, *lines = table.read_text().splitlines()
    column = header.split(",").index("reconstruction_excess")
    assert float(lines[PLANTED].split(",")[column]) == max(
        float(line.split(",")[column] or 0) for line in lines if "nan" not in line.split(",")[column]
    )


def test_images_name_what_computes_the_figure(store: str, tmp_path: Path) -> None:
    words = ["images", "--store", store, "--largest", "reconstruction_excess"]
    said = CliRunner().invoke(app, [*words, "--results", str(tmp_path / "results.zarr")])
    assert said.exit_code == 2
    assert "no reconstruction loss of the images is cached" in said.stderr


def test_the_table_says_which_image_is_made_worst(
    found: Dataset, store: str, run: Path, images: Path
) -> None:
    del found  # which is read again
    words = ["outliers", "--store", store, "--model", str(run), "--images", str(images)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "1 image is made again worse" in said.stdout
    assert "020.png" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80


def test_images_that_are_gone_are_named_as_not_compared(store: str, run: Path, tmp_path: Path) -> None:
    """They are of the same names, so they may be those of the store, and none of them is an image."""
    for number in range(IMAGES):
        (tmp_path / f"{number:03d}.png").write_bytes(b"no image")
    words = ["outliers", "--store", store, "--model", str(run), "--images", str(tmp_path)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "No image could be read" in said.stdout
    assert " -1 " not in said.stdout


def test_one_of_model_and_images_is_not_enough(store: str, run: Path, images: Path) -> None:
    for model, source in ((str(run), None), (None, str(images))):
        with pytest.raises(UsageError, match="says nothing of outliers"):
            outliers(ls.open(store), model, source, progress=False)


def test_log_normal_losses_are_rarely_beyond_the_limit() -> None:
    rng = np.random.default_rng(0)
    beyond = [
        bool((values > excess_extreme(values).limit).any())
        for values in (np.exp(rng.normal(3.0, 0.4, 2_000)) for _ in range(400))
    ]
    assert np.mean(beyond) < 0.03
