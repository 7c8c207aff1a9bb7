"""Commands as a user gives them, in this process or, where the process is the point, in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from latentscan.cli.app import app
from latentscan.errors import DEBUG

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., "Done"]

COLUMNS = 80
ENVIRONMENT = {"COLUMNS": str(COLUMNS), "FORCE_COLOR": None, DEBUG: None}


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def latentscan(*words: object, cwd: Path | None = None, answer: str | None = None) -> Done:
    """Run a command in this process; a warning is an error here, as everywhere in the tests."""
    with chdir(cwd) if cwd is not None else nullcontext():
        found = CliRunner().invoke(app, [str(word) for word in words], answer, ENVIRONMENT)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return _checked(Done(found.exit_code, found.stdout, found.stderr), words)


def latentscan_process(*words: object, cwd: Path | None = None, interpreter: tuple[str, ...] = ()) -> Done:
    """Run a command to its end in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, *interpreter, "-m", "latentscan", *map(str, words)],
        cwd=cwd,
        env={**environment, "COLUMNS": str(COLUMNS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return _checked(Done(done.returncode, done.stdout, done.stderr), words)


def _checked(done: Done, words: tuple[object, ...]) -> Done:
    """Check that no traceback and no warning shows, unless a user asks for them."""
    if "--debug" not in words:
        for output in (done.stdout, done.stderr):
            assert "Traceback" not in output, output
            assert "Warning" not in output, output
    return done
