"""Images in files that hold arrays: .npz, HDF5 and idx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.arrays.hdf5 import hdf5_arrays
from latentscan.arrays.idx import idx_array, is_idx
from latentscan.arrays.mapped import npz_arrays
from latentscan.errors import ParameterError, shown
from latentscan.images.arrays import ArraySource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.arrays.held import Held
    from latentscan.images.preprocessing import Preprocessing

_READERS: dict[str, Callable[[Path], dict[str, Held]]] = {
    ".npz": npz_arrays,
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), hdf5_arrays),
}
_MOST_NAMED = 8


def holds_arrays(file: Path) -> bool:
    """Check by its name whether a file holds arrays of a kind that is read here."""
    return file.suffix.lower() in _READERS or is_idx(file)


def open_array_file(file: Path, key: str, preprocessing: Preprocessing) -> ArraySource:
    """Open an array of images in a file.

    Parameters
    ----------
    file
        The file.
    key
        Which of its arrays; may be empty where only one has the axes of images.
    preprocessing
        How images are cropped and resized.

    Raises
    ------
    UsageError
        If the file cannot be read, or the array is not one of images; if several are, the message names them.
    UnsafeInputError
        If it holds nothing but Python objects.
    """
    arrays = idx_array(file) if is_idx(file) else _READERS[file.suffix.lower()](file)
    name = _chosen(arrays, file, key)
    label = f"{file.name}:{name}" if name else file.name
    others = sorted(other for other in arrays if other != name)
    notes = (f"images: {name} of {_listed(arrays, [name, *others])}",) if others and not key else ()
    return ArraySource(_Rows(arrays[name]), label, preprocessing, notes)


class _Rows:
    """An array in a file, indexed by one row or by a slice of them."""

    def __init__(self, array: Held) -> None:
        self.shape, self.dtype = array.shape, np.dtype(array.kind)
        self._array = array

    def __getitem__(self, rows: int | slice) -> Any:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.shape[0])
            return self._array.read(start, stop)
        return self._array.read(rows, rows + 1)[0]


def _chosen(arrays: dict[str, Held], file: Path, key: str) -> str:
    if key:
        if key.strip("/") in arrays:
            return key.strip("/")
        problem = "holds no such array"
    else:
        fitting = [name for name, array in arrays.items() if _fits(array)]
        if len(fitting) == 1:
            return fitting[0]
        if len(arrays) == 1:
            return next(iter(arrays))  # what is wrong with it is said when it is opened
        problem = "holds several arrays of images" if fitting else "holds no array with the axes of images"
    listed = f"; it has {_listed(arrays, sorted(arrays))}" if arrays else ""
    example = next((name for name, array in arrays.items() if _fits(array)), "")
    remedy = f"; name one, as in {file.name}:{example}" if example else ""
    raise ParameterError(f"{problem}{listed}{remedy}", field="images", value=f"{file}:{key}" if key else file)


def _fits(array: Held) -> bool:
    return len(array.shape) in (3, 4) and 0 not in array.shape


def _listed(arrays: dict[str, Held], names: list[str]) -> str:
    named = ", ".join(
        f"{shown(name)} {array.shape}" for name in names[:_MOST_NAMED] for array in [arrays[name]]
    )
    return f"{named} and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else named
