"""Images in a .zip file, read without unpacking it.

Its directory is read once; a member is then one read at an offset, by any thread. Nothing that a file says of
itself decides how much memory is taken without a limit.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from latentscan.errors import ParameterError, UsageError
from latentscan.files import ShareableFile
from latentscan.images.decoding import check_bytes
from latentscan.images.packed import Members, PackedSource
from latentscan.images.source import PIXEL_LIMIT, ImageRejectedError, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing

_END = struct.Struct("<4s4H2LH")  # signature, disks, entries, size and offset of the directory, a comment
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 65_535
_MOST_DIRECTORY_BYTES = 1 << 30  # of some ten million members
_USUAL_HEADER = _LOCAL.size + 512  # bytes before the content of a member, in most files
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 1, 1 << 11
_IN_64_BITS = 0xFFFFFFFF


def open_zip(file: Path, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT) -> PackedSource:
    """Open the images in a .zip file, in natural order of their paths.

    Raises
    ------
    UsageError
        It is no .zip file, is cut short or damaged, holds no images, or all of them are encrypted.
    """
    contents, members = read_directory(file)
    paths = members.paths(file)
    contents.members = members.table(paths)
    return PackedSource("zip", file.name, contents, paths, preprocessing, pixel_limit, notes=members.notes)


class ZipContents:
    """The members of a .zip file: `members` are (row, offset, packed size, size, checksum, flags, method).

    A row of -1 has no member.
    """

    members: NDArray[np.int64]

    def __init__(self, file: ShareableFile) -> None:
        self._file = file

    def read(self, row: int, pixel_limit: int) -> bytes:
        """Return the content of a member."""
        offset, packed, size, checksum, flags, method = self.members[row].tolist()
        if offset < 0:
            raise ImageRejectedError(Status.MISSING, "the file is not there")
        if flags & _ENCRYPTED:
            raise ImageRejectedError(Status.UNREADABLE, "encrypted: unpack the archive with its password")
        if method not in (_STORED, _DEFLATED):
            reason = f"compressed by method {method} of .zip files: unpack the archive"
            raise ImageRejectedError(Status.UNREADABLE, reason)
        check_bytes(max(size, packed), pixel_limit)
        content = self._packed(offset, packed)
        if method == _DEFLATED:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
            except zlib.error as error:
                raise _damaged(f"it cannot be decompressed ({error})") from error
        if len(content) != size:
            raise _damaged(f"{len(content):,} bytes, and not {size:,} as the archive says")
        if zlib.crc32(content) != checksum:
            raise _damaged("its checksum is wrong")
        return content

    def _packed(self, offset: int, packed: int) -> bytes:
        try:
            found = self._file.read(offset, _USUAL_HEADER + packed)
            if len(found) < _LOCAL.size or found[:4] != b"PK\3\4":
                raise _damaged("no member is where the archive says")
            *_, name, extra = _LOCAL.unpack_from(found)
            start = _LOCAL.size + name + extra
            if start > _USUAL_HEADER:
                return self._file.read(offset + start, packed)
            return found[start : start + packed]
        except OSError as error:
            raise ImageRejectedError(Status.UNREADABLE, f"cannot be read: {error.strerror}") from error


def read_directory(file: Path) -> tuple[ZipContents, Members]:
    """Read what a .zip file says that it holds.

    Raises
    ------
    UsageError
        It is no .zip file, is cut short or damaged, or all of its images are encrypted.
    """
    try:
        opened = ShareableFile(file)
        members, all_encrypted = _members(opened)
    except OSError as error:
        raise ParameterError(f"cannot be read ({error.strerror})", field="images", value=file) from error
    except (ValueError, struct.error, UsageError) as error:
        msg = f"no .zip file that can be read ({error}); download or zip it again"
        raise ParameterError(msg, field="images", value=file) from error
    if all_encrypted:
        raise ParameterError("is encrypted; unpack it with its password", field="images", value=file)
    return ZipContents(opened), members


def _members(file: ShareableFile) -> tuple[Members, bool]:
    """Return the images in an archive, and whether all that it holds is encrypted."""
    members, held, encrypted, packed = Members(6), 0, 0, 0
    for name, values in _entries(file):
        members.add(name, values)
        packed += values[1] + _LOCAL.size
        held += not name.endswith("/")
        encrypted += values[4] & _ENCRYPTED
    if packed > file.size:
        raise ValueError("its members overlap")
    return members, 0 < held <= encrypted


def _damaged(why: str) -> ImageRejectedError:
    return ImageRejectedError(Status.DAMAGED, f"damaged in the archive: {why}")


def _entries(file: ShareableFile) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the name of every member, and its offset, packed size, size, checksum, flags and method.

    Raises
    ------
    ValueError, struct.error
        The directory is damaged.
    """
    start, size, before = _directory(file)
    directory = file.read(start, size)
    at = 0
    while at < len(directory):
        (
            signature,
            *_,
            flags,
            method,
            _,
            _,
            checksum,
            packed,
            length,
            name,
            extra,
            comment,
            _,
            _,
            _,
            offset,
        ) = _ENTRY.unpack_from(directory, at)
        if signature != b"PK\1\2":
            raise ValueError("its directory is damaged")
        at += _ENTRY.size
        raw = directory[at : at + name]
        sizes = (length, packed, offset)
        if _IN_64_BITS in sizes:
            length, packed, offset = _in_64_bits(directory[at + name : at + name + extra], sizes)
        at += name + extra + comment
        yield _decoded(raw, flags), (offset + before, packed, length, checksum, flags, method)


def _directory(file: ShareableFile) -> tuple[int, int, int]:
    """Return where the directory of a .zip file is, its size, and how many bytes lie before the archive."""
    tail_start = max(0, file.size - _END.size - _LONGEST_COMMENT)
    tail = file.read(tail_start, _END.size + _LONGEST_COMMENT)
    found = tail.rfind(b"PK\5\6")
    if found < 0:
        raise ValueError("it has no directory at its end")
    _, disk, first_disk, _, entries, size, offset, _ = _END.unpack_from(tail, found)
    end = tail_start + found
    locator = file.read(end - _LOCATOR_64.size, _LOCATOR_64.size) if end >= _LOCATOR_64.size else b""
    if locator[:4] == b"PK\6\7":
        end -= _LOCATOR_64.size + _END_64.size
        record = file.read(max(0, end), _END_64.size)
        signature, _, _, _, disk, first_disk, _, entries, size, offset = _END_64.unpack(record)
        if signature != b"PK\6\6":
            raise ValueError("its directory is damaged")
    if disk or first_disk:
        raise ValueError("it is one part of several, which `zip -s 0` joins")
    if size > _MOST_DIRECTORY_BYTES:
        raise ValueError(f"a directory of {size:,} bytes; expected at most {_MOST_DIRECTORY_BYTES:,}")
    before = end - size - offset
    if before < 0 or (entries and not size):
        raise ValueError("its directory is damaged")
    return end - size, size, before


def _in_64_bits(extra: bytes, sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a size, a packed size and an offset, of which those that need 64 bits stand in a field apart."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            held = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            length, packed, offset = (next(held, -1) if value == _IN_64_BITS else value for value in sizes)
            if min(length, packed, offset) < 0 or max(length, packed, offset) >= 1 << 62:
                break
            return length, packed, offset
        at += 4 + length
    raise ValueError("its directory is damaged")


def _decoded(name: bytes, flags: int) -> str:
    try:  # many programs write UTF-8 without saying so
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("utf-8", "replace") if flags & _UTF8 else name.decode("cp437")
