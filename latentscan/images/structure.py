"""Limits on how a file is built, beside those on its pixels: what takes a decoder minutes is rejected first.

A decoder spends time on every segment, chunk, block, scan or value that a file names, whether or not a pixel
comes of it. There may be as many of these as any camera or program writes, and a good many more.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from latentscan.images.source import ImageRejectedError, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFile import ImageFile

_MOST_SEGMENTS = 8192  # of a JPEG, before its pixels
_MOST_JUNK = 65_536  # bytes between the segments of a JPEG, or between the blocks of a GIF
_MOST_CHUNKS = 100_000  # of a PNG
_MOST_BLOCKS = 100_000  # of a GIF, before its pixels
_MOST_SCANNED = 2_000_000_000  # pixels of a JPEG times its scans: some seconds
_MOST_VALUES = 262_144  # of a TIFF's tag: a palette for 16 bits has 196,608
_MOST_OFFSETS = 4_000_000  # of a TIFF's strips or tiles
_MOST_TILE_PIXELS = 1 << 24  # of a TIFF's tile, unless its image is larger
_LONGEST_HEADER = 16_384  # bytes of a PPM's

_STANDALONE = frozenset((0x01, *range(0xD0, 0xDA)))  # markers of a JPEG without a length
_SOS, _EOI = 0xDA, 0xD9
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PPM_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
_BYTE_TYPES = frozenset((1, 2, 6, 7))  # of a TIFF's tags: their values are not taken apart
_OFFSETS = frozenset((273, 279, 324, 325))
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_structure(data: bytes, kind: str | None) -> bytes:
    """Return the content of an image file of a known format if its parts are not too many for a decoder.

    Parameters
    ----------
    data
        The whole file.
    kind
        Its format, as Pillow names it.

    Returns
    -------
    The same bytes, but for the comments of a PPM in plain text.

    Raises
    ------
    ImageRejectedError
        They are too many.
    """
    check = _CHECKS.get(kind or "")
    if check is not None:
        check(data)
    is_plain = kind == "PPM" and data[1:2] in (b"1", b"2", b"3")
    return _PPM_COMMENT.sub(b"", data) if is_plain and b"#" in data else data


def check_scans(image: ImageFile, data: bytes) -> None:
    """Refuse a JPEG that goes over its pixels again and again, and a TIFF whose tiles are no fit.

    Raises
    ------
    ImageRejectedError
        It does, or they are not.
    """
    pixels = image.size[0] * image.size[1]
    if image.format == "JPEG" and data.count(b"\xff\xda") * pixels > _MOST_SCANNED:
        scans = _scans(data)
        if scans * pixels > _MOST_SCANNED:
            raise _too_many(f"{scans:,} scans of {pixels:,} pixels")
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        tile = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)
        if tile > max(pixels, _MOST_TILE_PIXELS):
            raise _too_many(f"tiles of {tile:,} pixels")
        extents = [tile.extents or (0, 0, *image.size) for tile in image.tile]
        covered = sum((right - left) * (lower - upper) for left, upper, right, lower in extents)
        if covered < pixels:
            raise ImageRejectedError(Status.DAMAGED, "strips or tiles are missing")


def _too_many(what: str) -> ImageRejectedError:
    return ImageRejectedError(Status.TOO_LARGE, f"{what} are more than an image needs")


def _check_jpeg(data: bytes) -> None:
    at, segments, junk = 2, 0, 0
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):
            at += 1
            junk += 1
        elif marker == _SOS:
            return
        else:
            at += 2 if marker in _STANDALONE else 2 + int.from_bytes(data[at + 2 : at + 4])
            segments += 1
        if segments > _MOST_SEGMENTS:
            raise _too_many(f"{segments:,} segments")
        if junk > _MOST_JUNK:
            raise _too_many(f"{junk:,} bytes between segments")


def _scans(data: bytes) -> int:
    at, scans = 2, 0
    while (found := _NEXT_MARKER.search(data, at)) is not None:
        marker = data[found.start() + 1]
        if marker == _EOI:
            break
        scans += marker == _SOS
        length = 0 if marker in _STANDALONE else int.from_bytes(data[found.end() : found.end() + 2])
        at = found.end() + length
    return scans


def _check_png(data: bytes) -> None:
    at, chunks = 8, 0
    while at + 8 <= len(data):
        at += 12 + int.from_bytes(data[at : at + 4])
        chunks += 1
        if chunks > _MOST_CHUNKS:
            raise _too_many(f"{chunks:,} chunks")


def _check_gif(data: bytes) -> None:
    flags = data[10] if len(data) > 10 else 0
    at = 13 + (3 * (2 << (flags & 7)) if flags & 0x80 else 0)
    blocks = junk = 0
    while at < len(data) and data[at] not in b",;":
        if data[at] != 0x21:
            at += 1
            junk += 1
        else:
            at += 2
            while at < len(data) and data[at]:
                at += 1 + data[at]
                blocks += 1
                if blocks > _MOST_BLOCKS:
                    raise _too_many(f"{blocks:,} blocks")
            at += 1
            blocks += 1
        if junk > _MOST_JUNK or blocks > _MOST_BLOCKS:
            raise _too_many(f"{junk + blocks:,} blocks and bytes between them")


def _check_tiff(data: bytes) -> None:
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in (data[2], data[3])
    first, count, entry, size = ("Q", "Q", "HHQ", 20) if is_big else ("I", "H", "HHI", 12)
    try:
        (at,) = struct.unpack_from(order + first, data, 8 if is_big else 4)
        (entries,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize(order + count)
        for number in range(min(entries, 65_536)):
            tag, kind, values = struct.unpack_from(order + entry, data, at + number * size)
            most = _MOST_OFFSETS if tag in _OFFSETS else _MOST_VALUES
            if kind not in _BYTE_TYPES and most < values <= len(data):  # else they are not in the file
                raise _too_many(f"{values:,} values of tag {tag}")
    except (struct.error, OverflowError):  # cut short: the decoder says where
        return


def _check_ppm(data: bytes) -> None:
    header = _PPM_COMMENT.sub(b" ", data[:_LONGEST_HEADER]).split(None, 4)
    if len(header) < (3 if data[1:2] in (b"1", b"4") else 4) and len(data) > _LONGEST_HEADER:
        raise _too_many(f"a header of {_LONGEST_HEADER:,} bytes and more")


_CHECKS: dict[str, Callable[[bytes], None]] = {
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "GIF": _check_gif,
    "TIFF": _check_tiff,
    "PPM": _check_ppm,
}
