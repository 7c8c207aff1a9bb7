"""Strips of images along an attribute; random points are tested with the training that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.analyses.labels.planted import along, store_of
from tests.cli.commands import latentscan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of random weights, and a store with an attribute."""
    from latentscan.models.networks import build_decoder
    from latentscan.models.parameters import TrainParameters

    where = tmp_path_factory.mktemp("generate")
    build_decoder(TrainParameters(kind="ae", z_dim=4, filters=(4,)), 16).save(where / "decoder.keras")
    z, classes = along(900, 4, 2.0)
    store_of(where / "z.zarr", z, binary={"Smiling": classes})
    return where


def test_a_strip_has_a_row_a_walk_and_a_column_a_step(folder: Path, tmp_path: Path) -> None:
    words = ("--model", folder / "decoder.keras", "--store", folder / "z.zarr", "--along", "Smiling")
    sizes = {}
    for steps, count in ((5, 2), (7, 3)):
        out = tmp_path / f"{steps}.png"
        done = latentscan("generate", *words, "--steps", steps, "--count", count, "--out", out)
        assert done.returncode == 0, done.stderr
        assert f"{count} strips of {steps} images along Smiling" in done.stderr
        with Image.open(out) as picture:
            sizes[steps] = picture.size
    assert sizes[7][0] - sizes[5][0] == 2 * (sizes[5][0] - 10) // 5
    assert sizes[7][1] > sizes[5][1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--normal", "--along", "Smiling"), "--along is for --store alone"),
        (("--normal", "--steps", 5), "--steps and --results are for --along alone"),
        (("--along", "smile"), "did you mean Smiling"),
        (("--along", "Smiling", "--covariance", "diagonal"), "--covariance"),
    ],
)
def test_what_does_not_belong_to_a_strip_is_refused(
    folder: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    out = tmp_path / "x.png"
    store = () if "--normal" in words else ("--store", folder / "z.zarr")
    done = latentscan("generate", "--model", folder / "decoder.keras", *store, "--out", out, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert not out.exists()
