"""Arrays whose numbers stand in a file as they are: .npy, .npz and .safetensors."""

from __future__ import annotations

import io
import json
import math
import threading
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from latentscan.arrays.held import EXPECTED, LATENTS, Held, held, spooled
from latentscan.arrays.npy import map_npy
from latentscan.errors import UnsafeInputError, UsageError, shown
from latentscan.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_HEADER_BYTES = 10_000  # of an array, as NumPy has it
_HEADERS_BYTES = 100_000_000  # of a .safetensors file, as its library has it
_PIECE_BYTES = 1 << 22
_MOST_ARRAYS = 100_000
# what the library raises on a damaged archive, and on one that it does not know or that has a password
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


def npy_array(file: Path) -> dict[str, Held]:
    """Map the array in a .npy file, under no name."""
    return {"": held(map_npy(file, LATENTS))}


def npz_arrays(file: Path) -> dict[str, Held]:
    """Return the arrays in a .npz file: mapped, or copied to a temporary file where they are compressed.

    Raises
    ------
    UsageError
        If it is damaged.
    UnsafeInputError
        If it holds nothing but Python objects.
    """
    found, pickled = {}, []
    with open_zip(file) as archive:
        for info in archive.infolist()[:_MOST_ARRAYS]:
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            array = _member(file, archive, info)
            if array is None:
                pickled.append(name)
            else:
                found[name] = array
    if pickled and not found:
        raise UnsafeInputError(
            f"{file}: holds pickled Python objects, which can run code; expected {EXPECTED}"
        )
    return found


@contextmanager
def open_zip(file: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading.

    Raises
    ------
    UsageError
        If it is none.
    """
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(open_regular(file))))
        except DAMAGES as error:
            raise UsageError(f"{file}: cannot be read ({error}); expected {EXPECTED}") from error
        yield archive


def start_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of an uncompressed member begin."""
    stream: Any = archive.fp
    stream.seek(info.header_offset)
    header = stream.read(30)
    return info.header_offset + 30 + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))


def map_bytes(file: Path, kind: str, start: int, shape: tuple[int, ...], *, order: Any = "C") -> Held:
    """Map a part of a file; bfloat16 becomes float32 as it is read.

    Raises
    ------
    UsageError
        If the file ends before.
    """
    is_brain = kind == "bfloat16"
    dtype = np.dtype("<u2" if is_brain else kind)
    end = start + math.prod(shape) * dtype.itemsize
    if start < 0 or min(shape, default=0) < 0 or end > file.stat().st_size:
        raise UsageError(f"{file}: is cut short: an array of {kind} with shape {shape} ends after it")
    if 0 in shape:
        return Held(shape, kind, lambda _start, _stop: np.zeros(shape, dtype))
    array = np.memmap(file, dtype, "r", start, shape, order)
    return Held(shape, kind, lambda first, last: brain_float(array[first:last])) if is_brain else held(array)


def brain_float(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the numbers whose upper two bytes, as float32, are given."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def safetensors_arrays(file: Path) -> dict[str, Held]:
    """Map the arrays in a .safetensors file.

    Raises
    ------
    UsageError
        If its header is damaged, or says that it holds more than it does.

    References
    ----------
    https://github.com/huggingface/safetensors#format
    """
    try:
        with open_regular(file) as stream:
            length = min(int.from_bytes(stream.read(8), "little"), _HEADERS_BYTES, file.stat().st_size)
            header = json.loads(stream.read(length))
        found = {}
        for name, entry in header.items():
            if name == "__metadata__" or entry["dtype"] not in SAFETENSORS:
                continue
            kind, shape = SAFETENSORS[entry["dtype"]], tuple(int(axis) for axis in entry["shape"])
            begin, end = (int(offset) for offset in entry["data_offsets"])
            _require_bytes(begin, end, kind, shape)
            found[str(name)] = map_bytes(file, kind, 8 + length + begin, shape)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{file}: no .safetensors file that can be read ({shown(error)})") from error
    return found


def _require_bytes(begin: int, end: int, kind: str, shape: tuple[int, ...]) -> None:
    """Check that a part of a file is as long as an array takes."""
    size = 2 if kind == "bfloat16" else np.dtype(kind).itemsize
    if min((*shape, begin), default=0) < 0 or end - begin != math.prod(shape) * size:
        raise ValueError(f"{end - begin:,} bytes for {kind} of shape {shown(shape)}")


def _member(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Held | None:
    """Return an array in an archive; None for pickled objects."""
    try:
        with archive.open(info) as stream:
            shape, is_fortran, dtype, offset = _header(stream.read(_HEADER_BYTES))
        if dtype.hasobject:
            return None
        _require_bytes(offset, info.file_size, dtype.str, shape)
        if info.compress_type == zipfile.ZIP_STORED:
            start = start_of(archive, info) + offset
            return map_bytes(file, dtype.str, start, shape, order="F" if is_fortran else "C")
    except DAMAGES as error:
        raise UsageError(f"{file}: {shown(info.filename)} is damaged ({shown(error)})") from error
    return _Compressed(file, info.filename, shape, dtype, offset, is_fortran=is_fortran).held


class _Compressed:
    """An array that is compressed in an archive, which is copied to a temporary file when it is read."""

    def __init__(
        self, file: Path, name: str, shape: tuple[int, ...], dtype: Any, offset: int, *, is_fortran: bool
    ) -> None:
        self._file, self._name, self._offset = file, name, offset
        self._shape, self._dtype, self._is_fortran = shape, dtype, is_fortran
        self._copy: NDArray[Any] | None = None
        self._one_at_a_time = threading.Lock()  # of the threads that need the copy, one makes it
        self.held = Held(shape, dtype.str, self._read)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        with self._one_at_a_time:
            if self._copy is None:
                self._copy = self._copied()
        return self._copy[start:stop]

    def _copied(self) -> NDArray[Any]:
        size = math.prod(self._shape) * self._dtype.itemsize
        flat = spooled(self._bytes(), self._file, size)
        if flat.shape != (size,):
            raise UsageError(f"{self._file}: {shown(self._name)} is damaged; save it again")
        order: Any = "F" if self._is_fortran else "C"
        whole: NDArray[Any] = flat.read(0, size).view(self._dtype)
        return whole.reshape(self._shape, order=order)

    def _bytes(self) -> Iterator[NDArray[np.uint8]]:
        try:
            with open_zip(self._file) as archive, archive.open(self._name) as stream:
                stream.read(self._offset)
                while piece := stream.read(_PIECE_BYTES):
                    yield np.frombuffer(piece, np.uint8)
        except DAMAGES as error:
            raise UsageError(f"{self._file}: {shown(self._name)} is damaged ({shown(error)})") from error


def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, order and type of an array from its first bytes, and how long they are."""
    stream = io.BytesIO(head)
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"a header of version {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, is_fortran, dtype = read(stream)
    except Exception as error:  # a damaged header is parsed as Python, which raises almost anything
        raise ValueError(f"its header is damaged: {error}") from error
    return shape, is_fortran, dtype, stream.tell()
