"""The library that spoils a chosen call of the file system: how it is compiled, loaded, and armed."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from enum import IntFlag
from pathlib import Path

SOURCE = Path(__file__).with_name("interposer.c")
LISTENERS = "INTERPOSER_LISTENERS"  # the variable that names the file of addresses
KILL = -1  # instead of an error's number
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EMFILE": errno.EMFILE}


class Calls(IntFlag):
    """Kinds of calls."""

    CHANGE = 1  # creates, writes, renames, links, removes
    OPEN = 2
    READ = 4


def compile_interposer(folder: Path) -> Path | None:
    """Compile the library into a folder; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = folder / "interposer.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True, capture_output=True
    )
    return library


def arm(folder: Path, kinds: Calls, number: int = 0, action: int = KILL, *, sticky: bool = False) -> None:
    """Count calls that concern files below a folder, and spoil the one of a number (none if 0).

    Parameters
    ----------
    folder
        Absolute.
    kinds
        Which calls are counted.
    number
        The call to spoil, from 1.
    action
        `KILL`, or the number of the error that it fails with.
    sticky
        Whether all calls after it fail too.
    """
    _library().interposer_arm(os.fsencode(folder), int(kinds), ctypes.c_long(number), action, int(sticky))


def calls(kinds: Calls) -> int:
    """Return how many calls of some kinds were counted since it was armed."""
    found: int = _library().interposer_calls(int(kinds))
    return found


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)  # what LD_PRELOAD loaded is in the global namespace
    library.interposer_calls.restype = ctypes.c_long
    return library
