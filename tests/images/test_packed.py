"""Images in archives: the rows, the pixels and the reasons of the same images in a folder."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.images.packed import Members, member_path
from latentscan.images.source import Status
from tests.images.archives import ARCHIVES, LIMIT, assert_same, fill, in_threads, zipped
from tests.images.pictures import opened, paint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_has_the_rows_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = fill(tmp_path / "faces")
    local = opened(folder, pixel_limit=LIMIT)
    source = opened(ARCHIVES[name](folder, tmp_path / name), pixel_limit=LIMIT)
    assert list(source.paths) == list(local.paths)
    assert source.describe() == {**local.describe(), "kind": name[-3:], "name": name}
    expected = local.read(0, len(local))
    reasons = {Status.EMPTY, Status.NOT_AN_IMAGE, Status.DAMAGED, Status.TOO_LARGE}
    assert set(expected.status.tolist()) == {Status.GOOD, *reasons}
    assert_same(source.read(0, len(source)), expected)
    assert_same(source.take([3, 0, 3]), local.take([3, 0, 3]))
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 - pickled here
    assert again is not source
    for threads in (1, 4):
        rows = in_threads(again, threads)
        np.testing.assert_array_equal(np.concatenate([row.values for row in rows]), expected.values)
    assert source.notes == ("passed over: 1 of other endings (.txt), 3 hidden (.DS_Store, @eaDir, __MACOSX)",)


def test_other_images_in_an_archive_are_another_source(tmp_path: Path) -> None:
    folder = fill(tmp_path / "faces")
    pickled = pickle.dumps(opened(zipped(folder, tmp_path / "faces.zip")))
    with zipfile.ZipFile(tmp_path / "faces.zip", "a") as archive:
        archive.write(folder / "b/2.png", "more.png")
    with pytest.raises(UsageError, match=r"sees other images at .*: images is 10, expected 9"):
        pickle.loads(pickled)  # noqa: S301 - pickled here


def test_of_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    for colour in (1, 2):
        paint(tmp_path / f"{colour}.png", colour)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "same.png")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.write(tmp_path / "2.png", "same.png")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for colour in (1, 2):
            tar.add(tmp_path / f"{colour}.png", "same.png")
    for name in ("a.zip", "a.tar"):
        source = opened(tmp_path / name)
        assert list(source.paths) == ["same.png"]
        assert source.read(0, 1).values[0, 0, 0, 0] == 2
        assert source.notes == ("1 members have the names of later ones, which count",)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../etc/1.jpg", "etc/1.jpg"),
        ("/1.jpg", "1.jpg"),
        (r"C:\a\..\1.jpg", "a/1.jpg"),
        ("a\0b/1.jpg", "a"),
        ("./a//1.jpg", "a/1.jpg"),
        ("..", ""),
    ],
)
def test_names_of_members_are_texts(name: str, path: str) -> None:
    assert member_path(name) == path


def test_endless_names_are_refused() -> None:
    with pytest.raises(UsageError, match="has 5,004 characters; expected at most 4,096"):
        Members(1).add("9" * 5000 + ".jpg", [0])
