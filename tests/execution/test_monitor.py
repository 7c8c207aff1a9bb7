from __future__ import annotations

import re
import threading
import time

from latentscan.execution.executor import ignore_progress
from latentscan.execution.monitor import TaskMonitor, on_event
from latentscan.execution.worker import TaskId, payload_key


def tasks(run: str, count: int = 2) -> list[TaskId]:
    return [TaskId(run, number, f"block {number}", "topic") for number in range(count)]


def event(run: str, number: int, amount: int, *, worker: str = "tcp://a:1", **figures: float) -> None:
    on_event((0.0, [run, number, worker, amount, figures]))


def test_progress_is_the_total_of_each_task_however_often_it_runs() -> None:
    reported: list[tuple[int, dict[str, float]]] = []

    def report(amount: int, /, **figures: float) -> None:
        reported.append((amount, figures))

    monitor = TaskMonitor(tasks("a"), report)
    event("a", 0, 5, loss=2.0)
    event("a", 0, 3)  # it runs again, on another worker
    event("a", 0, 6)
    event("a", 1, 1)
    event("another run", 0, 100)
    on_event((0.0, {"action": "what schedulers log of clients"}))
    assert monitor.wait(0.01) == []
    assert reported == [(5, {"loss": 2.0}), (1, {}), (1, {})]
    monitor.report_remaining(10)
    assert reported[-1] == (3, {})


def test_a_run_that_is_over_hears_nothing() -> None:
    monitor = TaskMonitor(tasks("over"), ignore_progress)
    del monitor
    event("over", 0, 1)


def test_draining_waits_for_the_last_task_that_runs() -> None:
    monitor = TaskMonitor(tasks("b"), ignore_progress)
    event("b", 1, 0)
    monitor.wait(0.01)
    began = time.monotonic()
    timer = threading.Timer(0.2, event, args=("b", 1, 0), kwargs={"worker": ""})
    timer.start()
    monitor.drain(30, lambda: {"tcp://a:1"})
    assert 0.2 <= time.monotonic() - began < 10


def test_draining_does_not_wait_for_a_lost_worker_nor_beyond_its_time() -> None:
    monitor = TaskMonitor(tasks("c"), ignore_progress)
    event("c", 0, 0)
    monitor.wait(0.01)
    began = time.monotonic()
    monitor.drain(30, set)
    monitor.drain(0.05, lambda: {"tcp://a:1"})
    assert time.monotonic() - began < 10


def test_tasks_payloads_and_merges_have_names() -> None:
    ids = tasks("d")
    monitor = TaskMonitor(ids, ignore_progress)
    assert monitor.name(ids[1].key) == "block 1"
    assert monitor.name(payload_key()) == "sending the task to the workers"
    assert monitor.name("merge-123") == "merging the partials of blocks"
    assert all(re.fullmatch(r"latentscan-d-\d{9}", task.key) for task in ids)
