"""The command as a user starts it, and what a folder holds."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that is not the repository, so that the installed package is what runs."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="session")
def latentscan(outside: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `latentscan` to its end; no traceback and no warning may show unless --debug asks for it."""

    def run(
        *arguments: str | Path, cwd: Path = outside, interpreter: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
        done = subprocess.run(
            [sys.executable, *interpreter, "-m", "latentscan", *map(str, arguments)],
            cwd=cwd,
            env={**environment, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if "--debug" not in arguments:
            for output in (done.stdout, done.stderr):
                assert "Traceback" not in output, output
                assert "Warning" not in output, output
        return done

    return run


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    return read


@pytest.fixture(scope="session")
def listing() -> Callable[[Path], dict[str, tuple[int, int]]]:
    """Everything below a folder with its time of change and size."""

    def read(folder: Path) -> dict[str, tuple[int, int]]:
        return {
            str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in sorted(folder.rglob("*"))
        }

    return read
