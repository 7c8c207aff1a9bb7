"""Several encoders in one pass over the images: what each writes is what it writes alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from latentscan import api
from latentscan.cli.app import app
from latentscan.encoding.encode import Encoding, encode_all, encode_images, encode_together
from latentscan.encoding.parameters import EncodeParameters, Noise
from latentscan.errors import SOME_REJECTED, UsageError
from latentscan.images.arrays import ArraySource
from latentscan.images.preprocessing import Preprocessing
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks
from tests.jobs.examples import connected, dask_cluster

if TYPE_CHECKING:
    from latentscan.images.source import Pixels
    from latentscan.models.encoder import Encoder

SIZE = 32


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with z alone, of 3 components."""
    return saved(tmp_path_factory, SIZE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that takes images of 16 × 16 pixels."""
    return saved(tmp_path_factory, 16)


def saved(folders: pytest.TempPathFactory, size: int) -> Path:
    import keras

    keras.utils.set_random_seed(size)
    inputs = keras.Input((size, size, 3))
    z = keras.layers.Dense(3, name="z")(keras.layers.Flatten()(inputs))
    path: Path = folders.mktemp("plain") / "encoder.keras"
    keras.Model(inputs, z).save(path)
    return path


class CountingSource(ArraySource):
    """Images in memory, and how often each was decoded."""

    def __init__(self, images: int) -> None:
        rng = np.random.default_rng(5)
        pixels = rng.integers(0, 256, (images, SIZE, SIZE, 3), np.uint8)
        super().__init__(pixels, "memory", Preprocessing(size=SIZE))
        self.decoded = np.zeros(images, int)

    def read(self, start: int, stop: int) -> Pixels:
        self.decoded[start:stop] += 1
        return super().read(start, stop)


def files(store: str) -> dict[str, bytes]:
    root = Path(store)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def chunks(store: str) -> dict[str, bytes]:
    """The files of a store but for its metadata, which say where it is."""
    return {name: content for name, content in files(store).items() if not name.endswith("zarr.json")}


def test_stores_are_those_of_each_encoder_alone(
    model: Path, plain: Path, small: Path, bad_folder: Path, tmp_path: Path
) -> None:
    parameters = EncodeParameters(chunk_rows=4, seed=7)
    models = [str(path) for path in (model, plain, small)]
    together = [str(tmp_path / f"{name}.zarr") for name in ("a", "b", "c")]
    summaries = encode_all(models, str(bad_folder), together, parameters)
    whole = list(map(files, together))
    for path in together:
        shutil.rmtree(path)
    alone = [
        encode_images(one, str(bad_folder), store, parameters if one == str(model) else parameters_of_plain())
        for one, store in zip(models, together, strict=True)
    ]
    assert summaries == alone
    assert sum(summaries[0].rejected.values()) == 4
    assert list(map(files, together)) == whole


def parameters_of_plain() -> EncodeParameters:
    return EncodeParameters(chunk_rows=4)  # it samples nothing, and takes no seed


def test_an_image_is_decoded_once(encoder: Encoder, tmp_path: Path) -> None:
    source = CountingSource(100)
    sizes = [48, 48, 7, 100]  # batches of other encoders do not fit into one another
    encoders = [replace(encoder, batch_size=size) for size in sizes]
    stores = [str(tmp_path / f"{number}.zarr") for number in range(len(sizes))]
    encodings = [Encoding(one, store, Noise(3)) for one, store in zip(encoders, stores, strict=True)]
    encode_together(encodings, source, chunk_rows=60)
    probes = np.zeros(100, int)
    probes[:16] = len(sizes)
    np.testing.assert_array_equal(source.decoded - probes, 1)
    for one, store in zip(encoders, stores, strict=True):
        encode_together([Encoding(one, str(tmp_path / "z.zarr"), Noise(3))], source, chunk_rows=60)
        assert files(store) == files(str(tmp_path / "z.zarr"))
        shutil.rmtree(tmp_path / "z.zarr")


def test_only_what_a_store_lacks_is_written(encoder: Encoder, tmp_path: Path) -> None:
    stores = [str(tmp_path / name) for name in ("a.zarr", "b.zarr")]
    encodings = [Encoding(encoder, store, Noise(3)) for store in stores]
    encode_together(encodings, CountingSource(100), chunk_rows=20)
    whole = list(map(files, stores))
    retract_blocks(stores[0], [1, 2])
    retract_blocks(stores[1], [2])
    source = CountingSource(100)
    found = encode_together(encodings, source, chunk_rows=20)
    assert [summary.written for summary in found] == [40, 20]
    assert np.flatnonzero(source.decoded[16:]).tolist() == list(range(4, 44))
    assert list(map(files, stores)) == whole


def test_workers_write_the_same_bytes(model: Path, plain: Path, faces: Path, tmp_path: Path) -> None:
    parameters = EncodeParameters(chunk_rows=40)
    models, images = [str(model), str(plain)], str(faces)
    here = [str(tmp_path / name) for name in ("a.zarr", "b.zarr")]
    encode_all(models, images, here, parameters)
    there = [str(tmp_path / "workers" / name) for name in ("a.zarr", "b.zarr")]
    (tmp_path / "workers").mkdir()
    with dask_cluster(tmp_path, 2) as (address, _), connected(address) as cluster:
        api.encode(models, images, there, executor=cluster, progress=False, chunk_rows=40)
    for one, other in zip(here, there, strict=True):
        assert chunks(one) == chunks(other)


def test_each_store_says_how_it_alone_goes_on(model: Path, plain: Path, faces: Path, tmp_path: Path) -> None:
    stores = [str(tmp_path / name) for name in ("a.zarr", "b.zarr")]
    encode_all([str(model), str(plain)], str(faces), stores, EncodeParameters(chunk_rows=40, seed=2))
    commands = [open_store(store).resume_command for store in stores]
    assert [command.count("--model") for command in commands] == [1, 1]
    assert "--seed 2" in commands[0]
    assert "--seed" not in commands[1]


@pytest.mark.parametrize(
    ("stores", "message"),
    [
        (["a.zarr"], "2 of model and 1 of store; give a store for each model"),
        (["a.zarr", "b.zarr", "c.zarr"], "2 of model and 3 of store"),
        (["a.zarr", "./a.zarr"], "given twice; name each store once"),
    ],
)
def test_pairs_that_are_none_are_refused(model: Path, plain: Path, stores: list[str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        encode_all([str(model), str(plain)], "faces", stores, EncodeParameters())
    assert message in str(refused.value)


def test_the_command_says_what_came_of_each(
    model: Path, plain: Path, bad_folder: Path, tmp_path: Path
) -> None:
    pairs: list[str] = []
    for one, name in ((model, "a"), (plain, "b")):
        pairs += ["--model", str(one), "--store", str(tmp_path / f"{name}.zarr")]
    words: list[Any] = ["encode", "--images", bad_folder, *pairs, "--seed", 3]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == SOME_REJECTED, done.stderr
    for name in ("a", "b"):
        assert f"{name}.zarr is complete: 10 images" in done.stderr
    assert done.stderr.count("4 images rejected") == 2
    assert f"{plain}: images: " in done.stderr
    again = CliRunner().invoke(app, [str(word) for word in words])
    assert again.exit_code == SOME_REJECTED
    assert "10 of them from before" in again.stderr
