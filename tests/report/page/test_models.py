"""What a page says of models: the history of their training, and what their decoders make."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from latentscan.analyses.decoded import decode_random, reconstruct
from latentscan.errors import ParameterError
from latentscan.execution.context import Execution
from latentscan.models.decoder import load_decoder
from latentscan.models.history import divergence, reconstruction
from latentscan.models.run_folder import Epoch, RunFolder, history_bytes
from latentscan.report.page.render import write_report
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import open_store
from tests.builders import build_store
from tests.models.onnx_files import onnx_node, save

if TYPE_CHECKING:
    from pathlib import Path

IMAGES, SIDE, Z = 40, 8, 3
PLANTED = 11  # an image whose point the decoder shows wrongly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of 3 components, and a store of the images that it makes, but for one."""
    found: Path = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((Z, SIDE * SIDE * 3)) / 4).astype(np.float32)
    nodes = [
        onnx_node("MatMul", ["image", "w"], ["values"]),
        onnx_node("Sigmoid", ["values"], ["made"]),
        onnx_node("Reshape", ["made", "sides"], ["images"]),
    ]
    sides = np.array([-1, SIDE, SIDE, 3])
    save(found / "decoder.onnx", nodes, ("n", Z), {"images": None}, {"w": weights, "sides": sides})
    z = rng.standard_normal((IMAGES, Z)).astype(np.float32)
    pixels = np.rint(255 / (1 + np.exp(-z @ weights))).astype(np.uint8).reshape(-1, SIDE, SIDE, 3)
    pixels[PLANTED] = 255 - pixels[PLANTED]
    (found / "images").mkdir()
    paths = [f"{row:03d}.png" for row in range(IMAGES)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(found / "images" / path)
    preprocessing = {"size": SIDE, "crop": "none"}
    build_store(
        found / "z.zarr",
        arrays={"z": z},
        paths=paths,
        chunk_rows=16,
        provenance={"preprocessing": preprocessing},
    )
    return found


def epochs(kl: list[float]) -> tuple[Epoch, ...]:
    row = Epoch(1, 9, 9, 1, 1, None, None, None, None, None, 1, 1, 1)
    return tuple(
        replace(row, epoch=at, kl=value, reco_loss=100 / at, probe_reco=90 / at)
        for at, value in enumerate(kl, 1)
    )


def test_a_jump_is_found_and_an_even_growth_is_none() -> None:
    steps = epochs([1, 2, 4, 8, 8.1, 15, 15])
    curve = divergence(steps)
    assert curve is not None
    assert list(curve.values) == [1, 2, 4, 8, 8.1, 15, 15]
    assert [epoch for epoch, _ in curve.jumps] == [6]
    assert reconstruction(steps).is_probe
    without = tuple(replace(row, kl=None) for row in steps)
    assert divergence(without) is None


def test_random_points_are_decoded_with_the_real_image_nearest_to_each(folder: Path) -> None:
    decoder, snapshot = load_decoder(folder / "decoder.onnx"), Snapshot.of(open_store(str(folder / "z.zarr")))
    found = decode_random(decoder, snapshot, 5, 0, Execution())
    real = np.asarray(snapshot.store.z[:])
    assert found.images.shape == (5, SIDE, SIDE, 3)
    among = np.linalg.norm(real[:, None] - real[None], axis=2) + np.diag(np.full(IMAGES, np.inf))
    np.testing.assert_allclose(found.usual, np.median(among.min(axis=1)), rtol=1e-5)
    nearest = np.linalg.norm(real[found.nearest][:, None] - real[None], axis=2)
    assert (nearest.argmin(axis=1) == found.nearest).all()
    assert found.distances.shape == (5,)


def test_reconstructions_are_ordered_and_a_wrong_one_is_the_worst(folder: Path) -> None:
    decoder, snapshot = load_decoder(folder / "decoder.onnx"), Snapshot.of(open_store(str(folder / "z.zarr")))
    made = reconstruct(decoder, snapshot, str(folder / "images"), None, 0, Execution())
    assert len(made.rows) == IMAGES
    assert made.rows[-1] == PLANTED
    assert made.paths[-1] == f"{PLANTED:03d}.png"
    assert made.errors[-2] < 0.01 < 0.05 < made.errors[-1]
    np.testing.assert_array_equal(made.originals[-1], 255 - made.images[-1])


def test_the_page_shows_training_and_what_is_decoded(folder: Path, tmp_path: Path) -> None:
    stores, images = [str(folder / "z.zarr")], str(folder / "images")
    written = write_report(stores, tmp_path / "page.html", images=images, models=[folder / "decoder.onnx"])
    text = written.page.read_text()
    assert "z.zarr: 8 random points lie" in text
    assert "decoded z differs from the image by" in text
    assert 'href="#training"' not in text  # a decoder alone has none
    run = RunFolder(tmp_path / "run")
    run.history.parent.mkdir()
    run.history.write_bytes(history_bytes(epochs([1, 2, 4, 8, 8.1, 15, 15])))
    written = write_report(stores, tmp_path / "page.html", models=[tmp_path / "run"])
    text = written.page.read_text()
    assert "after 7 epochs, of the probe; jumps: KL by 1.85 in epoch 6" in text
    assert any(line.startswith("not decoded: z.zarr") for line in written.notes)


def test_models_are_as_many_as_stores(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="2 for 1 stores; give one for each"):
        write_report([str(folder / "z.zarr")], tmp_path / "page.html", models=[folder, folder])
