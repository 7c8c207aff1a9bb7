"""What a location of images names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latentscan.errors import ParameterError
from latentscan.images.location import exists, numbered_files, without_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{8..11}.tar", ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]),
        ("a-{08..10}.tar", ["a-08.tar", "a-09.tar", "a-10.tar"]),
        ("{0..1}-{00..01}.tar", ["0-00.tar", "0-01.tar", "1-00.tar", "1-01.tar"]),
        ("a-{b,c}.tar", ["a-{b,c}.tar"]),
    ],
)
def test_a_range_names_files_in_order(tmp_path: Path, name: str, expected: list[str]) -> None:
    assert [file.name for file in numbered_files(tmp_path / name)] == expected


@pytest.mark.parametrize(
    "name", ["{5..4}.tar", "{0..100000}.tar", "{0..9999999999}.tar", "{0..999}{0..999}.tar"]
)
def test_ranges_have_an_end(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="names"):
        numbered_files(tmp_path / name)


def test_a_file_that_has_such_a_name_is_itself(tmp_path: Path) -> None:
    for name in ("a-{0..1}.tar", "a:b.npz", "c.h5"):
        (tmp_path / name).touch()
    assert list(numbered_files(tmp_path / "a-{0..1}.tar")) == [tmp_path / "a-{0..1}.tar"]
    assert without_key(tmp_path / "a:b.npz") == (tmp_path / "a:b.npz", "")
    assert without_key(tmp_path / "a:b.npz:x:y") == (tmp_path / "a:b.npz", "x:y")
    assert without_key(tmp_path / "c.h5:train/images") == (tmp_path / "c.h5", "train/images")
    assert without_key(tmp_path / "none.h5:x") == (tmp_path / "none.h5:x", "")
    assert exists(tmp_path / "c.h5:x")
    assert not exists(tmp_path / "none.h5:x")
