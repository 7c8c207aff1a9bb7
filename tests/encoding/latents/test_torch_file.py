"""Tensors that torch.save wrote, and pickles that hold something else."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest
from latentscan.encoding.latents.torch_file import torch_arrays
from latentscan.errors import UnsafeInputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
TENSOR = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
    + REFERENCE
    + b"%s%s%s\x89ccollections\nOrderedDict\n)RtR."
)
PLAIN = TENSOR % (b"K\x00", b"K\x04K\x03\x86", b"K\x03K\x01\x86")
NUMBERS = np.arange(12, dtype="<f4")


def archive(file: Path, content: bytes, numbers: bytes = NUMBERS.tobytes(), **options: Any) -> Path:
    with zipfile.ZipFile(file, "w", **options) as written:
        written.writestr("archive/data.pkl", content)
        written.writestr("archive/data/0", numbers)
    return file


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def test_a_tensor_is_read_without_torch(tmp_path: Path) -> None:
    (found,) = torch_arrays(archive(tmp_path / "a.pt", PLAIN)).values()
    np.testing.assert_array_equal(found.read(1, 3), NUMBERS.reshape(4, 3)[1:3])


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8"])
def test_tensors_of_torch_are_equal(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    values = torch.arange(24).reshape(2, 12).t().to(getattr(torch, kind))  # not contiguous
    part = torch.arange(60.0).reshape(10, 6)[3:7, 1:3]
    inner = [values, {"part": part, "p": torch.nn.Parameter(part.clone())}]
    torch.save({"a": inner, "meta": OrderedDict(epoch=3, name="x"), "none": None}, tmp_path / "a.pt")
    found = torch_arrays(tmp_path / "a.pt")
    assert list(found) == ["a.0", "a.1.part", "a.1.p"]
    np.testing.assert_array_equal(found["a.0"].read(0, 12), values.to(torch.float64).numpy())
    for name in ("a.1.part", "a.1.p"):
        np.testing.assert_array_equal(found[name].read(0, 4), part.numpy())


def test_the_state_of_a_module_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 2)
    torch.save(module.state_dict(), tmp_path / "a.pth")
    found = torch_arrays(tmp_path / "a.pth")
    assert {name: array.shape for name, array in found.items()} == {"weight": (2, 3), "bias": (2,)}
    np.testing.assert_array_equal(found["weight"].read(0, 2), module.weight.detach().numpy())


class _Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


HOSTILE = {
    "a call": pickled(_Hostile()),
    "a call in a dictionary": pickled({"z": _Hostile()}),
    "eval": b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
    "a name by the stack": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.",
    "an object of a class": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "an instance": b"(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "another function of torch": b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.",
    "a storage that is none": b"\x80\x02(X\x04\x00\x00\x00filecos\nsystem\ntQ.",
    "a tuple as key": b"\x80\x02}N\x85K\x01s.",
    "a numpy array": pickled(np.zeros(3)),
    "the state of something else": b"\x80\x02K\x01}b.",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_pickle_is_refused_and_runs_nothing(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "a.pt", HOSTILE[case])
    with pytest.raises(UnsafeInputError, match=r"a\.pt: holds .*, which can run code") as refused:
        ingest({"z": tmp_path / "a.pt"}, str(tmp_path / "z.zarr"))
    assert refused.value.exit_code == 6
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "z.zarr").exists()


@pytest.mark.parametrize("content", [pickled(_Hostile()), b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b""])
def test_a_plain_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UnsafeInputError, match=r"a\.pt: is a pickle, or of a PyTorch before 1\.6"):
        torch_arrays(tmp_path / "a.pt")


DAMAGED = {
    "rows beyond the numbers": TENSOR % (b"K\x00", b"K\x05K\x03\x86", b"K\x03K\x01\x86"),
    "an offset beyond them": TENSOR % (b"K\x01", b"K\x04K\x03\x86", b"K\x03K\x01\x86"),
    "a negative step": TENSOR % (b"K\x00", b"K\x04K\x03\x86", b"J\xff\xff\xff\xffK\x01\x86"),
    "a step too few": TENSOR % (b"K\x00", b"K\x04K\x03\x86", b"K\x03\x85"),
    "no end": PLAIN[:-1],
    "half of it": PLAIN[:40],
    "no stack": b"\x80\x02R.",
    "no mark": b"\x80\x02K\x01t.",
    "no memo": b"\x80\x02h\x05.",
    "no number of the memo": b"\x80\x02q\x05.",
    "noise": b"\xff\xfe\xfd",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named(tmp_path: Path, case: str) -> None:
    archive(tmp_path / "a.pt", DAMAGED[case])
    with pytest.raises(UsageError, match=r"a\.pt: is damaged"):
        torch_arrays(tmp_path / "a.pt")


def test_a_file_without_its_parts_is_named(tmp_path: Path) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as other:
        other.writestr("a/b", b"")
    (tmp_path / "a.pt").write_bytes(written.getvalue())
    with pytest.raises(UsageError, match=r"a\.pt: was not written by torch\.save"):
        torch_arrays(tmp_path / "a.pt")
    archive(tmp_path / "a.pt", PLAIN, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match=r"a\.pt: is damaged \(its numbers are compressed\)"):
        torch_arrays(tmp_path / "a.pt")
