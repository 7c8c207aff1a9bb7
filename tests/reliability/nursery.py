"""Processes to try faults in: each forked from one that has imported everything, and has run nothing.

So a trial costs milliseconds and not the seconds of an interpreter's start, shares no state with another, may
be killed, and may have its memory limited.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import re
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.reliability.campaign import Fault, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

OUT, ERR, ANSWER = "stdout", "stderr", "answer"  # files of a trial
MOST_FILE_BYTES = 2**30  # no trial needs a larger file: a full disk would end the campaign
PREPARATION_S = 120.0
_SHOWN = 300  # characters of what a process said


@dataclass(frozen=True)
class Ended:
    """A process that ended without an answer."""

    status: int  # as os.waitpid returns it

    def __str__(self) -> str:
        if os.WIFSIGNALED(self.status):
            return f"ended by {signal.Signals(os.WTERMSIG(self.status)).name}"
        return f"ended with exit code {os.waitstatus_to_exitcode(self.status)} and no answer"


@dataclass(frozen=True)
class _Trial:
    fault: Fault
    pid: int
    pidfd: int
    folder: Path
    ends_at: float


class Nursery:
    """Forks processes; at most `jobs` at once.

    Parameters
    ----------
    folder
        Where each gets a folder of its own.
    jobs
        How many run at once.
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        self.folder = folder
        self.jobs = jobs
        self._count = 0

    def trials(self, faults: Iterable[Fault]) -> Iterator[tuple[Fault, Finding]]:
        """Try faults, and return each with its finding, in the order in which they end."""
        waiting, running = iter(faults), dict[int, _Trial]()
        try:
            while True:
                for fault in waiting:
                    trial = self._begin(fault)
                    running[trial.pidfd] = trial
                    if len(running) == self.jobs:
                        break
                if not running:
                    return
                for trial in _ended(running):
                    del running[trial.pidfd]
                    yield trial.fault, _finish(trial)
        finally:
            for trial in running.values():
                _finish(trial)

    def made(self, make: Callable[[Path], T], folder: Path) -> T:
        """Call a function with a folder in a process of its own, and return what it returns.

        Raises
        ------
        RuntimeError
            If it failed.
        """
        made: list[T] = []

        def attempt(_: Path) -> Finding:
            (folder / ANSWER).write_bytes(pickle.dumps(make(folder)))
            return Finding(Verdict.SURVIVED)

        fault = Fault("preparation", "", attempt, PREPARATION_S, memory_bytes=16 * 2**30)
        for _, finding in self.trials([fault]):
            if finding.verdict is not Verdict.SURVIVED:
                raise RuntimeError(f"cannot prepare: {finding.said}")
            made.append(pickle.loads((folder / ANSWER).read_bytes()))
            (folder / ANSWER).unlink()
        return made[0]

    def _begin(self, fault: Fault) -> _Trial:
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir()
        pid = _fork(lambda: _answer(folder, fault))
        return _Trial(fault, pid, os.pidfd_open(pid), folder, time.monotonic() + fault.limit_s)


def forked(function: Callable[[], T]) -> T | Ended:
    """Call a function in a process forked from this one, which must have no threads; wait for its end."""
    return together([function])[0]


def together(functions: Sequence[Callable[[], T]]) -> list[T | Ended]:
    """Call functions at once, each in a process forked from this one; wait for the end of all."""
    begun = [_piped(function) for function in functions]
    return [_awaited(pid, pipe) for pid, pipe in begun]


def answer_of(found: T | Ended) -> T:
    """Return what a forked process answered.

    Raises
    ------
    ChildProcessError
        If it ended without an answer.
    """
    if isinstance(found, Ended):
        raise ChildProcessError(str(found))
    return found


def virtual_bytes() -> int:
    """Return how much address space this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def tail_of(text: str) -> str:
    """Return the end of what was said, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else f"...{words[-_SHOWN:]}"


def _fork(function: Callable[[], None]) -> int:
    """Call a function in a forked process, which ends after it whatever happens; return the process's id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    faulthandler.disable()  # it would write to the streams of the program above
    try:
        function()
        code = 0
    except BaseException:  # noqa: BLE001 (not even SystemExit may reach the code of the campaign above)
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _piped(function: Callable[[], T]) -> tuple[int, int]:
    """Call a function in a forked process; return its id, and the pipe that its answer comes through."""
    reading, writing = os.pipe()

    def answer() -> None:
        os.close(reading)
        with os.fdopen(writing, "wb") as stream:
            pickle.dump(function(), stream)

    pid = _fork(answer)
    os.close(writing)
    return pid, reading


def _awaited(pid: int, pipe: int) -> Any:
    with os.fdopen(pipe, "rb") as stream:
        content = stream.read()
    _, status = os.waitpid(pid, 0)
    return Ended(status) if status or not content else pickle.loads(content)


def _answer(folder: Path, fault: Fault) -> None:
    os.setsid()
    os.chdir(folder)
    for file, number, mode in (
        (os.devnull, 0, os.O_RDONLY),
        (OUT, 1, os.O_RDWR | os.O_CREAT),
        (ERR, 2, os.O_RDWR | os.O_CREAT),
    ):
        os.dup2(os.open(file, mode, 0o600), number)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE_BYTES, MOST_FILE_BYTES))
    most = virtual_bytes() + fault.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    inner = folder / "work"
    inner.mkdir()
    os.chdir(inner)
    finding = fault.attempt(inner)
    partial = folder / f"{ANSWER}.partial"
    partial.write_bytes(pickle.dumps(finding))
    partial.rename(folder / ANSWER)


def _ended(running: dict[int, _Trial]) -> list[_Trial]:
    """Wait until a trial ends, or must be ended."""
    poll = select.poll()
    for pidfd in running:
        poll.register(pidfd, select.POLLIN)
    left_s = min(trial.ends_at for trial in running.values()) - time.monotonic()
    ready = {pidfd for pidfd, _ in poll.poll(max(0, int(left_s * 1000)) + 1)}
    now = time.monotonic()
    return [trial for trial in running.values() if trial.pidfd in ready or trial.ends_at <= now]


def _finish(trial: _Trial) -> Finding:
    """End a trial with all that it started, and return what came of it."""
    is_late = not select.select([trial.pidfd], [], [], 0)[0]
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(trial.pid, signal.SIGKILL)
    _, status = os.waitpid(trial.pid, 0)
    os.close(trial.pidfd)
    finding = _found(trial, is_late=is_late, status=status)
    shutil.rmtree(trial.folder, ignore_errors=True)
    return finding


def _found(trial: _Trial, *, is_late: bool, status: int) -> Finding:
    answer = trial.folder / ANSWER
    if answer.exists():
        found: Any = pickle.loads(answer.read_bytes())
        return found if isinstance(found, Finding) else Finding(Verdict.UNEXPECTED, f"no finding: {found!r}")
    err = trial.folder / ERR
    said = tail_of(err.read_text(errors="replace")) if err.exists() else ""
    if not is_late:
        return Finding(Verdict.UNEXPECTED, f"{Ended(status)}; {said}")
    if trial.fault.estimate and re.search(trial.fault.estimate, said):
        return Finding(Verdict.DETECTED, said)
    return Finding(Verdict.HANG, f"no end within {trial.fault.limit_s:g} s; {said}")
