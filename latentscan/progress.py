"""Progress of long work as events: computations report, subscribers such as the terminal draw."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Advance(Protocol):
    """Report ``amount`` more units as done, with figures worth showing (a loss, a divergence)."""

    def __call__(self, amount: int, /, **figures: float) -> None:
        """Report."""


class Progress(Protocol):
    """A subscriber to the progress of long work."""

    def task(self, label: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Advance]:
        """Begin a piece of work of ``total`` units, of which ``done`` were there already."""


class SilentProgress:
    """The subscriber that shows nothing."""

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:  # noqa: ARG002
        """Begin a piece of work that nobody watches."""
        yield lambda amount, /, **figures: None  # noqa: ARG005


SILENT: Progress = SilentProgress()
