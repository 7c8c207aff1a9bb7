from __future__ import annotations

import time

import pytest

from latentscan.errors import TaskError
from latentscan.execution.executor import Control, Stopped
from latentscan.execution.threaded import ThreadedExecutor


def test_no_task_is_at_work_when_one_has_failed() -> None:
    told: list[int] = []

    def work(item: int, control: Control) -> None:
        if item == 0:
            time.sleep(0.1)
            raise ValueError("the first")
        while not control.stopped():
            time.sleep(0.01)
        time.sleep(0.2)
        told.append(item)
        raise Stopped

    with pytest.raises(TaskError, match="task 0: ValueError: the first"):
        ThreadedExecutor(2).run_tasks(work, range(2))
    assert 1 in told


def test_no_task_is_at_work_after_an_interruption() -> None:
    told: list[int] = []

    def work(item: int, control: Control) -> None:
        while item and not control.stopped():
            time.sleep(0.01)
        if item:
            time.sleep(0.2)
            told.append(item)

    def interrupt(_item: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ThreadedExecutor(2).run_tasks(work, range(2), on_done=interrupt)
    assert 1 in told


def test_what_tasks_give_comes_in_the_order_of_their_items() -> None:
    def work(item: int, _control: Control) -> int:
        time.sleep(0.02 * (3 - item))
        return item

    assert ThreadedExecutor(3).run_tasks(work, range(4)) == [0, 1, 2, 3]


def test_tasks_begin_in_the_order_of_their_items() -> None:
    begun: list[int] = []
    ThreadedExecutor(1).run_tasks(lambda item, _stopped: begun.append(item), range(12))
    assert begun == list(range(12))
