"""Rows that are image files below one folder."""

from __future__ import annotations

import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.images import folder
from latentscan.images.folder import natural_key
from latentscan.images.open import open_images
from latentscan.images.source import Status
from tests.images.pictures import SMALL, colours, opened, paint

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.images.source import ImageSource


def test_a_folder_is_listed_in_natural_order(tmp_path: Path) -> None:
    expected = ["b2/1.jpg", "b2/10.JPEG", "b10/1.PNG", "IMG1.webp", "img1.webp", "img2.Tif", "img10.pgm"]
    for colour, path in enumerate(expected):
        paint(tmp_path / path, colour)
    for other in ("notes.txt", ".hidden.jpg", ".cache/1.jpg", "b2/.1.jpg.swp", "b2/thumbs.db", "jpg"):
        paint(tmp_path / other)
    (tmp_path / "empty.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    source = opened(tmp_path)
    assert list(source.paths) == expected == sorted(expected, key=natural_key)
    assert len(source) == 7
    assert source.split is None
    assert source.attributes is None
    assert colours(source.read(0, 7)) == list(range(7))
    assert source.describe() == {
        "kind": "folder",
        "name": tmp_path.name,
        "images": 7,
        "sha256": hashlib.sha256("\n".join(expected).encode()).hexdigest(),
        "pixel_limit": 64_000_000,
    }


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    paint(tmp_path / "elsewhere/1.png")
    paint(tmp_path / "root/a/2.png")
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "elsewhere/self").symlink_to(".")
    (tmp_path / "root/dangling.png").symlink_to("nowhere.png")
    source = opened(tmp_path / "root")
    assert list(source.paths) == ["a/2.png", "dangling.png", "linked/1.png"]
    assert list(source.read(0, 3).status) == [Status.GOOD, Status.MISSING, Status.GOOD]


def test_a_long_listing_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        paint(tmp_path / f"{number}/1.png")
        (tmp_path / f"{number}/notes.txt").touch()
    heard: list[str] = []
    listener = SimpleNamespace(task=None, log=heard.append)
    assert len(open_images(tmp_path, SMALL, progress=listener)) == 3
    assert heard == []  # it was short
    monkeypatch.setattr(folder, "PLAIN_EVERY_S", 0.0)
    assert len(open_images(tmp_path, SMALL, progress=listener)) == 3
    assert heard == [f"{tmp_path}: listing its files, {files} so far" for files in (3, 5, 7, 9)]


def test_no_folder_is_listed_twice(tmp_path: Path) -> None:
    for number in range(10):
        paint(tmp_path / f"{number}/a.png", number)
        for other in range(10):
            (tmp_path / f"{number}/{other}").symlink_to(f"../{other}")
    assert list(opened(tmp_path).paths) == [f"{number}/a.png" for number in range(10)]


def test_a_folder_is_listed_where_the_fewest_links_lead(tmp_path: Path) -> None:
    paint(tmp_path / "elsewhere/deep/1.png")
    paint(tmp_path / "elsewhere/2.png")
    (tmp_path / "root/z").mkdir(parents=True)
    (tmp_path / "root/b").symlink_to("../elsewhere/deep")
    (tmp_path / "root/c").symlink_to("../elsewhere")
    (tmp_path / "root/a").symlink_to("z")  # a link that comes before the folder itself
    paint(tmp_path / "root/z/3.png")
    (tmp_path / "root/z/y").symlink_to("../../elsewhere/deep")
    (tmp_path / "root/self.png").symlink_to("self.png")
    assert list(opened(tmp_path / "root").paths) == ["b/1.png", "c/2.png", "self.png", "z/3.png"]


@pytest.mark.timeout(60)
def test_what_is_no_file_is_rejected_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "faces/folder").mkdir(parents=True)
    (tmp_path / "faces/1.png").symlink_to(tmp_path / "pipe")
    (tmp_path / "faces/2.png").symlink_to("/dev/zero")
    (tmp_path / "faces/3.png").symlink_to("/proc/self/mem")  # says that it is a file of no bytes
    paint(tmp_path / "faces/4.png", 4)
    pixels = opened(tmp_path / "faces").read(0, 4)
    assert list(pixels.status) == [Status.UNREADABLE, Status.UNREADABLE, Status.EMPTY, Status.GOOD]
    assert pixels.reasons[0] == "cannot be read: a pipe, not a file"
    assert pixels.reasons[1] == "cannot be read: a device, not a file"
    (tmp_path / "list.txt").write_text("faces/4.png\npipe\nfaces/folder\n")
    listed = opened(tmp_path / "list.txt").read(0, 3)
    assert list(listed.status) == [Status.GOOD, Status.UNREADABLE, Status.UNREADABLE]


def test_rows_keep_their_places_when_files_go_bad(tmp_path: Path) -> None:
    for row in range(6):
        paint(tmp_path / f"{row}.png", row)
    source = opened(tmp_path)
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes(b"not an image")
    pixels = source.read(0, 6)
    assert colours(pixels) == [0, 0, 2, 0, 0, 5]
    assert list(pixels.status) == [0, Status.MISSING, 0, Status.EMPTY, Status.NOT_AN_IMAGE, 0]
    assert list(pixels.reasons) == [1, 3, 4]
    assert str(tmp_path) not in str(pixels.reasons)
    taken = source.take([5, 1, 0, 5])
    assert colours(taken) == [5, 0, 0, 5]
    assert list(taken.reasons) == [1]
    assert source.read(2, 2).values.shape == (0, 8, 8, 3)


@pytest.mark.parametrize("rows", [[-1], [3], [0, 3]])
def test_rows_outside_are_refused(tmp_path: Path, rows: list[int]) -> None:
    for row in range(3):
        paint(tmp_path / f"{row}.png")
    np.save(tmp_path / "array.npy", np.zeros((3, 8, 8), np.uint8))
    for source in (opened(tmp_path), opened(tmp_path / "array.npy")):
        with pytest.raises(IndexError, match="of a source of 3 images"):
            source.take(rows)
        with pytest.raises(IndexError):
            source.read(rows[0], rows[-1] + 1)


def test_the_pixel_limit_is_passed_on(tmp_path: Path) -> None:
    paint(tmp_path / "1.png")
    assert list(opened(tmp_path, pixel_limit=63).read(0, 1).status) == [Status.TOO_LARGE]
    (tmp_path / "list.txt").write_text("1.png")
    assert list(opened(tmp_path / "list.txt", pixel_limit=63).read(0, 1).status) == [Status.TOO_LARGE]


def test_threads_may_share_a_source_and_processes_a_copy(tmp_path: Path) -> None:
    for row in range(60):
        paint(tmp_path / f"{row}.png", row)
    source: ImageSource = pickle.loads(pickle.dumps(opened(tmp_path)))  # noqa: S301 - pickled here
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda start: colours(source.read(start, start + 10)), range(0, 60, 10))
    assert [colour for part in parts for colour in part] == list(range(60))


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "1.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(UsageError, match="valid Unicode; rename it"):
        opened(tmp_path)
