"""What a command does with an error: one clear message on stderr, and the exit code that it stands for."""

from __future__ import annotations

import errno
import functools
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from latentscan.cli.terminal import note
from latentscan.errors import DEBUG, INTERRUPTED, LatentscanError, UsageError
from latentscan.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Callable

TO_RESUME = "what is finished is saved, and the same command goes on from there"

P = ParamSpec("P")


def reported(command: Callable[P, None], *, resuming: str = "") -> Callable[P, None]:
    """Turn the errors of a command into messages and exit codes; `resuming` says how to go on later.

    A ``~`` that begins a path is the user's home: no shell knows it in ``--out=~/run``.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*map(_at_home, args), **{name: _at_home(value) for name, value in kwargs.items()})
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            note("; ".join(["interrupted", *filter(None, [resuming])]))
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 (no traceback reaches a user)
            if os.environ.get(DEBUG):
                traceback.print_exc()
            note(f"error: {_message(error)}")
            raise typer.Exit(_exit_code(error)) from None

    return wrapped


def check_picture(path: Path, option: str, endings: tuple[str, ...]) -> None:
    """Check, before any work, that a picture can be written.

    Parameters
    ----------
    path
        The file.
    option
        Its option, for messages.
    endings
        Those that are possible.

    Raises
    ------
    UsageError
        If its ending is another one, or its folder does not exist.
    """
    if path.suffix.lower() not in endings:
        raise UsageError(f"{option} {path}: expected a file ending in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: the folder {path.parent} does not exist")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where that is right."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _at_home(value: Any) -> Any:
    return local_path(value) if isinstance(value, Path) else value


def _exit_code(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UsageError.exit_code
    return int(getattr(error, "exit_code", 1))


def _message(error: Exception) -> str:
    if isinstance(error, LatentscanError):
        return error.spelled(error.face or "command line")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'I/O'}: {error.strerror}"
    if isinstance(error, MemoryError) or str(error) == "can't start new thread":  # for want of its stack
        return f"out of memory {error}".rstrip()
    return f"{type(error).__name__}: {error} (unexpected; --debug before the command shows where)"
