"""Images in .npz, HDF5 and idx files: the rows of the array."""

from __future__ import annotations

import gzip
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from latentscan.encoding.sources import open_source
from latentscan.errors import ParameterError, UnsafeInputError, UsageError
from latentscan.images.location import exists
from latentscan.images.source import Status
from tests.images.pictures import SMALL, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 8, 8, 3), dtype=np.uint8)
GREY = IMAGES[..., 0]


def idx(file: Path, values: Any = GREY) -> Path:
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    content = head + values.tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return file


def npz(file: Path, save: Callable[..., None] = np.savez, **arrays: Any) -> Path:
    save(file, **(arrays or {"images": IMAGES, "labels": np.arange(23)}))
    return file


def hdf5(file: Path, **options: Any) -> Path:
    with h5py.File(file, "w") as held:
        held.create_dataset("train/images", data=IMAGES, **options)
        held["train/labels"] = np.arange(23)
    return file


FILES: dict[str, tuple[Any, Callable[[Path], Path]]] = {
    "a.npz": (IMAGES, npz),
    "fortran.npz": (IMAGES, lambda file: npz(file, images=np.asfortranarray(IMAGES))),
    "packed.npz": (IMAGES, lambda file: npz(file, np.savez_compressed)),
    "a.h5": (IMAGES, hdf5),
    "packed.hdf5": (IMAGES, lambda file: hdf5(file, chunks=(5, 8, 8, 3), compression="gzip")),
    "train-images-idx3-ubyte": (np.repeat(GREY[..., None], 3, axis=3), idx),
    "train-images-idx3-ubyte.gz": (np.repeat(GREY[..., None], 3, axis=3), idx),
    "t10k-images.idx3-ubyte": (np.repeat(GREY[..., None], 3, axis=3), idx),
}


@pytest.mark.parametrize("name", FILES)
def test_an_array_in_a_file_gives_its_rows(tmp_path: Path, name: str) -> None:
    expected, write = FILES[name]
    source = opened(write(tmp_path / name))
    assert len(source) == 23
    np.testing.assert_array_equal(source.read(3, 9).values, expected[3:9])
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 - pickled here
    assert again is not source
    np.testing.assert_array_equal(again.take([22, 0]).values, expected[[22, 0]])
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda row: again.read(row, row + 1).values[0], range(23)))
    np.testing.assert_array_equal(rows, expected)


def test_one_of_several_arrays_is_named(tmp_path: Path) -> None:
    file = npz(tmp_path / "mnist.npz", x_train=GREY, y_train=np.arange(23), x_test=GREY[:4])
    with pytest.raises(ParameterError) as caught:
        opened(file)
    assert "several arrays of images; it has x_test (4, 8, 8), x_train (23, 8, 8), y_train (23,)" in str(
        caught.value
    )
    assert "name one, as in mnist.npz:x_train" in str(caught.value)
    source = open_source(f"{file}:x_test", SMALL)
    assert (len(source), source.describe()["name"]) == (4, "mnist.npz:x_test")
    assert exists(f"{file}:x_test")
    assert len(pickle.loads(pickle.dumps(source))) == 4  # noqa: S301 - pickled here
    with pytest.raises(ParameterError, match="holds no such array; it has x_test"):
        open_source(f"{file}:x", SMALL)
    np.save(tmp_path / "a.npy", GREY)
    with pytest.raises(ParameterError, match="leave it out"):
        open_source(f"{tmp_path / 'a.npy'}:x", SMALL)


def test_what_was_chosen_is_said(tmp_path: Path) -> None:
    assert opened(npz(tmp_path / "a.npz")).notes == ("images: images of images (23, 8, 8, 3), labels (23,)",)
    assert opened(npz(tmp_path / "b.npz", images=IMAGES)).notes == ()


def test_arrays_that_are_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.npz:z: an array of float64 with shape \(23, 4\)"):
        opened(npz(tmp_path / "a.npz", z=np.zeros((23, 4))))
    with pytest.raises(ParameterError, match="no array with the axes of images; it has y"):
        opened(npz(tmp_path / "b.npz", z=np.zeros((23, 4)), y=np.zeros(23)))
    with pytest.raises(UnsafeInputError, match="pickled"):
        opened(npz(tmp_path / "c.npz", z=np.array([{}, []], dtype=object)))


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a-images-idx3-ubyte", "a-images-idx3-ubyte.gz"])
@pytest.mark.parametrize("kept", [0, 5, 60, 0.9])
def test_cut_files_are_refused(tmp_path: Path, name: str, kept: float) -> None:
    write = {"a.npz": npz, "a.h5": hdf5}.get(name, idx)
    content = write(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(kept * len(content)) if kept == 0.9 else int(kept)])
    with pytest.raises(UsageError, match=name):
        opened(tmp_path / name)


def test_pixels_in_other_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4 * 8 * 8))
    with h5py.File(tmp_path / "a.h5", "w") as held:
        held.create_dataset("images", (4, 8, 8), "u1", external=[(str(tmp_path / "secret"), 0, 256)])
        held["link"] = h5py.ExternalLink("other.h5", "/images")
    with pytest.raises(ParameterError, match="holds no array with the axes of images"):
        opened(tmp_path / "a.h5")


def test_a_damaged_chunk_is_its_own_rows(tmp_path: Path) -> None:
    file = hdf5(tmp_path / "a.h5", chunks=(5, 8, 8, 3), compression="gzip", fletcher32=True)
    with h5py.File(file) as held:
        chunk = held["train/images"].id.get_chunk_info(1)
    content = bytearray(file.read_bytes())
    content[chunk.byte_offset + 20] ^= 0xFF
    file.write_bytes(content)
    pixels = opened(file).read(0, 23)
    assert np.flatnonzero(pixels.status == Status.DAMAGED).tolist() == [5, 6, 7, 8, 9]
    np.testing.assert_array_equal(pixels.values[10:], IMAGES[10:])
