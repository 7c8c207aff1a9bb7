"""Rejected images that are read again, with an encoder that needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from latentscan.encoding.encode import encode
from latentscan.encoding.parameters import Noise
from latentscan.encoding.sources import open_source
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status
from latentscan.scan.check import check_store
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.scan.rejects import Summary

IMAGES, SIZE, CHUNK = 20, 8, 8
BAD = (3, 9, 10)  # in blocks 0 and 1; block 2 has none


class Means:
    """An encoder whose mu are pixels."""

    name, sha256, components, outputs, positions, batch_size = (
        "means",
        "0" * 64,
        4,
        ("mu", "logvar"),
        (0, 1),
        3,
    )
    versions: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)
    default_preprocessing = Preprocessing(size=SIZE)

    def probe(self, pixels: Any) -> Any:
        return self(pixels[: self.batch_size])

    def __call__(self, pixels: Any) -> dict[str, Any]:
        assert len(pixels) <= self.batch_size
        mu = pixels.reshape(len(pixels), -1)[:, : self.components].astype(np.float32) / 255
        return {"mu": mu, "logvar": mu - 2}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    (tmp_path / "faces").mkdir()
    for number in range(IMAGES):
        paint(tmp_path / "faces", number)
    names = "".join(f"{number:02d}.png\n" for number in range(IMAGES))
    (tmp_path / "list.txt").write_text(names)
    return tmp_path / "faces"


def paint(folder: Path, number: int) -> None:
    Image.new("RGB", (SIZE, SIZE), (number, 2 * number, 3 * number)).save(folder / f"{number:02d}.png")


def spoil(folder: Path, numbers: Any) -> None:
    for number in numbers:
        (folder / f"{number:02d}.png").write_bytes(b"")


def run(faces: Path, store: str = "z.zarr", **options: Any) -> Summary:
    encoder: Any = Means()
    source = open_source(faces.with_name("list.txt"), encoder.default_preprocessing, root=faces)
    location = str(faces.with_name(store))
    return encode(encoder, source, location, noise=Noise(seed=1), chunk_rows=CHUNK, **options)


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def test_rows_that_can_be_read_now_are_those_of_a_run_in_which_they_could(faces: Path) -> None:
    run(faces, "good.zarr")
    spoil(faces, BAD)
    assert dict(run(faces).rejected) == {Status.EMPTY: 3}
    for number in BAD:
        paint(faces, number)
    summary = run(faces, retry_rejected=True)
    assert (summary.written, summary.retried, summary.recovered, dict(summary.rejected)) == (3, 3, 3, {})
    assert files(faces.with_name("z.zarr")) == files(faces.with_name("good.zarr"))


def test_a_row_that_has_latents_keeps_them_though_its_image_is_gone(faces: Path) -> None:
    spoil(faces, BAD)
    run(faces)
    store = open_store(str(faces.with_name("z.zarr")))
    before = {name: np.asarray(store.array(name)[:]) for name in ("mu", "logvar", "z")}
    for number in range(IMAGES):
        (faces / f"{number:02d}.png").unlink()
    for number in (0, 9):
        paint(faces, number)
    summary = run(faces, retry_rejected=True)
    assert (summary.retried, summary.recovered) == (3, 1)
    assert dict(summary.rejected) == {Status.MISSING: 2}
    for name, values in before.items():
        found = np.asarray(store.array(name)[:])
        good = np.isfinite(values).all(axis=1)
        np.testing.assert_array_equal(found[good], values[good])
        assert np.flatnonzero(np.isfinite(found).all(axis=1) & ~good).tolist() == [9]


def test_nothing_is_written_where_nothing_can_be_read(faces: Path) -> None:
    spoil(faces, BAD)
    run(faces)
    times = {path: path.stat().st_mtime_ns for path in faces.with_name("z.zarr").rglob("*")}
    assert run(faces, retry_rejected=True).recovered == 0
    assert {path: path.stat().st_mtime_ns for path in faces.with_name("z.zarr").rglob("*")} == times


def test_an_interrupted_retry_is_finished_by_the_next_run(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(faces, "good.zarr")
    spoil(faces, BAD)
    run(faces)
    for number in BAD:
        paint(faces, number)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("latentscan.store.rewrite.write_block", killed)
        with pytest.raises(KeyboardInterrupt):
            run(faces, retry_rejected=True)
    spoil(faces, range(4, IMAGES))
    run(faces)
    assert dict(run(faces).rejected) == {Status.EMPTY: 2}
    for number in BAD:
        paint(faces, number)
    run(faces, retry_rejected=True)
    assert files(faces.with_name("z.zarr")) == files(faces.with_name("good.zarr"))


TABLE = "name;flag;age;weight;kind\n" + "".join(
    f"{number:02d};{number % 2};{number + 5};{number},5;{'ab'[number % 2]}\n"
    for number in range(IMAGES)[::-1]
)


def test_attributes_of_every_kind_are_written_and_stay_when_images_are_read_again(
    faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text(TABLE)
    for number in BAD:
        (faces / f"{number:02d}.png").unlink()
    source = open_source(
        tmp_path / "list.txt",
        Preprocessing(size=SIZE),
        root=faces,
        attributes=str(tmp_path / "labels.csv"),
    )
    location = str(tmp_path / "labelled.zarr")
    encoder: Any = Means()
    encode(encoder, source, location, noise=Noise(), chunk_rows=CHUNK)
    expected: dict[str, list[Any]] = {
        "flag": [1 if row % 2 else -1 for row in range(IMAGES)],
        "age": [row + 5 for row in range(IMAGES)],
        "weight": [row + 0.5 for row in range(IMAGES)],
        "kind": ["ab"[row % 2] for row in range(IMAGES)],
    }
    store = open_store(location)
    assert store.categories("kind") == ("a", "b")
    assert {label: store.read_attribute(label).tolist() for label in expected} == expected
    for number in BAD:
        paint(faces, number)
    summary = encode(encoder, source, location, noise=Noise(), chunk_rows=CHUNK, retry_rejected=True)
    assert summary.recovered == len(BAD)
    store = open_store(location)
    assert {label: store.read_attribute(label).tolist() for label in expected} == expected
    assert check_store(store).damages == ()
