"""Images in .zip files, whole, damaged and hostile."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import ParameterError
from latentscan.images.source import Status
from tests.images.archives import assert_same
from tests.images.pictures import opened, paint
from tests.images.test_celeba import celeba

if TYPE_CHECKING:
    from pathlib import Path


def test_celebas_own_archive_has_the_rows_of_the_folder(tmp_path: Path) -> None:
    root = celeba(tmp_path / "celeba")
    local = opened(root)
    expected = (local.describe(), list(local.paths), local.read(0, 4))
    split, attributes = local.split, local.attributes
    assert split is not None
    assert attributes is not None
    faces = root / "img_align_celeba"
    for inside in ("img_align_celeba/", "img_align_celeba/img_align_celeba/", ""):
        with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
            for file in faces.iterdir():
                archive.write(file, inside + file.name)
        faces.rename(tmp_path / "aside")
        for location in (root, root / "img_align_celeba.zip"):
            source = opened(location)
            assert (source.describe(), list(source.paths)) == expected[:2]
            assert_same(source.read(0, 4), expected[2])
            assert source.split is not None
            assert source.attributes is not None
            np.testing.assert_array_equal(source.split, split)
            assert source.attributes.labels("binary") == attributes.labels("binary")
            np.testing.assert_array_equal(source.attributes.values("binary"), attributes.values("binary"))
        (tmp_path / "aside").rename(faces)


def one_in_zip(tmp_path: Path, method: int = zipfile.ZIP_STORED) -> tuple[Path, bytearray]:
    paint(tmp_path / "1.png", 1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.write(tmp_path / "1.png", "0.png")
        archive.write(tmp_path / "1.png", "1.png")
    return tmp_path / "a.zip", bytearray((tmp_path / "a.zip").read_bytes())


@pytest.mark.parametrize(
    ("method", "at", "change", "status", "reason"),
    [
        (0, 60, 0xFF, Status.DAMAGED, "its checksum is wrong"),
        (8, 40, 0xFF, Status.DAMAGED, "damaged in the archive: "),
        (0, 0, 0x01, Status.DAMAGED, "no member is where the archive says"),
    ],
)
def test_a_damaged_member_is_one_row(
    tmp_path: Path, method: int, at: int, change: int, status: Status, reason: str
) -> None:
    file, content = one_in_zip(tmp_path, method)
    content[at] ^= change
    file.write_bytes(content)
    pixels = opened(file).read(0, 2)
    assert pixels.status.tolist() == [status, 0]
    assert reason in pixels.reasons[0]


@pytest.mark.parametrize(
    ("offset", "value", "status", "reason"),
    [
        (8, 1, Status.UNREADABLE, "encrypted"),
        (10, 99, Status.UNREADABLE, "compressed by method 99"),
        (24, 1, Status.DAMAGED, "bytes, and not"),
        (27, 0xF0, Status.TOO_LARGE, "more than an image"),
        (45, 0x70, Status.DAMAGED, "no member is where"),
    ],
)
def test_what_the_directory_says_is_doubted(
    tmp_path: Path, offset: int, value: int, status: Status, reason: str
) -> None:
    file, content = one_in_zip(tmp_path)
    entry = content.index(b"PK\1\2")
    content[entry + offset] = value
    file.write_bytes(content)
    pixels = opened(file).read(0, 2)
    assert pixels.status.tolist() == [status, 0]
    assert reason in pixels.reasons[0]


def test_a_bomb_is_no_more_than_it_says(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(50 << 20))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    entry = content.index(b"PK\1\2")
    content[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    assert opened(tmp_path / "a.zip").read(0, 1).reasons == {
        0: "damaged in the archive: 1,001 bytes, and not 1,000 as the archive says"
    }


@pytest.mark.parametrize("kept", [0, 10, 60, 200, -30, -1])
def test_a_cut_archive_is_refused(tmp_path: Path, kept: int) -> None:
    file, content = one_in_zip(tmp_path)
    file.write_bytes(content[:kept])
    with pytest.raises(ParameterError, match=r"no .zip file that can be read"):
        opened(file)


def test_archives_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    file, content = one_in_zip(tmp_path)
    first = content.index(b"PK\1\2")
    second = content.index(b"PK\1\2", first + 4)
    encrypted, overlapping, several = content.copy(), content.copy(), content.copy()
    encrypted[first + 8] = encrypted[second + 8] = 1
    overlapping[second + 20 : second + 24] = (1 << 20).to_bytes(4, "little")
    end = several.index(b"PK\5\6")
    several[end + 4] = 1
    for changed, why in ((encrypted, "encrypted; unpack"), (overlapping, "overlap"), (several, "zip -s 0")):
        file.write_bytes(changed)
        with pytest.raises(ParameterError, match=why):
            opened(file)


def test_a_large_archive_says_its_sizes_in_64_bits(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", 3)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with archive.open("1.png", "w", force_zip64=True) as member:
            member.write((tmp_path / "1.png").read_bytes())
        for number in range(66_000):
            archive.writestr(f"{number}.txt", b"")
    (tmp_path / "b.zip").write_bytes(b"#!/bin/sh\n" + (tmp_path / "a.zip").read_bytes())
    for name in ("a.zip", "b.zip"):
        assert opened(tmp_path / name).read(0, 1).values[0, 0, 0, 0] == 3
