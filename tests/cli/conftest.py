"""The commands as fixtures, and what a folder holds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.cli import commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.commands import Command


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that is not the repository, so that the installed package is what runs."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="session")
def latentscan(outside: Path) -> Command:
    """Run a command in this process, outside of the repository."""
    return partial(commands.latentscan, cwd=outside)


@pytest.fixture(scope="session")
def latentscan_process(outside: Path) -> Command:
    """Run a command in a process of its own, outside of the repository."""
    return partial(commands.latentscan_process, cwd=outside)


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
