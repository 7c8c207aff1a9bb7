"""The errors a user can meet, each with the exit code of the command that meets it.

A message may name a parameter (`parameter`) or a command (`command`). Neither is written out where the error
is raised: on the command line a user reads ``--chunk-rows 5``, in Python ``chunk_rows=5``, of a job file
``chunk_rows: 5``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

SOME_REJECTED = 3  # exit codes that are no error's own
INTERRUPTED = 130

DEBUG = "LATENTSCAN_DEBUG"  # the variable of the environment that shows tracebacks, and what decoders say

Face = Literal["python", "command line", "job file"]

# noncharacters of Unicode: no path and no name of a user holds them
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_LONGEST_VALUE = 60


class LatentscanError(Exception):
    """A failure whose message names the object, the value, what was expected, and what to do next."""

    exit_code: ClassVar[int] = 1
    face: Face | None = None  # in whose words a user reads it, where that is not the way it was called

    def __str__(self) -> str:
        return self.spelled("python")

    def spelled(self, face: Face) -> str:
        """Return the message in the words of one of the ways to call latentscan."""
        return spelled(super().__str__(), face)


class UsageError(LatentscanError):
    """Parameters or input that do not fit what was asked for."""

    exit_code = 2


class ParameterError(UsageError):
    """A parameter whose value does not fit.

    Parameters
    ----------
    problem
        What is wrong, and what was expected.
    field
        The parameter's name.
    value
        What was given.
    """

    def __init__(self, problem: str, *, field: str, value: object = None) -> None:
        super().__init__(f"{parameter(field, value)}: {problem}")
        self.problem = problem
        self.field = field
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _parameter_error, (type(self), self.problem, self.field, self.value)


class TooFewImagesError(ParameterError):
    """Fewer images than a parameter asks for."""


class StoreError(LatentscanError):
    """A store that is missing, incomplete or damaged."""

    exit_code = 4


class TaskError(LatentscanError):
    """A task that failed, whose error does not say itself what it is about."""


class ClusterError(LatentscanError):
    """A cluster that cannot be reached, or was lost; the same command goes on from there."""

    exit_code = 5


class UnsafeInputError(LatentscanError):
    """Input that could run code, refused unless the user vouches for it."""

    exit_code = 6


def parameter(name: str, value: object = None) -> str:
    """Return a mark that stands for a parameter, with its value unless that is None, in a message.

    Examples
    --------
    >>> spelled(f"give {parameter('chunk_rows', 5)}", "command line")
    'give --chunk-rows 5'
    >>> spelled(f"give {parameter('chunk_rows', 5)}", "python")
    'give chunk_rows=5'
    """
    return f"{_OPEN}{json.dumps([name, None if value is None else shown(value)])}{_CLOSE}"


def command(name: str, **arguments: Any) -> str:
    """Return a mark that stands for a command with arguments in a message.

    Parameters
    ----------
    name
        The command.
    arguments
        Texts, numbers, or lists of them, by name; ``True`` and ``False`` are flags.

    Examples
    --------
    >>> spelled(command("check", store="z.zarr", repair=True), "command line")
    'latentscan check --store z.zarr --repair'
    >>> spelled(command("check", store="z.zarr", repair=True), "python")
    '`latentscan check --store z.zarr --repair`'
    """
    return f"{_OPEN}{json.dumps([name, None, arguments])}{_CLOSE}"


def spelled(text: str, face: Face) -> str:
    """Replace the marks of a message by the words of one of the ways to call latentscan."""
    return _MARKED.sub(lambda mark: _spell(json.loads(mark[1]), face), text)


def shown(value: object) -> str:
    """Return a value on one line, cut where it is long, unless it is a path or a URL."""
    text = "nothing" if value is None else " ".join(str(value).split())
    is_location = isinstance(value, os.PathLike) or "://" in text
    whole = is_location or len(text) <= _LONGEST_VALUE
    return text if whole else f"{text[: _LONGEST_VALUE - 3]}..."


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document or with keywords: where, the value there, what was expected."""

    at: tuple[str | int, ...]
    kind: str
    value: Any
    expected: str

    @property
    def where(self) -> str:
        """The location in the document, with dots between its parts."""
        return ".".join(map(str, self.at))


def problems_of(error: ValidationError) -> Iterator[Problem]:
    """Return what pydantic found wrong, in this project's words."""
    for found in error.errors():
        message = found["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        message = _PLAINER.get(message, message)
        context = found.get("ctx", {})
        if found["type"] in _LENGTHS and "actual_length" in context:
            bound = context["min_length" if found["type"] == "too_short" else "max_length"]
            message = f"{_LENGTHS[found['type']]} {bound:,} of them, got {shown(context['actual_length'])}"
        yield Problem(
            found["loc"], found["type"], found["input"], f"expected {message.removeprefix('expected ')}"
        )


_LENGTHS = {"too_short": "at least", "too_long": "at most"}
_PLAINER = {"a valid tuple": "a list", "a valid dictionary": "keys with values"}


def parameter_error(error: ValidationError, given: dict[str, Any] | None = None) -> UsageError:
    """Return pydantic's complaints about keywords as one error, which names each of them.

    Parameters
    ----------
    error
        What pydantic raised.
    given
        The values as the user wrote them, by name.

    Returns
    -------
    A `ParameterError` for one complaint, and a `UsageError` that lists several.
    """
    parts: list[tuple[str, Any, str]] = []
    for problem in problems_of(error):
        name = str(problem.at[0]) if problem.at else ""
        if any(name == known for known, *_ in parts):
            continue  # the first of a parameter is what its others follow from
        if problem.kind == "extra_forbidden":
            parts.append((name, None, "no such parameter"))
        elif problem.kind == "missing":
            parts.append((name, None, "is missing"))
        else:
            parts.append((name, (given or {}).get(name, problem.value), problem.expected))
    if len(parts) == 1:
        name, value, text = parts[0]
        return ParameterError(text, field=name, value=value)
    return UsageError("; ".join(f"{parameter(name, value)}: {text}" for name, value, text in parts))


def _parameter_error(kind: type[ParameterError], problem: str, field: str, value: object) -> ParameterError:
    return kind(problem, field=field, value=value)


def as_text(value: Any) -> str:
    """Write a value as an option takes it: an interval as LOW:HIGH, other lists with commas.

    Examples
    --------
    >>> as_text(((14.0, 19.0), (12.0, 24.0))), as_text((32, 64)), as_text(5e-4)
    ('14:19,12:24', '32,64', '0.0005')
    """
    if isinstance(value, list | tuple):
        is_interval = len(value) == 2 and all(isinstance(part, float) for part in value)
        return (":" if is_interval else ",").join(as_text(part) for part in value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _spell(mark: list[Any], face: Face) -> str:
    name, value, *arguments = mark
    if arguments:
        words = _command_words(name, arguments[0])
        return words if face == "command line" else f"`{words}`"
    if face == "command line":
        return " ".join(_option_words(name, {"True": True, "False": False}.get(value, value)))
    if value is None:
        return str(name)
    return f"{name}={value}" if face == "python" else f"{name}: {value}"


def _command_words(name: str, arguments: dict[str, Any]) -> str:
    words = ["latentscan", *name.split()]
    for key, value in arguments.items():
        words += _option_words(key, value)
    return shlex.join(words)


def _option_words(name: str, value: Any) -> list[str]:
    flag = f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
    return [flag] if value is None or isinstance(value, bool) else [flag, as_text(value)]
