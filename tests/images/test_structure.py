"""Files whose parts are too many for a decoder: rejected in no time."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from latentscan.images.decoding import decode_bytes
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import ImageRejectedError, Status

RGB = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
SMALL = Preprocessing(crop="none", size=16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(extra: bytes) -> bytes:
    data = encoded(RGB, "JPEG")
    return data[:2] + extra + data[2:]


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def png(extra: bytes) -> bytes:
    data = encoded(RGB, "PNG")
    return data[:33] + extra + data[33:]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gif(extra: bytes) -> bytes:
    data = encoded(RGB.quantize(16), "GIF")
    at = 13 + 3 * (2 << (data[10] & 7))
    return data[:at] + extra + data[at:]


def tiff(data: bytes, **tags: tuple[int, int, int]) -> bytes:
    """A grey image of 16 x 16, with some tags replaced: (type, count, value); -1 stands for the data."""
    entries = {
        256: (4, 1, 16), 257: (4, 1, 16), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, -1),
        277: (3, 1, 1), 278: (4, 1, 16), 279: (4, 1, 256),
    } | {int(name[1:]): tag for name, tag in tags.items()}  # fmt: skip
    behind = 14 + 12 * len(entries)
    packed = (
        struct.pack("<HHII", tag, kind, count, behind if value < 0 else value)
        for tag, (kind, count, value) in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(packed) + bytes(4) + data


def many_scans() -> bytes:
    data = encoded(Image.new("L", (7990, 8000)), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 200 + b"\xff\xd9"


LZW_TILES = {
    "t259": (3, 1, 5), "t322": (4, 1, 30_000), "t323": (4, 1, 30_000), "t324": (4, 1, -1), "t325": (4, 1, 9),
}  # fmt: skip
MANY = {
    "JPEG, segments": jpeg(segment(0xE1, b"Exif\0\0x") * 400_000),
    "JPEG, padding": jpeg(b"\xff" * 5_000_000),
    "JPEG, scans": many_scans(),
    "PNG, chunks": png(chunk(b"abCd", b"") * 1_000_000),
    "GIF, comments": gif(b"!\xfe\1a\0" * 1_000_000),
    "GIF, blocks of a comment": gif(b"!\xfe" + b"\1a" * 3_000_000 + b"\0"),
    "GIF, junk": gif(b"Q" * 5_000_000),
    "TIFF, values": tiff(bytes(14_000_000), t282=(5, 1_700_000, -1)),
    "TIFF, tiles": tiff(bytes(9999), **LZW_TILES),
    "PPM, comments": b"P5\n" + b"#a\n" * 3_000_000 + b"16 16 255\n" + bytes(256),
    "PPM, spaces": b"P5" + b" " * 9_000_000 + b"16 16 255\n" + bytes(256),
}


@pytest.mark.parametrize("data", MANY.values(), ids=MANY)
def test_parts_without_number_are_rejected_at_once(data: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ImageRejectedError, match="more than an image needs") as caught:
        decode_bytes(data, SMALL)
    assert caught.value.status == Status.TOO_LARGE
    assert time.process_time() - began < 2


FINE = {
    "JPEG": jpeg(segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)) * 200),
    "JPEG, padding": jpeg(b"\xff" * 100),
    "PNG": png(chunk(b"tEXt", b"key\0text") * 1000),
    "GIF": gif(b"!\xfe" + (b"\xff" + b"a" * 255) * 1000 + b"\0"),
    "TIFF": tiff(bytes(200_000), t34675=(7, 200_000, -1)),
    "PPM": b"P5\n" + b"#a\n" * 1000 + b"16 16 255\n" + bytes(256),
}


@pytest.mark.parametrize("data", FINE.values(), ids=FINE)
def test_as_many_parts_as_a_program_writes_are_fine(data: bytes) -> None:
    assert decode_bytes(data, SMALL).shape == (16, 16, 3)


def test_comments_of_a_plain_ppm_are_left_out_at_once() -> None:
    data = b"P2 16 16 255\n" + b"#a\n" * 1_000_000 + b"7 " * 256
    began = time.process_time()
    assert (decode_bytes(data, SMALL) == 7).all()
    assert time.process_time() - began < 2


def test_a_tiff_without_all_of_its_tiles_is_damaged() -> None:
    tiles = {"t322": (4, 1, 16), "t323": (4, 1, 16), "t324": (4, 1, -1), "t325": (4, 1, 256)}
    assert decode_bytes(tiff(bytes(256), **tiles), SMALL).shape == (16, 16, 3)
    with pytest.raises(ImageRejectedError, match="strips or tiles are missing") as caught:
        decode_bytes(tiff(bytes(256), **tiles, t256=(4, 1, 160), t257=(4, 1, 160)), SMALL)
    assert caught.value.status == Status.DAMAGED


def test_a_file_may_not_be_far_larger_than_its_own_pixels() -> None:
    with pytest.raises(ImageRejectedError, match="more than an image of 256 pixels needs"):
        decode_bytes(encoded(RGB, "BMP") + bytes(17 << 20), SMALL)
