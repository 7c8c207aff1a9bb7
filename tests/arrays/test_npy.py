from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from latentscan.arrays.npy import map_npy

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_python_2_is_read_without_a_word(tmp_path: Path) -> None:
    file, values = tmp_path / "z.npy", np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(file, values)
    file.write_bytes(file.read_bytes().replace(b"(2, 3), }  ", b"(2L, 3L), }"))
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(map_npy(file, "an array"), values)
