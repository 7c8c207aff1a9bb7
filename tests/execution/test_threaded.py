from __future__ import annotations

import importlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
from threadpoolctl import threadpool_info

from latentscan.errors import StoreError, TaskError
from latentscan.execution.executor import Control, Stopped
from latentscan.execution.threaded import ThreadedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN_S = 30.0


class Saving:
    """A task that runs beside another until it is asked to stop, and saves its state then."""

    def __init__(self) -> None:
        self.begun, self.may_save, self.saved = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, control: Control) -> None:
        self.begun.set()
        while not control.stopped():
            time.sleep(0.001)  # as a task does between two steps
        threading.Timer(0.1, self.may_save.set).start()  # later than a run that does not wait would return
        assert self.may_save.wait(WITHIN_S)
        self.saved.set()
        raise Stopped


def test_no_task_runs_any_more_when_one_has_failed() -> None:
    saving = Saving()

    def work(item: int, control: Control) -> None:
        if item:
            saving(control)
        assert saving.begun.wait(WITHIN_S)
        raise ValueError("the first")

    with pytest.raises(TaskError, match="task 0: ValueError: the first"):
        ThreadedExecutor(2).run_tasks(work, range(2))
    assert saving.saved.is_set()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_no_task_runs_any_more_after_an_interruption(raised: type[BaseException]) -> None:
    saving = Saving()

    def work(item: int, control: Control) -> None:
        if item:
            saving(control)
        assert saving.begun.wait(WITHIN_S)

    def interrupt(_item: int) -> None:
        raise raised

    with pytest.raises(raised):
        ThreadedExecutor(2).run_tasks(work, range(2), on_done=interrupt)
    assert saving.saved.is_set()


def test_tasks_that_have_not_begun_are_dropped_when_one_fails() -> None:
    begun: list[int] = []

    def work(item: int, _control: Control) -> None:
        begun.append(item)
        raise StoreError("block 0 is damaged")

    with pytest.raises(StoreError, match=r"^block 0 is damaged$"):
        ThreadedExecutor(1).run_tasks(work, range(1000))
    assert len(begun) < 1000


def test_results_come_in_the_order_of_their_items() -> None:
    done = [threading.Event() for _ in range(4)]

    def work(item: int, _control: Control) -> int:
        if item < 3:  # the later ones are done first
            assert done[item + 1].wait(WITHIN_S)
        done[item].set()
        return item

    finished: list[int] = []
    assert ThreadedExecutor(4).run_tasks(work, range(4), on_done=finished.append) == [0, 1, 2, 3]
    assert sorted(finished) == [0, 1, 2, 3]


def test_tasks_begin_in_the_order_of_their_items() -> None:
    begun: list[int] = []
    ThreadedExecutor(1).run_tasks(lambda item, _control: begun.append(item), range(12))
    assert begun == list(range(12))


def test_items_that_are_done_are_named_in_the_calling_thread() -> None:
    threads: set[int] = set()
    ThreadedExecutor(2).run_tasks(
        lambda item, _control: item, range(9), on_done=lambda _: threads.add(threading.get_ident())
    )
    assert threads == {threading.get_ident()}


def test_no_items_are_no_tasks() -> None:
    assert ThreadedExecutor(2).run_tasks(lambda item, _control: item, []) == []


def test_progress_of_all_tasks_adds_up() -> None:
    reported: list[int] = []

    def report(amount: int, /, **_: float) -> None:
        reported.append(amount)

    def work(item: int, control: Control) -> None:
        for _ in range(100):
            control.advance(item)

    ThreadedExecutor(4).run_tasks(work, [1, 2, 3, 4], report=report)
    assert sum(reported) == 1000


def pools() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()}


@pytest.mark.parametrize(
    "run",
    [
        lambda executor, seen: executor.run_tasks(lambda _item, _control: seen(), range(3)),
        lambda executor, seen: executor.map_reduce(lambda _item: seen(), lambda one, _: one, range(3)),
    ],
    ids=["run_tasks", "map_reduce"],
)
def test_thread_pools_of_libraries_have_one_thread_meanwhile(run: Callable[..., object]) -> None:
    importlib.import_module("sklearn.cluster")  # it brings OpenMP, whose limit is each thread's own
    before = threadpool_info()
    assert {pool["user_api"] for pool in before} >= {"blas", "openmp"}
    seen: list[set[int]] = []
    run(ThreadedExecutor(2), lambda: seen.append(pools()))
    assert seen == [{1}] * 3
    assert threadpool_info() == before


@pytest.mark.parametrize("items", [1, 4, 5, 21])
def test_partials_merge_in_the_order_of_the_items(items: int) -> None:
    done: list[None] = []
    joined = ThreadedExecutor(3).map_reduce(
        str, "{}{}".format, list(range(items)), on_done=lambda: done.append(None)
    )
    assert joined == "".join(map(str, range(items)))
    assert len(done) == items


def test_an_error_names_the_item_of_its_leaf() -> None:
    with pytest.raises(TaskError, match=r"^block 2: ZeroDivisionError"):
        ThreadedExecutor(1).map_reduce(
            lambda item: 1 // (item - 2), max, range(4), describe=lambda item: f"block {item}"
        )


def test_threads_are_shared_among_the_tasks_that_run_at_once() -> None:
    executor = ThreadedExecutor(4)
    assert [executor.threads_per_task(tasks) for tasks in (1, 2, 3, 4, 9)] == [4, 2, 1, 1, 1]
