"""A store has the same rows wherever the same images come from."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from latentscan.cli.app import app
from latentscan.encoding.encode import encode, encode_images
from latentscan.encoding.parameters import EncodeParameters, Noise
from latentscan.encoding.sources import open_source
from latentscan.errors import UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.images.endings import FIRST_RULES
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.encoder import load_encoder
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.models.encoder import Encoder

SIZE = 32
IMAGES = 20


@pytest.fixture(scope="module")
def folder(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty faces, of which one is damaged."""
    made: Path = tmp_path_factory.mktemp("few") / "faces"
    made.mkdir()
    for file in sorted((faces / "img_align_celeba").iterdir())[:IMAGES]:
        (made / file.name).write_bytes(file.read_bytes())
    (made / "000007.jpg").write_bytes((made / "000007.jpg").read_bytes()[:2000])
    return made


def zipped(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for one in sorted(folder.iterdir(), reverse=True):
            archive.write(one, one.name)
    return file


def tarred(folder: Path, file: Path) -> Path:
    with tarfile.open(file, "w") as archive:
        archive.add(folder, ".")
    return file


def table(folder: Path, file: Path) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"bytes": one.read_bytes(), "path": one.name} for one in sorted(folder.iterdir())]
    pq.write_table(pa.table({"image": rows, "age": list(range(IMAGES))}), file, row_group_size=7)
    return file


PACKED: dict[str, Callable[[Path, Path], Path]] = {"zip": zipped, "tar": tarred, "parquet": table}


def rows_of(store: Path) -> dict[str, Any]:
    group = zarr.open_group(str(store), mode="r")
    return {name: np.asarray(group[name][:]) for name in ("mu", "logvar", "z", "status", "path")}  # type: ignore[index]


@pytest.mark.parametrize("kind", PACKED)
def test_packed_images_have_the_rows_of_their_folder(
    encoder: Encoder, folder: Path, tmp_path: Path, kind: str
) -> None:
    stores = []
    for images, threads in ((folder, 2), (PACKED[kind](folder, tmp_path / f"faces.{kind}"), 1)):
        stores.append(tmp_path / f"{threads}.zarr")
        source = open_source(images, encoder.default_preprocessing)
        executor = ThreadedExecutor(threads)
        encode(encoder, source, str(stores[-1]), noise=Noise(seed=3), chunk_rows=8, executor=executor)
    expected, found = map(rows_of, stores)
    assert np.flatnonzero(expected["status"]).tolist() == [6]
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_arrays_have_the_rows_of_one_another(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    pixels = open_source(folder, Preprocessing(size=SIZE)).read(0, IMAGES).values
    np.savez_compressed(tmp_path / "a.npz", images=pixels, labels=np.arange(IMAGES))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("deep/images", data=pixels, chunks=(3, SIZE, SIZE, 3), compression="gzip")
    zarr.create_array(str(tmp_path / "a.zarr"), data=pixels)
    stores = []
    for name in ("a.npz", "a.h5", "a.zarr"):
        stores.append(tmp_path / f"z-{name}.zarr")
        source = open_source(tmp_path / name, Preprocessing(size=SIZE))
        encode(encoder, source, str(stores[-1]), noise=Noise(seed=3), chunk_rows=8)
    first = rows_of(stores[0])
    np.testing.assert_array_equal(first["mu"], encoder(pixels)["mu"])
    for store in stores[1:]:
        for name, values in rows_of(store).items():
            np.testing.assert_array_equal(values, first[name])


def test_other_images_in_an_archive_do_not_go_into_its_store(
    encoder: Encoder, folder: Path, tmp_path: Path
) -> None:
    file, store = zipped(folder, tmp_path / "faces.zip"), str(tmp_path / "z.zarr")
    encode(encoder, open_source(file, Preprocessing(size=SIZE)), store, noise=Noise(), chunk_rows=8)
    retract_blocks(store, [1])
    with zipfile.ZipFile(file, "w") as archive:
        for one in folder.iterdir():
            archive.write(one, f"{IMAGES - int(one.stem)}.jpg")
    with pytest.raises(UsageError, match="was begun with source"):
        encode(encoder, open_source(file, Preprocessing(size=SIZE)), store, noise=Noise(), chunk_rows=8)


def test_a_store_that_was_begun_before_other_endings_were_read_goes_on(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(model)
    faces, store = tmp_path / "faces", tmp_path / "z.zarr"
    faces.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())[:6]):
        (faces / f"{number}.{'gif' if number == 2 else 'jpg'}").write_bytes(file.read_bytes())
    asked = EncodeParameters(chunk_rows=2)
    then = open_source(faces, encoder.default_preprocessing, rules=FIRST_RULES)
    assert len(then) == 5
    encode(encoder, then, str(store), noise=Noise(), chunk_rows=2)
    before = rows_of(store)
    retract_blocks(str(store), [1])
    summary = encode_images(str(model), str(faces), str(store), asked)
    assert (summary.images, summary.written) == (5, 2)
    for name, values in before.items():
        np.testing.assert_array_equal(rows_of(store)[name], values)


def test_the_command_says_what_it_passes_over(model: Path, folder: Path, tmp_path: Path) -> None:
    file = zipped(folder, tmp_path / "faces.zip")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("__MACOSX/._1.jpg", b"")
        archive.writestr("notes.txt", b"")
    arguments = ["encode", "--model", str(model), "--images", str(file), "--store", str(tmp_path / "z.zarr")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 3  # one is damaged
    assert "passed over: 1 of other endings (.txt), 1 hidden (__MACOSX)" in done.stderr
