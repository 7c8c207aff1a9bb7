"""An array in a file of any kind, and which of several is meant."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

EXPECTED = "an array of numbers, an image a row"
LATENTS = "an array of numbers, (images, components) or of more axes"
_MOST_NAMED = 12


@dataclass(frozen=True)
class Held:
    """An array in a file.

    Parameters
    ----------
    shape
        Its axes.
    kind
        The type of its elements, as NumPy spells it.
    read
        Returns the rows from one up to another.
    """

    shape: tuple[int, ...]
    kind: str
    read: Callable[[int, int], NDArray[Any]]

    @property
    def fits(self) -> bool:
        """Whether it can be latents: numbers, with an axis of images and others."""
        is_number = self.kind == "bfloat16" or np.dtype(self.kind).kind in "fiu"
        return is_number and len(self.shape) > 1 and 0 not in self.shape

    @property
    def words(self) -> str:
        """Its type and shape."""
        return f"{self.kind} of shape {self.shape}"


def held(array: Any) -> Held:
    """Return an array in memory, mapped or opened, whose rows are read when they are indexed."""
    return Held(tuple(array.shape), str(array.dtype), lambda start, stop: np.asarray(array[start:stop]))


def chosen(arrays: Mapping[str, Held], file: Path, key: str, field: str) -> Held:
    """Return the array that a parameter means: that of a key, else of its own name, else the only one.

    Parameters
    ----------
    arrays
        Those in the file, by key.
    file, key
        What the user named; the key may be empty.
    field
        The parameter: mu, logvar or z.

    Raises
    ------
    ParameterError
        If it is none of them, or they are several; the message lists them.
    """
    fitting = {name: array for name, array in arrays.items() if array.fits}
    value = Path(f"{file}:{key}") if key else file
    meant = [name for name in (key or field,) if name in (arrays if key else fitting)]
    meant = meant or ([] if key else list(fitting if len(fitting) == 1 or len(arrays) > 1 else arrays))
    if len(meant) == 1:
        only = arrays[meant[0]]
        if only.fits:
            return only
        raise ParameterError(f"{only.words}; expected {LATENTS}", field=field, value=value)
    listed = ", ".join(f"{shown(own)} {array.shape}" for own, array in list(fitting.items())[:_MOST_NAMED])
    more = f" and {len(fitting) - _MOST_NAMED:,} more" if len(fitting) > _MOST_NAMED else ""
    if not fitting:
        raise ParameterError(f"holds no array that fits; expected {LATENTS}", field=field, value=value)
    problem = "holds no such array" if key else "holds several arrays"
    example = f"{file.name}:{next(iter(fitting))}"
    raise ParameterError(
        f"{problem}; it has {listed}{more}; name one, as in {example}", field=field, value=value
    )


def spooled(pieces: Iterable[NDArray[Any]], file: Path, expected_bytes: int = 0) -> Held:
    """Return rows that can only be read from the first on, which are copied to a temporary file.

    Parameters
    ----------
    pieces
        The rows, of one type and width.
    file
        What they are of.
    expected_bytes
        How many bytes they will take, where that is known.

    Raises
    ------
    UsageError
        If there is no room for the copy.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free
    where = f"no room in {tempfile.gettempdir()} for a copy of {file.name}"
    if expected_bytes > free:
        raise UsageError(f"{where}: {expected_bytes:,} bytes, but {free:,} are free; save it as .npy")
    rows, kind = 0, "float64"
    width: tuple[int, ...] = ()
    with tempfile.TemporaryFile() as copy:  # its map outlives it
        for piece in pieces:
            try:
                copy.write(np.ascontiguousarray(piece).data)
                copy.flush()
            except OSError as error:
                raise UsageError(f"{where} ({error.strerror or error}); save it as .npy") from error
            rows, width, kind = rows + len(piece), piece.shape[1:], str(piece.dtype)
        if not rows or 0 in width:
            return Held((rows, *width), kind, lambda _start, _stop: np.zeros((0, *width)))
        return held(np.memmap(copy, kind, "r", 0, (rows, *width)))
