"""Arrays in idx files, of every type, and files that say more than they hold."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.arrays.idx import idx_array, is_idx
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["a-idx2-ubyte", "a-idx2-ubyte.gz"])
@pytest.mark.parametrize(
    ("code", "kind"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_numbers_of_each_type_are_read(tmp_path: Path, name: str, code: int, kind: str) -> None:
    values = np.arange(12).astype(kind).reshape(4, 3)
    content = struct.pack(">HBB2I", 0, code, 2, 4, 3) + values.tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = idx_array(tmp_path / name)[""]
    assert found.shape == (4, 3)
    np.testing.assert_array_equal(found.read(1, 3), values[1:3])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0\0\x08",
        b"\x01\0\x08\x01\0\0\0\x01",
        b"\0\0\x07\x01\0\0\0\x01",
        b"\0\0\x08\0",
        b"\0\0\x08\xff",
    ],
)
def test_what_does_not_begin_as_one_is_refused(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a-idx1-ubyte").write_bytes(head)
    with pytest.raises(UsageError, match="no idx file that can be read"):
        idx_array(tmp_path / "a-idx1-ubyte")


def test_an_idx_file_that_says_it_is_endless_is_refused(tmp_path: Path) -> None:
    head = struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**15, 2**15)
    (tmp_path / "a-idx3-ubyte").write_bytes(head + bytes(64))
    with gzip.open(tmp_path / "a-idx3-ubyte.gz", "wb") as file:
        file.write(head + bytes(64))
    for name in ("a-idx3-ubyte", "a-idx3-ubyte.gz"):
        with pytest.raises(UsageError, match="2,305,843,009,213,693,9"):
            idx_array(tmp_path / name)


def test_files_are_known_by_their_names(tmp_path: Path) -> None:
    known = ("train-images-idx3-ubyte", "t10k-images.idx3-ubyte.gz", "a.idx")
    assert [is_idx(tmp_path / name) for name in (*known, "idx", "a.gz", "list.txt")] == [True] * 3 + [
        False
    ] * 3
