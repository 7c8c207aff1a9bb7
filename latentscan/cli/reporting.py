"""What a command does with an error: one clear message on stderr, and the exit code that it stands for."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, ParamSpec

import typer
from pydantic import ValidationError

from latentscan.cli.terminal import note
from latentscan.errors import LatentscanError

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
SOME_REJECTED = 3

P = ParamSpec("P")


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors of a command into messages and exit codes; with --debug they pass unchanged."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            note("interrupted; what is finished is kept, and the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            if debugging():
                raise
            note(f"error: {_message(error)}")
            raise typer.Exit(getattr(error, "exit_code", _exit_code(error))) from None

    return wrapped


def debugging() -> bool:
    """Tell whether the user asked for tracebacks."""
    return bool(os.environ.get("LATENTSCAN_DEBUG"))


def _exit_code(error: Exception) -> int:
    return 2 if isinstance(error, ValidationError) else 1


def _message(error: Exception) -> str:
    if isinstance(error, LatentscanError):
        return str(error)
    if isinstance(error, ValidationError):
        return "; ".join(
            f"--{'.'.join(str(part) for part in problem['loc']).replace('_', '-')} is {problem['input']!r}: "
            f"{problem['msg']}"
            for problem in error.errors()
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'I/O'}: {error.strerror}"
    return f"{type(error).__name__}: {error} (unexpected; --debug before the command shows where)"
