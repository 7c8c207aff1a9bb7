"""Rows that are images in one array."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from latentscan.errors import UnsafeInputError, UsageError
from latentscan.images.arrays import ArraySource
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status
from tests.images.pictures import opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shape", [(5, 8, 8, 3), (5, 8, 8)])
def test_an_array_gives_its_rows(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "faces.npy", values)
    source = opened(tmp_path / "faces.npy")
    expected = values if values.ndim == 4 else np.repeat(values[..., None], 3, axis=3)
    np.testing.assert_array_equal(source.read(1, 4).values, expected[1:4])
    np.testing.assert_array_equal(source.take([4, 0, 4]).values, expected[[4, 0, 4]])
    assert list(source.paths) == ["0", "1", "2", "3", "4"]
    assert list(source.paths[1:3]) == ["1", "2"]
    assert source.paths[-1] == "4"
    assert (source.split, source.attributes) == (None, None)
    assert source.describe()["kind"] == "array"
    assert source.describe()["name"] == "faces.npy"


def test_an_array_is_prepared_as_files_are(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)
    for row in range(2):
        Image.fromarray(values[row]).save(tmp_path / f"{row}.png")
    preprocessing = Preprocessing(crop=24, size=12)
    files = open_images(tmp_path, preprocessing).read(0, 2)
    array = ArraySource(np.asfortranarray(values), "memory", preprocessing)
    np.testing.assert_array_equal(array.read(0, 2).values, files.values)
    too_large = ArraySource(values, "memory", Preprocessing(crop=31)).read(0, 2)
    assert list(too_large.status) == [Status.UNSUPPORTED] * 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.int32), "int32 with shape (2, 8, 8, 3)"),
        (np.zeros((8, 8), np.uint8), "uint8 with shape (8, 8)"),
        (np.zeros((2, 2, 3, 8, 8), np.uint8), "uint8 with shape (2, 2, 3, 8, 8)"),
        (np.zeros((0, 8, 8), np.uint8), "no images"),
    ],
)
def test_arrays_of_another_kind(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "array.npy", array)
    with pytest.raises(UsageError, match=r"array\.npy") as caught:
        opened(tmp_path / "array.npy")
    assert message in str(caught.value)


def test_arrays_that_could_run_code_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object))
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1, 2]))
    for name in ("objects.npy", "pickle.npy"):
        with pytest.raises(UnsafeInputError, match=name):
            opened(tmp_path / name)


@pytest.mark.parametrize("kept", [0, 3, 9, 40, 200])
def test_a_cut_array_is_refused(tmp_path: Path, kept: int) -> None:
    np.save(tmp_path / "array.npy", np.zeros((5, 8, 8), np.uint8))
    (tmp_path / "array.npy").write_bytes((tmp_path / "array.npy").read_bytes()[:kept])
    with pytest.raises(UsageError, match="can be mapped"):
        opened(tmp_path / "array.npy")


@dataclass
class Declared:
    """An array that says what it likes of itself, and of which few rows are read."""

    shape: tuple[int, ...]
    dtype: Any = np.uint8
    read: list[Any] = field(default_factory=list)

    def __getitem__(self, rows: Any) -> Any:
        self.read.append(rows)
        return np.zeros(self.shape[1:], np.uint8)


def test_rows_are_listed_as_they_are_asked_for() -> None:
    source = ArraySource(Declared((1_000_000_000, 8, 8)), "memory", Preprocessing())
    assert len(source) == len(source.paths) == 1_000_000_000
    assert list(source.paths[999_999_998:]) == ["999999998", "999999999"]


@pytest.mark.parametrize("shape", [(10**15, 8, 8), (4, 10**9, 9), (4, 9, 10**9, 3)])
def test_an_array_that_says_it_is_endless_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="at most 1,000,000,000 images of at most 64,000,000 pixels"):
        ArraySource(Declared(shape), "memory", Preprocessing())


def test_large_images_are_read_one_by_one() -> None:
    array = Declared((9, 8000, 8000, 3))
    ArraySource(array, "memory", Preprocessing(size=8)).read(2, 4)
    assert array.read == [2, 3]
