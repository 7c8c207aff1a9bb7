"""Arrays in .npy files, mapped into memory."""

from __future__ import annotations

import errno
import math
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from latentscan.errors import UnsafeInputError, UsageError
from latentscan.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
_HEADER_LIMIT = 10_000  # bytes, as NumPy has it
_SHORT = 60


def map_npy(file: Path, expected: str) -> NDArray[Any]:
    """Map a .npy file into memory; `expected` says in errors what should be in it.

    Raises
    ------
    UnsafeInputError
        The file holds Python objects, which could run code when loaded.
    UsageError
        It is no .npy file, or has fewer or more bytes than its header says.
    OSError
        The machine cannot read any file now, or not this one any more.
    """
    if not file.exists():
        raise UsageError(f"{file} does not exist; expected {expected}")
    try:
        shape, is_fortran, dtype, offset = _read_header(file)
        if dtype.hasobject:
            raise UnsafeInputError(
                f"{file}: holds pickled Python objects, which can run code; expected {expected}"
            )
        return np.memmap(file, dtype, "r", offset, shape, "F" if is_fortran else "C")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise UsageError(
            f"{file}: no .npy file that can be mapped into memory ({error}); expected {expected}"
        ) from error


def _read_header(file: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return the shape of an array in a file, its order, its type, and where it begins.

    Raises
    ------
    OSError
        The file cannot be read, or is no regular one.
    ValueError
        The header is damaged, or the file has another size than it says.
    """
    with open_regular(file) as stream:
        if stream.read(1) == b"\x80":  # a pickle
            return (), False, np.dtype(object), 0
        stream.seek(0)
        version = npy.read_magic(stream)
        length = int.from_bytes(stream.peek(4)[: 2 if version == (1, 0) else 4], "little")
        if version not in ((1, 0), (2, 0), (3, 0)) or length > _HEADER_LIMIT:
            raise ValueError(f"a header of version {version} and {length:,} bytes")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            with warnings.catch_warnings(
                action="ignore", category=UserWarning
            ):  # of NumPy, on Python 2's headers
                shape, is_fortran, dtype = read(stream)
        except Exception as error:  # a damaged header is parsed as Python, which raises almost anything
            raise ValueError(f"its header is damaged: {error}") from error
        count, held = math.prod(shape), os.fstat(stream.fileno()).st_size - stream.tell()
        if not dtype.hasobject and (min(shape, default=0) < 0 or count * dtype.itemsize != held):
            raise ValueError(
                f"{held:,} bytes behind the header, which says {dtype} of shape {_short(shape)}: "
                f"{_short(count * dtype.itemsize)} bytes"
            )
        return shape, is_fortran, dtype, stream.tell()


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
