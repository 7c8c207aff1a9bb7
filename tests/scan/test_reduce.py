from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from latentscan.errors import TaskError
from latentscan.execution.executor import FAN_IN
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.scan.reduce import map_reduce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Recorder:
    """A subscriber that remembers what it was told."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def task(self, label: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Any]:
        from contextlib import contextmanager

        @contextmanager
        def watch() -> Iterator[Any]:
            self.total = total

            def advance(amount: int, /, **figures: float) -> None:
                self.done += amount

            yield advance

        return watch()


@given(st.integers(1, 3 * FAN_IN * FAN_IN), st.integers(1, 4))
def test_partials_merge_in_block_order(blocks: int, threads: int) -> None:
    found = map_reduce(
        range(blocks), lambda b: (b,), lambda a, b: a + b, label="test", executor=ThreadedExecutor(threads)
    )
    assert found == tuple(range(blocks))


def test_the_tree_is_the_same_for_any_number_of_threads() -> None:
    """Merging strings with brackets shows the shape of the tree."""

    def shape(threads: int, slow: int) -> str:
        def leaf(block: int) -> str:
            time.sleep(0.02 if block == slow else 0)
            return str(block)

        return map_reduce(
            range(20), leaf, lambda a, b: f"({a} {b})", label="test", executor=ThreadedExecutor(threads)
        )

    assert shape(1, slow=0) == shape(4, slow=0) == shape(4, slow=19)


def test_blocks_run_in_several_threads_with_numpy_held_at_one() -> None:
    seen: set[int] = set()
    pools: list[int] = []

    def leaf(block: int) -> int:
        seen.add(threading.get_ident())
        pools.extend(pool["num_threads"] for pool in threadpool_info() if "numpy.libs" in pool["filepath"])
        time.sleep(0.02)
        return block

    assert map_reduce(range(8), leaf, lambda a, b: a + b, label="test", executor=ThreadedExecutor(2)) == 28
    assert len(seen) == 2
    assert set(pools) == {1}


def test_progress_counts_blocks_alone() -> None:
    recorder = Recorder()
    map_reduce(range(20), lambda b: b, lambda a, b: a + b, label="test", progress=recorder)
    assert (recorder.total, recorder.done) == (20, 20)


def test_an_error_in_a_block_ends_the_reduction() -> None:
    def leaf(block: int) -> int:
        if block == 3:
            raise KeyError(block)
        return block

    with pytest.raises(TaskError, match="task 3: KeyError"):
        map_reduce(range(9), leaf, lambda a, b: a + b, label="test")
