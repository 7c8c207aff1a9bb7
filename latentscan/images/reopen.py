"""Sources on other machines: they travel as how they were opened, not as their rows."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.images.source import ImageSource

_MOST_OPEN = 4  # sources of a process
_one_at_a_time = threading.Lock()  # of the threads that need a source, one opens it


@dataclass(frozen=True)
class Opening:
    """How a source was opened: a function, what it was given, and what was found, as `describe` says it."""

    opener: Callable[..., ImageSource]
    location: str
    options: tuple[tuple[str, Any], ...]
    description: tuple[tuple[str, Any], ...]


class Reopenable(ABC):
    """A source that another process opens again, once, where `opened_by` says how."""

    _opened: tuple[Callable[..., ImageSource], str, dict[str, Any]] | None = None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what identifies the source."""

    def opened_by(self, opener: Callable[..., ImageSource], location: str, **options: Any) -> Self:
        """Remember that ``opener(location, **options)`` opens this source, in any working directory."""
        object.__setattr__(self, "_opened", (opener, location, options))
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._opened is None:
            return super().__reduce_ex__(protocol)
        opener, location, options = self._opened
        return reopen, (Opening(opener, location, tuple(options.items()), self._description),)

    @cached_property
    def _description(self) -> tuple[tuple[str, Any], ...]:
        return tuple(self.describe().items())


def reopen(opening: Opening) -> ImageSource:
    """Open a source as it was opened elsewhere; a process does so once.

    Raises
    ------
    UsageError
        If this machine sees no images there, or others.
    """
    with _one_at_a_time:
        return _reopened(opening)


@lru_cache(maxsize=_MOST_OPEN)
def _reopened(opening: Opening) -> ImageSource:
    host = socket.gethostname()
    remedy = "give a path that all machines share, or a URL such as s3://bucket/faces"
    try:
        source = opening.opener(opening.location, **dict(opening.options))
    except UsageError as error:
        raise UsageError(
            f"the worker on {host} sees no images at {opening.location}; {remedy}. {error.args[0]}"
        ) from error
    found, expected = source.describe(), dict(opening.description)
    if found != expected:
        different = next(name for name in expected if found.get(name) != expected[name])
        raise UsageError(
            f"the worker on {host} sees other images at {opening.location}: {different} is "
            f"{found.get(different)}, expected {expected[different]}; {remedy}"
        )
    return source
