"""Images in .tar files and shards, whole, damaged and hostile."""

from __future__ import annotations

import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from latentscan.errors import ParameterError
from latentscan.images.source import Status
from tests.images.archives import fill, tarred
from tests.images.pictures import opened, paint

if TYPE_CHECKING:
    from pathlib import Path


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


def test_shards_of_a_folder_are_found_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", 5)
    with tarfile.open(tmp_path / "A.TAR", "w") as archive:
        archive.add(tmp_path / "1.png", "1.png")
    (tmp_path / "1.png").unlink()
    assert list(opened(tmp_path).paths) == ["1.png"]


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
            ("a.png", tarfile.SYMTYPE, "b/soft.png"),  # a link to a link that comes later
            ("b/soft.png", tarfile.SYMTYPE, "../deep/1.png"),
            ("c.png", tarfile.SYMTYPE, "no-image"),  # by way of a link that is no image by its name
            ("no-image", tarfile.SYMTYPE, "hard.png"),
            ("hard.png", tarfile.LNKTYPE, "deep/1.png"),  # twice
            ("loop.png", tarfile.SYMTYPE, "loop.png"),
        ]
        for name, kind, target in [*links, ("out.png", tarfile.SYMTYPE, "/etc/passwd")]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    source = opened(tmp_path / "a.tar")
    assert list(source.paths) == [
        *("a.png", "b/soft.png", "c.png", "deep/1.png", "hard.png"),
        *("loop.png", "out.png"),
    ]
    pixels = source.read(0, 7)
    assert pixels.status.tolist() == [0] * 5 + [Status.MISSING] * 2
    assert pixels.values[:5, 0, 0, 0].tolist() == [5] * 5


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
