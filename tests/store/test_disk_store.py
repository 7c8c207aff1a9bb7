from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from latentscan.store.disk_store import DiskStore

if TYPE_CHECKING:
    from pathlib import Path


def test_zarr_reads_and_writes_it_as_its_own(tmp_path: Path) -> None:
    values = np.arange(24).reshape(6, 4)
    zarr.create_array(DiskStore(tmp_path), data=values, chunks=(2, 2), shards=(4, 4))
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path), mode="r")[:], values)
    read = zarr.open_array(DiskStore(tmp_path, read_only=True), mode="r")
    np.testing.assert_array_equal(read[2:5, 1:3], values[2:5, 1:3])  # parts of files
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_array(DiskStore(tmp_path, read_only=True), mode="r+")


def test_a_folder_is_no_chunk_and_a_pipe_is_an_error(tmp_path: Path) -> None:
    zarr.create_array(DiskStore(tmp_path), data=np.arange(4), chunks=(2,))
    (tmp_path / "c" / "0").unlink()
    (tmp_path / "c" / "0").mkdir()
    assert np.asarray(zarr.open_array(DiskStore(tmp_path), mode="r")[:]).tolist() == [0, 0, 2, 3]
    (tmp_path / "c" / "1").unlink()
    os.mkfifo(tmp_path / "c" / "1")
    with pytest.raises(OSError, match="no regular file"):
        zarr.open_array(DiskStore(tmp_path), mode="r")[:]
