from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from latentscan.errors import StoreError, TaskError
from latentscan.execution.context import Execution
from latentscan.execution.executor import FAN_IN
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.kernels.reduction import Counts, LatentBlock, Reduction
from latentscan.scan.reduce import map_reduce, reduce_store
from latentscan.scan.snapshot import Snapshot
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.progress import Advance

WAIT_S = 30.0


class Counter:
    """A subscriber that adds up what is reported."""

    def __init__(self) -> None:
        self.total = self.done = 0

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.total = total

        def advance(amount: int, /, **figures: float) -> None:
            self.done += amount

        yield advance


def on(threads: int) -> Execution:
    return Execution(ThreadedExecutor(threads))


@given(st.integers(1, 3 * FAN_IN * FAN_IN), st.integers(1, 4))
def test_partials_merge_in_block_order(blocks: int, threads: int) -> None:
    found = map_reduce(range(blocks), lambda b: (b,), lambda a, b: a + b, on(threads), label="test")
    assert found == tuple(range(blocks))


def test_the_tree_is_the_same_for_any_number_of_threads() -> None:
    """Merging strings with brackets shows the shape of the tree."""

    def shape(threads: int, late: int | None = None) -> str:
        another = threading.Event()

        def leaf(block: int) -> str:
            if block == late:
                assert another.wait(WAIT_S)
            elif late is not None and block > late:
                another.set()
            return str(block)

        return map_reduce(range(20), leaf, lambda a, b: f"({a} {b})", on(threads), label="test")

    assert shape(1) == shape(4) == shape(4, late=0) == shape(2, late=9)


def test_blocks_run_in_several_threads_with_numpy_held_at_one() -> None:
    both = threading.Barrier(2)
    seen: set[int] = set()
    pools: list[int] = []

    def leaf(block: int) -> int:
        both.wait(WAIT_S)  # raises where one thread is alone
        seen.add(threading.get_ident())
        pools.extend(pool["num_threads"] for pool in threadpool_info() if "numpy.libs" in pool["filepath"])
        return block

    assert map_reduce(range(8), leaf, lambda a, b: a + b, on(2), label="test") == 28
    assert len(seen) == 2
    assert set(pools) == {1}


def test_progress_counts_blocks_alone() -> None:
    counter = Counter()
    map_reduce(range(20), lambda b: b, lambda a, b: a + b, Execution(progress=counter), label="test")
    assert (counter.total, counter.done) == (20, 20)


def test_an_error_in_a_block_ends_the_reduction_and_names_it() -> None:
    def leaf(block: int) -> int:
        if block == 3:
            raise KeyError(block)
        return block

    with pytest.raises(TaskError, match="task 3: KeyError"):
        map_reduce(range(9), leaf, lambda a, b: a + b, Execution(), label="test")
    with pytest.raises(TaskError, match="the third: KeyError"):
        map_reduce(
            range(9), leaf, lambda a, b: a + b, Execution(), label="test", describe=lambda _: "the third"
        )


Rows = tuple[tuple[int, ...], tuple[str, ...]]


def rows_of(block: LatentBlock) -> Rows:
    return tuple(block.images.tolist()), tuple(block.latents)


def joined(one: Rows, other: Rows) -> Rows:
    assert one[1] == other[1]
    return one[0] + other[0], one[1]


def with_counts(found: Rows, counts: Counts) -> tuple[Rows, Counts]:
    return found, counts


ROWS: Reduction[Rows, Any] = Reduction(("z", "logvar"), rows_of, joined, with_counts)


def test_a_reduction_sees_the_good_rows_of_each_block_and_the_arrays_that_there_are(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4, latents=("mu", "z"), rejected=(0, 7, 8))
    found, counts = reduce_store(Snapshot.of(store), ROWS, on(2), label="test")
    assert found == ((1, 2, 3, 4, 5, 6, 9, 10), ("z",))
    assert counts == Counts(good=8, rejected=3)


def test_blocks_that_are_not_written_are_left_out(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4, blocks=(0, 2), rejected=(1,))
    with pytest.raises(StoreError, match="2 of 3 blocks"):
        Snapshot.of(store)
    found, counts = reduce_store(Snapshot.of(store, allow_partial=True), ROWS, on(1), label="test")
    assert found == ((0, 2, 3, 8, 9, 10), ("z", "logvar"))
    assert counts == Counts(good=6, rejected=1)


def test_a_store_without_a_good_image_is_an_error(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=5, rejected=range(5))
    with pytest.raises(StoreError, match="all 5 images were rejected"):
        reduce_store(Snapshot.of(store), ROWS, on(1), label="test")


def test_every_chunk_that_is_read_is_verified(tmp_path: Path) -> None:
    location = tmp_path / "z.zarr"
    snapshot = Snapshot.of(build_store(location, arrays={"z": np.ones((11, 3), np.float32)}, chunk_rows=4))
    chunk = location / "z" / "c" / "1" / "0"
    chunk.write_bytes((location / "z" / "c" / "2" / "0").read_bytes())  # whole, but another's
    with pytest.raises(StoreError, match="chunk z/c/1/0 is not what was committed"):
        reduce_store(snapshot, ROWS, on(1), label="test")
