"""Arrays in HDF5 files, AnnData's among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.arrays.held import EXPECTED, Held, held
from latentscan.errors import UsageError, shown
from latentscan.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

_MOST_OBJECTS = 10_000
_CHUNK_BYTES = 1 << 30


def hdf5_arrays(file: Path) -> dict[str, Held]:
    """Open the arrays of numbers in an HDF5 file, by their paths; rows are read when they are asked for.

    Links to other files are not followed, and arrays whose numbers are in other files are left out.

    Raises
    ------
    UsageError
        If it is no HDF5 file, or damaged.
    """
    import h5py

    try:
        with open_regular(file):  # no pipe, no device
            pass
        opened = h5py.File(file, "r")
        names: list[str] = []
        opened.visit(lambda name: names.append(name) if len(names) < _MOST_OBJECTS else True)
        found = {name: opened[name] for name in names}
        return {name: held(node) for name, node in found.items() if _is_own(node)}
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: no HDF5 that can be read ({shown(error)}); expected {EXPECTED}") from error


def _is_own(node: Any) -> bool:
    """Check whether something is an array of numbers in the file itself, with chunks of a size to read."""
    import h5py

    if not isinstance(node, h5py.Dataset) or node.shape is None or node.dtype.kind not in "fiu":
        return False
    chunk = math.prod(node.chunks or (1,)) * np.dtype(node.dtype).itemsize
    return not node.is_virtual and not node.external and chunk <= _CHUNK_BYTES
