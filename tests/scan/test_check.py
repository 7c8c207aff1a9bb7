from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.scan.check import check_store, repair_store
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

RESULT = Result({"mean": Variable(("component",), np.arange(3.0))}, {"images": 10})


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A store with damage in each of its parts, and a block that is not written."""
    store = build_store(tmp_path / "z.zarr", images=19, chunk_rows=5, blocks=(0, 1, 3))
    Results(store.location).save("analyses/stats/a", RESULT)
    Results(store.location).save("analyses/stats/b", RESULT)
    (tmp_path / "z.zarr" / "analyses/stats/a/mean/c/0").unlink()
    (tmp_path / "z.zarr" / "mu/zarr.json").unlink()
    (tmp_path / "z.zarr" / "z/c/3/0").unlink()
    (tmp_path / "z.zarr" / "path/c/1").unlink()
    (tmp_path / "z.zarr" / "path/c/1").mkdir()
    return tmp_path / "z.zarr"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_check_finds_the_damage_of_every_part_in_order(damaged: Path, workers: int) -> None:
    found = check_store(open_store(str(damaged)), Execution(ThreadedExecutor(workers)))
    assert [(damage.file, damage.block) for damage in found.damages] == [
        ("mu/zarr.json", None),
        ("analyses/stats/a", None),
        ("path/c/1", 1),
        ("z/c/3/0", 3),
    ]
    assert (found.blocks, found.unwritten, found.damaged_blocks) == (4, (2,), (1, 3))


def test_a_repair_says_what_it_did_and_leaves_only_blocks_to_write(damaged: Path) -> None:
    done = repair_store(str(damaged), check_store(open_store(str(damaged))))
    assert len(done) == 3
    assert "analyses/stats/a" in done[1]
    found = check_store(open_store(str(damaged)))
    assert (found.damages, found.unwritten) == ((), (1, 2, 3))
    assert Results(str(damaged)).load("analyses/stats/b") is not None
    build_store(damaged, images=19, chunk_rows=5, blocks=found.unwritten)
    found = check_store(open_store(str(damaged)))
    assert (found.damages, found.unwritten) == ((), ())


def test_what_killed_writers_left_is_no_damage_and_is_removed(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=19, chunk_rows=5, blocks=(0, 1, 3))
    left = ("path/c/1.0123.partial", "z/c/3/0.0123.partial", "zarr.0123.partial")
    growing = tmp_path / "z.zarr" / "z/c/2/0.0123.partial"
    growing.parent.mkdir()
    for file in left:
        (tmp_path / "z.zarr" / file).write_bytes(b"")
    with growing.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # as a living writer does
        found = check_store(store)
        assert (found.damages, found.leftovers) == ((), left)
        assert len(repair_store(store.location, found)) == 1
        assert list(tmp_path.rglob("*.partial")) == [growing]
    assert check_store(store).leftovers == ("z/c/2/0.0123.partial",)


def test_a_repair_of_a_whole_store_does_nothing(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert repair_store(store.location, check_store(store)) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
