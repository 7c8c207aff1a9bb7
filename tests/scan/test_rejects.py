from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latentscan.errors import StoreError
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.images.source import Status
from latentscan.scan.rejects import summarise
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path


def test_rejected_images_are_counted_by_reason_over_all_blocks(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4, rejected=(0, 5, 10))
    one, two = (
        summarise(store, 4, {5: "half a file"}, Execution(ThreadedExecutor(threads))) for threads in (1, 2)
    )
    assert one == two
    assert (one.images, one.written) == (11, 4)
    assert one.rejected == {Status.DAMAGED: 3}
    assert [path for path, _ in one.named] == [f"ünter/{row}.jpg" for row in (0, 5, 10)]
    assert one.named[1][1] == "half a file"


def test_a_damaged_chunk_is_no_count(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4)
    (tmp_path / "z.zarr" / "status" / "c" / "1").unlink()
    with pytest.raises(StoreError, match="status/c/1 is missing"):
        summarise(store, 11, {}, Execution())
