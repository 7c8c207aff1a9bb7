"""The campaign finds nothing in a quick run; and it does find what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.reliability.campaign import Fault, Finding, Verdict
from tests.reliability.command import BAD_USAGE, DONE, FAILED, Said, run
from tests.reliability.nursery import Ended, Nursery, forked


@pytest.mark.timeout(1200)
def test_quick_run_finds_nothing() -> None:
    command = [sys.executable, "-m", "tests.reliability", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    _, *rows = (line.split() for line in done.stdout.splitlines()[:11])
    assert [row[0] for row in rows][:2] == ["damage", "kills"]
    assert all(int(row[1]) >= int(row[2]) > 0 and row[5:8] == ["0", "0", "0"] for row in rows)


def wait_for_ever(_: Path) -> Finding:
    time.sleep(600)
    return Finding(Verdict.SURVIVED)


def take_memory(_: Path) -> Finding:
    return Finding(Verdict.SURVIVED, str(len(bytearray(2**33))))


def crash(_: Path) -> Finding:
    os.abort()


def leave_a_process(folder: Path) -> Finding:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    return Finding(Verdict.SURVIVED, str(process.pid))


@pytest.mark.parametrize(
    ("attempt", "verdict", "said"),
    [
        (wait_for_ever, Verdict.HANG, "no end within 0.3 s"),
        (take_memory, Verdict.UNEXPECTED, "MemoryError"),
        (crash, Verdict.UNEXPECTED, "SIGABRT"),
    ],
)
def test_nursery_survives_what_is_tried(attempt: object, verdict: Verdict, said: str, tmp_path: Path) -> None:
    fault = Fault("", "", attempt, 0.3 if attempt is wait_for_ever else 20, 2**30)  # type: ignore[arg-type]
    ((_, finding),) = Nursery(tmp_path, 1).trials([fault])
    assert finding.verdict is verdict
    assert said in finding.said
    assert not any(tmp_path.iterdir())


def test_nursery_ends_what_a_trial_began(tmp_path: Path) -> None:
    ((_, finding),) = Nursery(tmp_path, 1).trials([Fault("", "", leave_a_process)])
    status, patience_s = Path(f"/proc/{finding.said}/stat"), time.monotonic() + 20
    while status.exists() and status.read_text().split()[2] != "Z":  # whom nobody waits for stays as a zombie
        assert time.monotonic() < patience_s
        time.sleep(0.02)


def test_forked_returns_the_answer_or_how_it_ended() -> None:
    assert forked(partial(int, "7")) == 7
    assert isinstance(ended := forked(os.abort), Ended)
    assert "SIGABRT" in str(ended)


@pytest.mark.parametrize(
    ("code", "err", "expected"),
    [
        (DONE, "stats: done", None),
        (BAD_USAGE, "error: --k x", None),
        (FAILED, "error: no", "exit 1"),
        (BAD_USAGE, "error: KeyError: 'x' (unexpected; --debug shows where)", "unexpected"),
        (DONE, "Traceback (most recent call last):", "Traceback"),
        (DONE, "numpy.py:7: RuntimeWarning: overflow", "noise"),
    ],
)
def test_breach_of_what_commands_promise(code: int, err: str, expected: str | None) -> None:
    breach = Said(("stats",), code, "", err).breach(DONE, BAD_USAGE)
    assert (breach is None) == (expected is None)
    if breach is not None and expected is not None:
        assert breach.verdict is Verdict.UNEXPECTED
        assert expected in breach.said


def say_version(_: Path) -> Finding:
    said = run("--version")
    return Finding(Verdict.SURVIVED, f"{said.code} {said.out}")


def test_command_runs_in_the_process(tmp_path: Path) -> None:
    ((_, finding),) = Nursery(tmp_path, 1).trials([Fault("", "", say_version)])
    assert finding.said.startswith("0 latentscan ")
