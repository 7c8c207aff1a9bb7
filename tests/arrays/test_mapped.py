"""Numbers that stand in a file as they are, and files that say more than they hold."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.arrays.mapped import npz_arrays, safetensors_arrays
from latentscan.errors import UnsafeInputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.arange(12, dtype="<f4")


def tensors(file: Path, header: Any, content: bytes = ROWS.tobytes(), length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + content)
    return file


def entry(dtype: str = "F32", shape: Any = (4, 3), offsets: Any = (0, 48)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("name", "dtype"), [("F64", "<f8"), ("F32", "<f4"), ("F16", "<f2"), ("I64", "<i8"), ("U8", "u1")]
)
def test_tensors_of_each_kind_are_mapped(tmp_path: Path, name: str, dtype: str) -> None:
    values = np.arange(12).astype(dtype).reshape(4, 3)
    header = {"__metadata__": {"format": "pt"}, "z": entry(name, (4, 3), (0, values.nbytes))}
    found = safetensors_arrays(tensors(tmp_path / "a.safetensors", header, values.tobytes()))
    np.testing.assert_array_equal(found["z"].read(1, 3), values[1:3])


def test_brain_floats_are_read_as_float32(tmp_path: Path) -> None:
    upper = (ROWS.view(np.uint32) >> 16).astype("<u2")
    found = safetensors_arrays(
        tensors(tmp_path / "a.st", {"z": entry("BF16", (4, 3), (0, 24))}, upper.tobytes())
    )
    np.testing.assert_array_equal(found["z"].read(0, 4), ROWS.reshape(4, 3))
    assert found["z"].fits


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[1, 2]",
        b"{" * 2000,
        {"z": entry(offsets=(0, 47))},
        {"z": entry(offsets=(-4, 44))},
        {"z": entry(shape=(-4, -3))},
        {"z": entry(shape=(4, 10**30))},
        {"z": entry(shape=(8, 3), offsets=(0, 96))},
        {"z": entry(shape="x")},
        {"z": {"dtype": "F32"}},
        {"z": 5},
    ],
)
def test_a_damaged_header_is_named(tmp_path: Path, header: Any) -> None:
    with pytest.raises(UsageError, match=r"a\.safetensors: "):
        safetensors_arrays(tensors(tmp_path / "a.safetensors", header))


def test_a_header_without_end_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.safetensors: "):
        safetensors_arrays(tensors(tmp_path / "a.safetensors", b"{}", length=2**63))


def npz(file: Path, member: bytes, kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", kind) as written:
        written.writestr("z.npy", member)
    return file


def npy(tmp_path: Path, values: Any, **options: Any) -> bytes:
    np.save(tmp_path / "x.npy", values, **options)
    return (tmp_path / "x.npy").read_bytes()


def test_pickled_objects_in_an_archive_are_refused(tmp_path: Path) -> None:
    content = npy(tmp_path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(UnsafeInputError, match=r"a\.npz: holds pickled Python objects"):
        npz_arrays(npz(tmp_path / "a.npz", content))


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("harm", ["shape", "short", "noise"])
def test_a_damaged_archive_is_named(tmp_path: Path, kind: int, harm: str) -> None:
    content = npy(tmp_path, ROWS.reshape(4, 3))
    harmed = {
        "shape": content.replace(b"(4, 3)", b"(9, 9)"),
        "short": content[:-1],
        "noise": b"\x93NUMPY\x09\x00",
    }
    with pytest.raises(UsageError, match=r"a\.npz: z\.npy is damaged"):
        npz_arrays(npz(tmp_path / "a.npz", harmed[harm], kind))


@pytest.mark.parametrize("harm", [50, 130, -60])
def test_compressed_numbers_that_are_damaged_are_no_rows(tmp_path: Path, harm: int) -> None:
    rows = np.random.default_rng(0).standard_normal((2000, 3))
    file = npz(tmp_path / "a.npz", npy(tmp_path, rows), zipfile.ZIP_DEFLATED)
    content = bytearray(file.read_bytes())
    content[harm if harm != -60 else len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.npz: "):
        npz_arrays(file)["z"].read(0, 2000)


def test_there_has_to_be_room_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = npz(tmp_path / "a.npz", npy(tmp_path, np.zeros((1000, 3))), zipfile.ZIP_DEFLATED)

    class Full:
        free = 100

    monkeypatch.setattr("shutil.disk_usage", lambda _: Full)
    with pytest.raises(UsageError, match=r"no room .* for a copy of a\.npz: 24,000 bytes, but 100 are free"):
        npz_arrays(file)["z"].read(0, 5)
