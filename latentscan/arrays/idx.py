"""Arrays in idx files, as MNIST and its kin are given, packed by gzip or not."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from latentscan.arrays.held import EXPECTED, Held, held, spooled
from latentscan.arrays.mapped import map_bytes
from latentscan.errors import UsageError
from latentscan.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

_NAME = re.compile(r"[-._]idx\d[-._]ubyte(?:\.gz)?$|\.idx\d?(?:\.gz)?$", re.IGNORECASE)
_TYPES = {8: "|u1", 9: "|i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MOST_AXES = 8
_PIECE_BYTES = 1 << 22
_RATIO = 1032  # of what was compressed to what it takes, at most


def is_idx(file: Path) -> bool:
    """Check by its name whether a file is an idx one."""
    return _NAME.search(file.name) is not None


def idx_array(file: Path) -> dict[str, Held]:
    """Map the array in an idx file, under no name; one that is packed is copied to a temporary file.

    Raises
    ------
    UsageError
        If it is none, or holds more or fewer bytes than it says.
    """
    try:
        with open_regular(file) as stream:
            if file.suffix.lower() == ".gz":
                return {"": _unpacked(file, gzip.GzipFile(fileobj=stream))}
            kind, shape = _header(stream)
        size, start = math.prod(shape) * np.dtype(kind).itemsize, 4 + 4 * len(shape)
        _require(size, file.stat().st_size - start)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise UsageError(f"{file}: no idx file that can be read ({error}); expected {EXPECTED}") from error
    return {"": map_bytes(file, kind, start, shape)}


def _unpacked(file: Path, stream: gzip.GzipFile) -> Held:
    kind, shape = _header(stream)
    size = math.prod(shape) * np.dtype(kind).itemsize
    if size > file.stat().st_size * _RATIO:
        _require(size, file.stat().st_size)
    flat = spooled(_pieces(stream, size), file, size)
    _require(size, flat.shape[0] + len(stream.read(1)))
    return held(flat.read(0, size).view(kind).reshape(shape))


def _require(said: int, found: int) -> None:
    if said != found:
        raise ValueError(f"it says that it holds {said:,} bytes, and not {found:,}")


def _header(stream: gzip.GzipFile | BufferedReader) -> tuple[str, tuple[int, ...]]:
    zero, kind, axes = struct.unpack(">HBB", stream.read(4))
    if zero or kind not in _TYPES or not 0 < axes <= _MOST_AXES:
        raise ValueError("it does not begin as one")
    return _TYPES[kind], struct.unpack(f">{axes}I", stream.read(4 * axes))


def _pieces(stream: gzip.GzipFile | BufferedReader, size: int) -> Iterator[NDArray[np.uint8]]:
    while size and (piece := stream.read(min(size, _PIECE_BYTES))):
        size -= len(piece)
        yield np.frombuffer(piece, np.uint8)
