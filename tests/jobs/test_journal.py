"""The record of a running job: what it says of each end, and who may end the job."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from latentscan.errors import StoreError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs import journal as journal_module
from latentscan.jobs.journal import CancelledJobError, Journal, SupersededError
from latentscan.jobs.record import read_record, request_cancel
from latentscan.jobs.run import begin_record, submit_job
from tests.jobs.examples import LONG, Watcher, job, last, submit

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.jobs.record import JobRecord


def test_an_interruption_is_recorded(store: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    asked = job([store], "stats")
    with pytest.raises(KeyboardInterrupt):
        submit(asked, progress=Watcher(interrupt))
    record = last(asked)
    assert (record.state, record.exit_code, record.steps[0].state) == ("interrupted", 130, "interrupted")
    assert not submit(asked).steps[0].cached


def test_a_record_that_cannot_be_written_hides_no_error(store: str, tmp_path: Path) -> None:
    def lose_the_record() -> None:
        (tmp_path / "z.zarr" / "jobs").rename(tmp_path / "jobs")
        (tmp_path / "z.zarr" / "jobs").write_bytes(b"")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(job([store], "stats"), progress=Watcher(lose_the_record))


def test_a_slow_store_does_not_hold_up_the_work(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(store, begin_record(job([store], "stats"), ThreadedExecutor()))
    writing, go_on = threading.Event(), threading.Event()

    def slowly(_home: str, _record: JobRecord) -> None:
        writing.set()
        assert go_on.wait(60)

    monkeypatch.setattr(journal_module, "write_record", slowly)
    writer = threading.Thread(target=journal._write, kwargs={"owned": False}, daemon=True)
    writer.start()
    assert writing.wait(60)
    with journal.task("a", 2, "b") as advance:
        worker = threading.Thread(target=advance, args=(1,), daemon=True)
        worker.start()
        worker.join(30)
        assert not worker.is_alive()
    go_on.set()
    writer.join(60)


def test_whoever_reaches_the_store_can_end_a_job(store: str, quick: None) -> None:
    asked = job([store], "stats", LONG)
    record = begin_record(asked, ThreadedExecutor())
    with pytest.raises(CancelledJobError):
        submit_job(
            asked, ThreadedExecutor(), record, progress=Watcher(lambda: request_cancel(asked.home, record.id))
        )
    ended = read_record(asked.home, record.id)
    assert (ended.state, ended.exit_code, ended.error) == ("cancelled", 130, None)
    assert "cancelled" in {step.state for step in ended.steps}


def test_a_job_that_was_cancelled_before_it_began(store: str) -> None:
    asked = job([store], "stats")
    record = begin_record(asked, ThreadedExecutor())
    request_cancel(asked.home, record.id)
    ended = read_record(asked.home, record.id)
    assert (ended.state, ended.exit_code) == ("cancelled", 130)  # whether or not a process ever takes it up
    with pytest.raises(CancelledJobError):
        submit_job(asked, ThreadedExecutor(), record)
    assert read_record(asked.home, record.id).state == "cancelled"


def test_what_fails_while_a_job_begins_is_recorded(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_home: str, _id: str) -> bool:
        raise StoreError("the server has a bad day")

    asked = job([store], "stats")
    monkeypatch.setattr(journal_module, "cancel_requested", fail)
    with pytest.raises(StoreError):
        submit(asked)
    record = last(asked)
    assert (record.state, record.error, record.exit_code) == ("failed", "the server has a bad day", 4)


def test_a_driver_that_was_replaced_ends(store: str, quick: None) -> None:
    asked = job([store], LONG)
    record = begin_record(asked, ThreadedExecutor())
    other = Journal(asked.home, record)

    def replaced() -> None:
        with other.running():
            pass

    with pytest.raises(SupersededError):
        submit_job(asked, ThreadedExecutor(), record, progress=Watcher(replaced))
    assert read_record(asked.home, record.id).driver == other.record.driver


def test_signs_of_life_need_no_reports(store: str, quick: None) -> None:
    record = begin_record(job([store], "stats"), ThreadedExecutor())
    silent = Journal(store, record)
    with silent.running():
        heard: set[str | None] = set()
        while len(heard) < 3:
            heard.add(read_record(store, record.id).heard)
            time.sleep(0.01)
