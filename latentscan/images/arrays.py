"""Rows that are images in one array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
from PIL import Image

from latentscan.arrays.npy import map_npy
from latentscan.errors import UsageError
from latentscan.images.channels import as_asked, as_channels_last, check_channels, in_units
from latentscan.images.decoding import crop_and_resize, decode_rows
from latentscan.images.folder import check_rows, describe_rows
from latentscan.images.reopen import Reopenable
from latentscan.images.source import PIXEL_LIMIT, ImageRejectedError, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import Pixels

_EXPECTED = "uint8, uint16 or floats of shape (images, height, width, channels) or (images, height, width)"
_MOST_IMAGES = 1_000_000_000
_BYTES_AT_ONCE = 1 << 28  # of what is read in one piece
# what zarr and its codecs raise on bad bytes: their checks of types and keys are not complete
_DAMAGES = (OSError, ValueError, RuntimeError, TypeError, KeyError, MemoryError)


class ArrayLike(Protocol):
    """What is needed of an array, in memory or not: NumPy, memory-mapped, Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its length along every axis."""

    @property
    def dtype(self) -> Any:
        """The type of its elements."""

    def __getitem__(self, rows: Any, /) -> Any: ...


class RowNumbers(Sequence[str]):
    """The numbers of rows as texts, made when they are asked for: however many an array says it has."""

    def __init__(self, rows: range) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int, /) -> str: ...

    @overload
    def __getitem__(self, at: slice, /) -> RowNumbers: ...

    def __getitem__(self, at: int | slice, /) -> str | RowNumbers:
        return RowNumbers(self._rows[at]) if isinstance(at, slice) else str(self._rows[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowNumbers) and self._rows == other._rows

    __hash__ = None  # type: ignore[assignment]


class ArraySource(Reopenable):
    """Images in an array, (n, height, width[, channels]) or (n, channels, height, width).

    Their paths are row numbers. Bytes stay bytes; uint16 and floats become float32, of which 1 is white.

    Raises
    ------
    UsageError
        The type or the shape is another, or the array is empty, or says that it holds more images, or more
        pixels in one, than there may be.
    ParameterError
        It has other channels than are asked for.
    """

    split: None = None
    attributes: None = None

    def __init__(
        self, array: ArrayLike, name: str, preprocessing: Preprocessing, notes: tuple[str, ...] = ()
    ) -> None:
        shape = tuple(array.shape)
        kind = np.dtype(array.dtype)
        if not (kind.kind == "f" or (kind.kind == "u" and kind.itemsize <= 2)) or len(shape) not in (3, 4):
            msg = f"{name}: an array of {kind} with shape {shape}; expected {_EXPECTED}"
            raise UsageError(msg)
        if 0 in shape:
            msg = f"{name}: the array of shape {shape} has no images"
            raise UsageError(msg)
        height, width = as_channels_last(shape)[1:3]
        if shape[0] > _MOST_IMAGES or height * width > PIXEL_LIMIT:
            most = f"at most {_MOST_IMAGES:,} images of at most {PIXEL_LIMIT:,} pixels"
            raise UsageError(f"{name}: an array of shape {shape}; expected {most}")
        self.name = name
        self.preprocessing = preprocessing
        self._first = as_channels_last(shape) != shape
        if self._first:
            notes = (*notes, f"{name}: an array of (n, channels, height, width), {shape}")
        self.notes = notes
        check_channels(name, as_channels_last(shape), preprocessing)
        self._bytes = kind == np.uint8
        self.paths = RowNumbers(range(shape[0]))
        self._array = array
        self._rows_at_once = max(1, _BYTES_AT_ONCE // math.prod(shape[1:]))

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, start: int, stop: int) -> Pixels:
        """Crop and resize the rows start..stop, taken from the array in one piece where that goes."""
        check_rows(range(start, stop), len(self))
        if stop - start > self._rows_at_once:
            return self.take(range(start, stop))
        try:
            piece = np.asarray(self._array[start:stop])
        except _DAMAGES:  # a damaged chunk costs no more than its own rows
            return self.take(range(start, stop))
        return self._prepare(piece.__getitem__, range(max(0, stop - start)))

    def take(self, rows: Sequence[int]) -> Pixels:
        """Crop and resize the given rows in the given order."""
        check_rows(rows, len(self))
        return self._prepare(self._array.__getitem__, rows)

    def describe(self) -> dict[str, Any]:
        """Return the kind, the name, the number of images, and a sha256 over all paths."""
        return describe_rows("array", self.name, self.paths)

    def _prepare(self, image: Callable[[int], Any], rows: Sequence[int]) -> Pixels:
        def decode(row: int) -> NDArray[Any]:
            try:
                pixels = np.asarray(image(row))
            except _DAMAGES as error:
                raise ImageRejectedError(
                    Status.DAMAGED, f"cannot be read from the array ({error})"
                ) from error
            if self._first:
                pixels = np.moveaxis(pixels, 0, 2)
            channels = 1 if pixels.ndim == 2 else pixels.shape[2]
            if self._bytes and channels in (1, 3) and not isinstance(self.preprocessing.channels, int):
                plane = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
                return crop_and_resize(Image.fromarray(np.ascontiguousarray(plane)), self.preprocessing)
            values = pixels if self._bytes else in_units(pixels, self.preprocessing)
            return as_asked(values.reshape(*pixels.shape[:2], channels), self.preprocessing)

        return decode_rows(rows, decode, self.preprocessing, np.uint8 if self._bytes else np.float32)


def open_npy(file: Path, preprocessing: Preprocessing) -> ArraySource:
    """Map a .npy file into memory as a source of images.

    Raises
    ------
    UnsafeInputError
        The file holds Python objects, which could run code when loaded.
    UsageError
        It is no .npy file, is cut short, or has another type or shape.
    """
    return ArraySource(map_npy(file, _EXPECTED), file.name, preprocessing)
