from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from latentscan.engine.tasks import Stopped, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable


def test_no_task_is_at_work_when_one_has_failed() -> None:
    told: list[int] = []

    def work(item: int, stopped: Callable[[], bool]) -> None:
        if item == 0:
            time.sleep(0.1)
            raise ValueError("the first")
        while not stopped():
            time.sleep(0.01)
        time.sleep(0.2)
        told.append(item)
        raise Stopped

    with pytest.raises(ValueError, match="the first"):
        run_tasks(work, range(2), threads=2)
    assert 1 in told


def test_no_task_is_at_work_after_an_interruption() -> None:
    told: list[int] = []

    def work(item: int, stopped: Callable[[], bool]) -> None:
        while item and not stopped():
            time.sleep(0.01)
        if item:
            time.sleep(0.2)
            told.append(item)

    def interrupt(_item: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(work, range(2), threads=2, finished=interrupt)
    assert 1 in told


def test_what_tasks_give_comes_in_the_order_of_their_items() -> None:
    def work(item: int, _stopped: Callable[[], bool]) -> int:
        time.sleep(0.02 * (3 - item))
        return item

    assert run_tasks(work, range(4), threads=3) == [0, 1, 2, 3]


def test_tasks_begin_in_the_order_of_their_items() -> None:
    begun: list[int] = []
    run_tasks(lambda item, _stopped: begun.append(item), range(12), threads=1)
    assert begun == list(range(12))
