"""The driver's side of a job's record: it writes what happens, and ends the job when asked to."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from latentscan.errors import INTERRUPTED, LatentscanError
from latentscan.jobs.record import StepRecord, cancel_requested, read_record, timestamp, write_record
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latentscan.jobs.record import JobRecord, State
    from latentscan.progress import Advance, Progress

WRITE_EVERY_S = 5.0
LOOK_EVERY_S = 2.0
WAKE_EVERY_S = 0.2


class CancelledJobError(LatentscanError):
    """A job whose end was asked for."""

    exit_code = INTERRUPTED


class SupersededError(LatentscanError):
    """A job that another process has taken up."""

    exit_code = INTERRUPTED


class Journal:
    """Writes the record of a job while it runs; a subscriber to its progress.

    A thread of its own writes the signs of life and looks for the mark that asks for the end, so that
    neither depends on how often the work itself reports.

    Parameters
    ----------
    home
        The store that the record is in.
    record
        The record as it was written last.
    beside
        Another subscriber to the progress.
    """

    def __init__(self, home: str, record: JobRecord, *, beside: Progress = SILENT) -> None:
        self.home = home
        self.record = replace(record, driver=secrets.token_hex(8))
        self._beside = beside
        self._lock = threading.RLock()  # of what is here; nothing waits for the store while it is held
        self._writing = threading.Lock()
        self._end: LatentscanError | None = None

    def beat(self) -> None:
        """Raise what ends the job, if anything does; called often while work goes on.

        Raises
        ------
        CancelledJobError
            If the job's end was asked for.
        SupersededError
            If another process has taken the job up.
        """
        if self._end is not None:
            raise self._end

    def log(self, line: str) -> None:
        """Add a line to the log."""
        with self._lock:
            self.record = self.record.logged(line)

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Begin a piece of work."""
        latest: dict[str, Any] = {"label": label, "done": done, "total": total, "unit": unit}
        self._show(latest)
        with self._beside.task(label, total, unit, done) as advance_beside:

            def advance(amount: int, /, **figures: float) -> None:
                with self._lock:
                    latest["done"] += amount
                    self._show(dict(latest))
                advance_beside(amount, **figures)
                self.beat()

            yield advance

    @contextmanager
    def running(self) -> Iterator[None]:
        """Update the record while a job runs: from its start, or from where another process left it."""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="journal", daemon=True)
        try:
            self.log(f"running on {socket.gethostname()}")
            self._write(state="running", started=self.record.started or timestamp(), owned=False)
            self._look()
            watch.start()
            yield
        except SupersededError:
            raise
        except BaseException as error:
            with suppress(Exception):  # what the job failed with is what matters
                self._ended(*outcome(error))
            raise
        finally:
            over.set()
            if watch.ident is not None:
                watch.join()

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Update the record of a step while it runs."""
        begun, began = timestamp(), time.monotonic()
        name = f"{self.record.steps[number].name} of {self.record.steps[number].store}"
        self.log(f"{name}: begun")
        self._step(number, state="running", started=begun)
        try:
            self._write()
            self.beat()
            yield
        except SupersededError:
            raise
        except BaseException as error:
            if isinstance(error, LatentscanError):
                error.face = "job file"  # the parameters of a step stand there
            state, message, _code = outcome(error)
            self._step(number, state=state, ended=timestamp(), error=message)
            raise
        wall_s = round(time.monotonic() - began, 3)
        self._step(number, state="done", ended=timestamp(), wall_s=wall_s)
        cached = " (it was cached)" if self.record.steps[number].cached else ""
        self.log(f"{name}: done in {wall_s:.1f} s{cached}")
        self._write()

    def found(self, number: int, *, cached: bool, result: str) -> None:
        """Record where the result of a step is, and whether all of it was cached."""
        self._step(number, cached=cached, result=result)

    def done(self, exit_code: int) -> None:
        """Record that the job is done."""
        self._ended("done", None, exit_code)

    def begin(self, steps: tuple[StepRecord, ...]) -> None:
        """Record the steps that the job has."""
        with self._lock:
            self.record = replace(self.record, steps=steps)

    def _ended(self, state: State, message: str | None, code: int) -> None:
        self.log(state if message is None else f"{state}: {message}")
        self._write(state=state, ended=timestamp(), error=message, exit_code=code)

    def _step(self, number: int, **changes: Any) -> None:
        with self._lock:
            steps = list(self.record.steps)
            steps[number] = replace(steps[number], **changes)
            self.record = replace(self.record, steps=tuple(steps))

    def _show(self, progress: dict[str, Any]) -> None:
        with self._lock:
            self.record = replace(self.record, progress=progress)

    def _write(self, *, owned: bool = True, **changes: Any) -> None:
        """Write the record, unless another process has taken its place since this one `owned` it."""
        with self._writing:
            with self._lock:
                record = self.record = replace(self.record, heard=timestamp(), **changes)
            if owned and read_record(self.home, record.id).driver != record.driver:
                self._end = SupersededError(f"job {record.id} was taken up by another process")
                raise self._end
            write_record(self.home, record)

    def _look(self) -> None:
        if cancel_requested(self.home, self.record.id):
            self._end = CancelledJobError(f"job {self.record.id} was cancelled")

    def _watch(self, over: threading.Event) -> None:
        """Write signs of life and look for the mark, until the job is over; a store may fail for a while."""
        written = looked = time.monotonic()
        while not over.wait(WAKE_EVERY_S):
            now = time.monotonic()
            try:
                if now - looked >= LOOK_EVERY_S:
                    looked = now
                    self._look()
                if now - written >= WRITE_EVERY_S:
                    written = now
                    self._write()
            except SupersededError:
                return
            except Exception as error:  # noqa: BLE001 (the next state is written in the open)
                self.log(f"the record could not be written: {outcome(error)[1]}")


@contextmanager
def ended_by_failure(home: str, record: JobRecord) -> Iterator[None]:
    """Record a failure that precedes the first step: nobody else would end the job."""
    try:
        yield
    except BaseException as error:
        state, message, code = outcome(error)
        ended = replace(record, state=state, ended=timestamp(), error=message, exit_code=code)
        with suppress(Exception):
            write_record(home, ended.logged(state if message is None else f"{state}: {message}"))
        raise


def outcome(error: BaseException) -> tuple[State, str | None, int]:
    """Return the state that an error leaves a job in, the message, and the exit code."""
    if isinstance(error, CancelledJobError):
        return "cancelled", None, error.exit_code
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return "interrupted", None, INTERRUPTED
    if isinstance(error, LatentscanError):
        return "failed", error.spelled("job file"), error.exit_code
    return "failed", f"{type(error).__name__}: {error}", 1
