"""Latents in files of every kind, brought into a store: the rows are those of the file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import zarr

from latentscan.encoding.ingest import ingest
from latentscan.encoding.latents.opening import LatentsFile
from latentscan.errors import UsageError
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGES, COMPONENTS = 23, 12
Z = np.random.default_rng(0).standard_normal((IMAGES, COMPONENTS)).astype(np.float32)


def csv(file: Path, separator: str, names: list[str], index: bool = False) -> None:
    lines = [separator.join([*([""] if index else []), *names])]
    for row, values in enumerate(Z.tolist()):
        texts = [repr(value).replace(".", "," if separator == ";" else ".") for value in values]
        lines.append(separator.join([*([str(row)] if index else []), *texts]))
    file.write_text("\n".join(lines) + "\n")


def parquet(file: Path, *, as_lists: bool) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    if as_lists:
        columns = {"id": pa.array(range(IMAGES)), "emb": pa.array(Z.tolist(), pa.list_(pa.float32()))}
    else:
        columns = {f"z{at}": pa.array(Z[:, at]) for at in range(COMPONENTS)[::-1]}
    pq.write_table(pa.table(columns), file, row_group_size=5)


def hdf5(file: Path, path: str, **others: Any) -> None:
    with h5py.File(file, "w") as opened:
        opened.create_dataset(path, data=Z, chunks=(5, COMPONENTS), compression="gzip")
        for name, values in others.items():
            opened[name] = values


def zarr_group(folder: Path, version: Any) -> None:
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    group.create_array("obsm/X_vae", data=Z, chunks=(5, COMPONENTS))
    group.create_array("obsm/X_pca", data=Z[:, :2], chunks=(5, 2))


def safetensors(file: Path) -> None:
    pytest.importorskip("safetensors.numpy").save_file({"z": Z, "other": Z[:, :2].copy()}, file)


def torch_saved(file: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"model": {"z": torch.from_numpy(Z)}, "epoch": 3}, file)


NUMBERED = [f"z{at}" for at in range(COMPONENTS)]
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "big.npy": (lambda file: np.save(file, Z.astype(">f8")), ""),
    "fortran.npy": (lambda file: np.save(file, np.asfortranarray(Z)), ""),
    "half.npy": (lambda file: np.save(file, Z.astype(np.float16)), ""),
    "stored.npz": (lambda file: np.savez(file, labels=np.arange(IMAGES), latents=np.asfortranarray(Z)), ""),
    "packed.npz": (lambda file: np.savez_compressed(file, a=Z, b=Z[:, :2]), ":a"),
    "own.npz": (lambda file: np.savez(file, z=Z, x=Z[:, :2]), ""),
    "a.safetensors": (safetensors, ":z"),
    "a.pt": (torch_saved, ""),
    "a.h5": (lambda file: hdf5(file, "deep/latents", labels=np.arange(IMAGES)), ""),
    "a.h5ad": (lambda file: hdf5(file, "obsm/X_vae", X=Z[:, :5]), ":obsm/X_vae"),
    "v2.zarr": (lambda file: zarr_group(file, 2), ":obsm/X_vae"),
    "v3.zarr": (lambda file: zarr_group(file, 3), ":obsm/X_vae"),
    "array.zarr": (lambda file: zarr.create_array(file, data=Z, chunks=(4, 5)), ""),
    "a.csv": (lambda file: csv(file, ",", NUMBERED, index=True), ""),
    "german.csv": (lambda file: csv(file, ";", NUMBERED), ":z*"),
    "names.csv": (lambda file: csv(file, "\t", list("abcdefghijkl")), ""),
    "pandas.csv": (lambda file: csv(file, ",", list(map(str, range(COMPONENTS)))), ""),
    "bare.txt": (lambda file: np.savetxt(file, Z, fmt="%.9g"), ""),
    "lists.parquet": (lambda file: parquet(file, as_lists=True), ""),
    "columns.parquet": (lambda file: parquet(file, as_lists=False), ""),
}


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_that_of_the_file(tmp_path: Path, name: str) -> None:
    make, key = FILES[name]
    make(tmp_path / name)
    store = str(tmp_path / "out.zarr")
    ingest({"z": f"{tmp_path / name}{key}"}, store, chunk_rows=7)
    expected = Z.astype(np.float16).astype(np.float32) if name == "half.npy" else Z
    opened = open_store(store)
    np.testing.assert_array_equal(np.asarray(opened.z[:]), expected)
    assert ingest({"z": f"{tmp_path / name}{key}"}, store, chunk_rows=7).written == 0
    assert opened.attributes["source"]["z"].get("key", "") == key.removeprefix(":")


@pytest.mark.parametrize("kind", ["i1", "u1", ">i2", "u2", "i4", ">u8", "i8"])
def test_whole_numbers_are_latents_too(tmp_path: Path, kind: str) -> None:
    values = np.arange(24).reshape(12, 2).astype(kind)
    np.save(tmp_path / "z.npy", values)
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"))
    np.testing.assert_array_equal(np.asarray(open_store(str(tmp_path / "z.zarr")).z[:]), values)


@pytest.mark.parametrize("order", ["C", "F"])
def test_latents_of_several_axes_are_rows_in_c_order(tmp_path: Path, order: Any) -> None:
    values = np.arange(5 * 2 * 3 * 4, dtype=np.float32).reshape(5, 2, 3, 4)
    np.save(tmp_path / "z.npy", np.asarray(values, order=order))
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"), chunk_rows=2)
    store = open_store(str(tmp_path / "z.zarr"))
    assert store.latent_shape == (2, 3, 4)
    np.testing.assert_array_equal(np.asarray(store.z[:]), values.reshape(5, 24))


def test_a_first_row_that_could_be_data_is_data(tmp_path: Path) -> None:
    (tmp_path / "z.csv").write_text("0,1\n1,0\n")
    assert LatentsFile.named(tmp_path / "z.csv", "z").open().read(0, 2).tolist() == [[0, 1], [1, 0]]


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table([pa.array([1.0]), pa.array([2.0])], names=["z", "z"]), tmp_path / "z.parquet")
    with pytest.raises(UsageError, match="2 columns named 'z'; expected one"):
        LatentsFile.named(tmp_path / "z.parquet", "z").open()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        np.savez(tmp_path / "z.npz", a=np.full((3, 2), value), b=np.zeros(int(value)))
        held = LatentsFile.named(tmp_path / "z.npz", "z").open()
        assert held.read(0, 1).tolist() == [[value, value]]


def test_a_name_may_hold_colons(tmp_path: Path) -> None:
    np.save(tmp_path / "a:b.npy", Z)
    assert LatentsFile.named(f"{tmp_path}/a:b.npy", "z").key == ""
    arrays: Any = {"x:y": Z}
    np.savez(tmp_path / "c.npz", **arrays)
    assert LatentsFile.named(f"{tmp_path}/c.npz:x:y", "z").key == "x:y"


def two(file: Path) -> None:
    np.savez(file, a=Z, b=Z, c=np.zeros(3))


def text(content: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(content)


def jagged(file: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"emb": pa.array([[1.0, 2.0], [1.0]])}), file)


def elsewhere(file: Path) -> None:
    (file.parent / "secret").write_bytes(bytes(64))
    with h5py.File(file, "w") as opened:
        opened.create_dataset("x", (4, 4), "f4", external=[("secret", 0, 64)])
        opened["y"] = h5py.ExternalLink("other.h5", "z")


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "several arrays": (
        "a.npz",
        two,
        "holds several arrays; it has a (23, 12), b (23, 12); name one, as in a.npz:a",
    ),
    "an absent key": ("a.npz:x", two, "holds no such array; it has a (23, 12), b (23, 12)"),
    "a key that fits not": ("a.npz:c", two, "float64 of shape (3,); expected an array of numbers"),
    "no array": ("a.h5", lambda file: h5py.File(file, "w").close(), "holds no array that fits"),
    "numbers in other files": ("a.h5", elsewhere, "holds no array that fits"),
    "no HDF5": ("a.h5", text("nothing"), "no HDF5 that can be read"),
    "no archive": ("a.npz", text("PK nothing"), "cannot be read"),
    "an unknown kind": ("a.xyz", text("nothing"), "of no known kind; expected .npy, .npz"),
    "texts": ("a.csv", text("z0,z1\n1,2\n1,x\n"), "a.csv, line 3: could not convert string to float: 'x'"),
    "unclear columns": (
        "a.csv",
        text("a0,a1,b0,b1\n1,2,3,4\n"),
        "not clear which columns are the latents; it has a*, b*",
    ),
    "absent columns": ("a.csv:q*", text("a0,a1\n1,2\n"), "has no such columns of numbers; it has a0, a1"),
    "two columns of one name": ("a.csv", text("z,z\n1,2\n"), "2 columns named 'z'; expected one"),
    "short rows": ("a.csv", text("a0,a1\n1,2\n1\n"), "line 3: 1 fields; expected 2"),
    "lists of several lengths": ("a.parquet", jagged, "lists of 1 to 2 numbers"),
    "no file": ("b.npy", text(""), "does not exist; expected an array of numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_latents_is_named(tmp_path: Path, case: str) -> None:
    name, make, message = REFUSED[case]
    make(tmp_path / ("a.npy" if case == "no file" else name.partition(":")[0]))
    with pytest.raises(UsageError) as refused:
        ingest({"z": f"{tmp_path / name}"}, str(tmp_path / "z.zarr"))
    assert str(tmp_path / name.partition(":")[0]) in str(refused.value)
    assert message in str(refused.value)
    assert not (tmp_path / "z.zarr").exists()


def test_parquet_without_its_library_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'pip install "latentscan\[parquet\]"'):
        LatentsFile.named(tmp_path / "a.parquet", "z").open()


def test_urls_are_refused() -> None:
    with pytest.raises(UsageError, match="expected latents on a disk"):
        LatentsFile.named("s3://bucket/z.npy", "z")
