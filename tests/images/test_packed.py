"""Images in archives: the rows, the pixels and the reasons of the same images in a folder."""

from __future__ import annotations

import pickle
import subprocess
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from latentscan.errors import ParameterError, UsageError
from latentscan.images.packed import Members, member_path
from latentscan.images.source import Status
from tests.images.pictures import opened, paint
from tests.images.test_celeba import celeba

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.images.source import ImageSource, Pixels

NAMES = [
    "b/2.png",
    "b/10.PNG",
    "B/1.jpg",
    "1.webp",
    "übung.tif",
    "empty.png",
    "none.jpg",
    "cut.png",
    "big.bmp",
]
LITTER = ["notes.txt", "__MACOSX/._1.webp", ".DS_Store", "b/@eaDir/2.png"]
LIMIT = 500 * 500


def fill(folder: Path) -> Path:
    """Images of several formats, and files that are none or damaged, in an order that is not natural."""
    rng = np.random.default_rng(0)
    for name in [*NAMES, *LITTER]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        side = 600 if name == "big.bmp" else 20
        pixels = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        pixels.save(folder / name, "BMP" if name == "big.bmp" else "WEBP" if "webp" in name else "PNG")
    (folder / "empty.png").write_bytes(b"")
    (folder / "none.jpg").write_bytes(b"no image" * 9)
    (folder / "cut.png").write_bytes((folder / "b/2.png").read_bytes()[:300])
    return folder


def zipped(folder: Path, file: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in [*NAMES, *LITTER]:
            archive.write(folder / name, name)
    return file


def tarred(folder: Path, file: Path, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(file, "w", format=form) as archive:
        for name in [*NAMES, *LITTER]:
            archive.add(folder / name, name)
    return file


ARCHIVES: dict[str, Callable[[Path, Path], Path]] = {
    "stored.zip": zipped,
    "deflated.zip": lambda folder, file: zipped(folder, file, zipfile.ZIP_DEFLATED),
    "pax.tar": tarred,
    "gnu.tar": lambda folder, file: tarred(folder, file, tarfile.GNU_FORMAT),
    "ustar.tar": lambda folder, file: tarred(folder, file, tarfile.USTAR_FORMAT),
}


def assert_same(found: Pixels, expected: Pixels) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.status, expected.status)
    assert {row: reason.split(":")[0] for row, reason in found.reasons.items()} == {
        row: reason.split(":")[0] for row, reason in expected.reasons.items()
    }


def in_threads(source: ImageSource, threads: int) -> list[Pixels]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda row: source.read(row, row + 1), range(len(source))))


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


# --- .zip


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


# --- .tar


def sharded(folder: Path) -> None:
    """Two shards of WebDataset, whose keys are the same."""
    for shard in (0, 1):
        with tarfile.open(folder / f"shards-{shard:04d}.tar", "w") as archive:
            for key in (0, 1):
                paint(folder / "one/x.png", 2 * shard + key)
                archive.add(folder / "one/x.png", f"{key:06d}.png")
                for other in ("json", "cls"):
                    (folder / f"one/x.{other}").write_text("1")
                    archive.add(folder / f"one/x.{other}", f"{key:06d}.{other}")
    (folder / "one/x.png").unlink()


@pytest.mark.parametrize("location", ["", "shards-{0000..0001}.tar"])
def test_shards_are_one_source(tmp_path: Path, location: str) -> None:
    sharded(tmp_path)
    source = opened(tmp_path / location)
    names = [f"shards-000{shard}/00000{key}.png" for shard in (0, 1) for key in (0, 1)]
    assert list(source.paths) == names
    assert source.read(0, 4).values[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert source.notes == ("passed over: 8 of other endings (.cls, .json)",)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    with pytest.raises(ParameterError, match=r"shards-0002.tar: does not exist"):
        opened(tmp_path / "shards-{0000..0002}.tar")
    with pytest.raises(ParameterError, match="more than 100,000 files"):
        opened(tmp_path / "shards-{0000..999999}.tar")


def test_links_in_an_archive_are_what_they_lead_to(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", 5)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "1.png", "deep/1.png")
        links = [
            ("hard.png", tarfile.LNKTYPE, "deep/1.png"),
            ("b/soft.png", tarfile.SYMTYPE, "../deep/1.png"),
        ]
        for name, kind, target in [*links, ("out.png", tarfile.SYMTYPE, "/etc/passwd")]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    source = opened(tmp_path / "a.tar")
    assert list(source.paths) == ["b/soft.png", "deep/1.png", "hard.png", "out.png"]
    pixels = source.read(0, 4)
    assert pixels.status.tolist() == [0, 0, 0, Status.MISSING]
    assert pixels.values[:3, 0, 0, 0].tolist() == [5, 5, 5]


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_file_in_an_archive_is_rejected(tmp_path: Path, form: str) -> None:
    for name in ("1.png", "3.png"):
        paint(tmp_path / name, 4)
    with (tmp_path / "2.png").open("wb") as file:
        for hole in range(1, 9):
            file.seek(hole << 20)
            file.write(b"x")
    command = ["tar", "--sparse", f"--format={form}", "-cf", "a.tar", "1.png", "2.png", "3.png"]
    subprocess.run(command, cwd=tmp_path, check=True)
    source = opened(tmp_path / "a.tar")
    assert list(source.paths) == ["1.png", "2.png", "3.png"]
    assert source.read(0, 3).status.tolist() == [0, Status.UNREADABLE, 0]


def test_a_cut_archive_keeps_its_rows(tmp_path: Path) -> None:
    folder = fill(tmp_path / "faces")
    file = tarred(folder, tmp_path / "a.tar")
    whole = opened(file)
    with tarfile.open(file) as archive:
        end = archive.getmember("cut.png").offset_data + 100
    file.write_bytes(file.read_bytes()[:end])
    source = opened(file)
    assert set(whole.paths) - set(source.paths) == {"big.bmp"}
    pixels = source.read(0, len(source))
    assert pixels.reasons[list(source.paths).index("cut.png")] == "the archive is cut short"


def header(name: bytes, kind: bytes = b"0", size: bytes = b"00000000010\0") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157], block[257:263] = name, size, kind, b"ustar\0"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no archive" * 100, "it does not begin with a header"),
        (header(b"1.png")[:300], "it does not begin with a header"),
        (header(b"1.png", size=b"\xff" * 12), "a number in a header is none"),
        (header(b"1.png", size=b"\x80" + b"\xff" * 11), "a size of"),
        (header(b"1.png", size=b"-0000000777\0"), "a number in a header is none"),
        (header(b"1.png", kind=b"x", size=b"77777777777\0"), "a header of 8,589,934,591 bytes"),
        (header(b"1.png") + b"x" * 512 + b"y" * 512, "no header at byte 1,024"),
    ],
)
def test_headers_are_doubted(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ParameterError, match=r"no .tar file that can be read") as caught:
        opened(tmp_path / "a.tar")
    assert why in str(caught.value)


def test_a_compressed_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for name in ("a.tar.gz", "a.tgz", "a.tar.zst", "a.7z"):
        (tmp_path / name).touch()
        with pytest.raises(ParameterError, match="unpack it"):
            opened(tmp_path / name)
