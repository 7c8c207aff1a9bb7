"""Which files are images by their names, and what is said of the others."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from PIL import Image, features

from latentscan.encoding.sources import open_source
from latentscan.errors import ParameterError
from latentscan.images.endings import FIRST_RULES
from latentscan.images.source import Status
from tests.images.pictures import SMALL, colours, opened, paint, paint_all

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    images = ["a.JFIF", "b.jpe", "c.GIF", "d.avif", "e.pnm"]
    others = ["notes.txt", "x.heic", "y.HEIC", "bare", "odd.\x1b[2J", "._a.jpg", ".DS_Store", "Thumbs.db"]
    hidden = ["@eaDir/1.jpg", "__MACOSX/1.jpg", ".cache/1.jpg", "sub/@eaDir/1.jpg"]
    paint_all(tmp_path, [*images, *others, *hidden])
    source = opened(tmp_path)
    assert list(source.paths) == images
    assert source.read(0, 5).status.tolist() == [0] * 5  # PNGs, all of them: the content decides
    (line,) = source.notes
    assert line.startswith("passed over: 5 of other endings (.heic, ..., .txt, none), 7 hidden (@eaDir, .")
    assert line.endswith("; HEIC cannot be read: convert it to JPEG or PNG")


def test_a_folder_of_images_alone_says_nothing(tmp_path: Path) -> None:
    paint(tmp_path / "1.png")
    assert opened(tmp_path).notes == ()


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    paint_all(tmp_path, ["1.heic", "@eaDir/1.jpg"])
    with pytest.raises(ParameterError, match=r"passed over: 1 of other endings \(.heic\), 1 hidden"):
        opened(tmp_path)


def test_what_was_begun_with_the_first_rules_goes_on_with_its_rows(tmp_path: Path) -> None:
    paint_all(tmp_path / "faces", ["1.png", "2.gif", "@eaDir/3.png"])
    then = opened(tmp_path / "faces", rules=FIRST_RULES)
    assert list(then.paths) == ["1.png", "@eaDir/3.png"]
    source = open_source(tmp_path / "faces", SMALL, recorded=then.describe())
    assert source.describe() == then.describe()
    assert list(open_source(tmp_path / "faces", SMALL).paths) == ["1.png", "2.gif"]


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif_is_read_and_heic_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (40, 40, 40)).save(tmp_path / "1.avif")
    content = (tmp_path / "1.avif").read_bytes()
    (tmp_path / "2.jpg").write_bytes(content[:8] + b"mif1" + content[12:])
    (tmp_path / "3.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "4.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    pixels = opened(tmp_path).read(0, 4)
    assert pixels.status.tolist() == [0, 0, Status.DAMAGED, Status.NOT_AN_IMAGE]
    assert all(abs(colour - 40) <= 1 for colour in colours(pixels)[:2])
    assert pixels.reasons[3] == "HEIC, which cannot be read: convert it to JPEG or PNG"


def test_a_name_in_another_normal_form_is_the_same_file(tmp_path: Path) -> None:
    name = "f\u00fc/caf\u00e9.png"
    composed, apart = unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)
    for place, on_disk, listed in (("a", apart, composed), ("b", composed, apart)):
        paint(tmp_path / place / on_disk, 7)
        (tmp_path / place / "list.txt").write_text(f"{listed}\nnone.png\n")
        source = opened(tmp_path / place / "list.txt")
        assert source.paths[0] == listed
        pixels = source.read(0, 2)
        assert pixels.status.tolist() == [0, Status.MISSING]
        assert colours(pixels) == [7, 0]
