"""Training and generating as commands: what a resumed run keeps, and what is refused."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from typer.testing import CliRunner

from latentscan.cli.app import app
from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = ("--filters", "4,8", "--z-dim", "3", "--size", "32", "--batch-size", "16", "--split", "all")


def latentscan(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("faces")
    synthesize(directory, 40, workers=1)
    return directory


@pytest.fixture(scope="module")
def trained(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("run") / "vae"
    code, said = latentscan("train", "vae", "--images", faces, "--out", out, "--epochs", 1, *NETWORK)
    assert code == 0, said
    return out


def test_a_resumed_run_keeps_what_is_not_named_anew(faces: Path, trained: Path) -> None:
    code, said = latentscan("train", "vae", "--images", faces, "--out", trained, "--epochs", 2, "--resume")
    assert code == 0, said
    with (trained / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    record = json.loads((trained / "run.json").read_text())
    assert record["parameters"]["filters"] == [4, 8]
    assert record["preprocessing"]["size"] == 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--epochs", 2), "--resume"),
        (("--epochs", 9, "--resume", "--z-dim", 7), "--z-dim"),
        (("--resume", "--resume-from", 1), "not both"),
        (("--learning-rate", -1), "--learning-rate -1"),
        (("--filters", "4,x"), "--filters 4,x"),
    ],
)
def test_what_does_not_fit_a_run_is_refused(
    faces: Path, trained: Path, words: tuple[object, ...], message: str
) -> None:
    before = (trained / "run.json").read_bytes()
    code, said = latentscan("train", "vae", "--images", faces, "--out", trained, *words)
    assert code == 2
    assert message in said
    assert (trained / "run.json").read_bytes() == before


def test_an_autoencoder_takes_no_factor_on_a_loss_it_has_not(faces: Path, tmp_path: Path) -> None:
    code, said = latentscan("train", "ae", "--images", faces, "--out", tmp_path / "ae", "--fact", 1)
    assert code == 2
    assert "--fact" in said


def test_generated_images_are_a_picture(faces: Path, trained: Path, tmp_path: Path) -> None:
    store = tmp_path / "z.zarr"
    assert latentscan("encode", "--model", trained, "--images", faces, "--store", store)[0] == 0
    diagonal = ("--store", store, "--covariance", "diagonal")
    for points in (("--normal",), ("--uniform", 3), ("--store", store), diagonal):
        out = tmp_path / f"{points[0][2:]}-{len(points)}.png"
        code, said = latentscan("generate", "--model", trained, *points, "--count", 9, "--out", out)
        assert code == 0, said
        with Image.open(out) as picture:
            assert picture.size == (3 * 34 + 2, 3 * 34 + 2)
        assert "another model" not in said
    assert (tmp_path / "store-2.png").read_bytes() != (tmp_path / "store-4.png").read_bytes()
    assert not (store / "analyses").exists()
    metadata = json.loads((trained / "run.json").read_text())
    other = tmp_path / "other"
    sized = ("--filters", "4,8", "--z-dim", metadata["parameters"]["z_dim"], "--size", 32, "--epochs", 1)
    assert latentscan("train", "ae", "--images", faces, "--out", other, *sized)[0] == 0
    words = ("--store", store, "--count", 9, "--out", tmp_path / "other.png")
    code, said = latentscan("generate", "--model", other, *words)
    assert code == 0, said
    assert f"{store} was written by another model" in said


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--normal", "--uniform", 3),
        ("--uniform", -1),
        ("--normal", "--out", "picture.bmp"),
        ("--normal", "--covariance", "diagonal"),
        ("--store", "z.zarr", "--covariance", "half"),
    ],
)
def test_what_cannot_be_generated_is_refused(
    trained: Path, tmp_path: Path, words: tuple[object, ...]
) -> None:
    code, said = latentscan("generate", "--model", trained, "--out", tmp_path / "x.png", *words)
    assert code == 2, said
    assert not (tmp_path / "x.png").exists()
