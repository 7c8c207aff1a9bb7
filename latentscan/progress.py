"""Progress of long work as events: computations report, subscribers such as a terminal show it."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from latentscan.terminal import console, one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLAIN_EVERY_S = 10.0


class Advance(Protocol):
    """Report ``amount`` more units as done, with figures worth showing (a loss, a divergence)."""

    def __call__(self, amount: int, /, **figures: float) -> None:
        """Report."""


class Progress(Protocol):
    """A subscriber to the progress of long work."""

    def task(self, label: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Advance]:
        """Begin a piece of work of ``total`` units, of which ``done`` were there already."""


@runtime_checkable
class Log(Protocol):
    """A subscriber that also hears what is worth a line."""

    def log(self, line: str) -> None:
        """Report a line."""


def remark(progress: Progress, line: str) -> None:
    """Report what is worth a line, where the subscriber wants to hear it."""
    if isinstance(progress, Log):
        progress.log(line)


class SilentProgress:
    """The subscriber that shows nothing."""

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:  # noqa: ARG002
        """Begin a piece of work that nobody watches."""
        yield lambda amount, /, **figures: None  # noqa: ARG005


SILENT: Progress = SilentProgress()


class _Labelled:
    """Passes work on to another subscriber, with the name of what it is of before its label."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def task(self, label: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Advance]:
        """Begin a piece of work."""
        return self._progress.task(f"{self._name}: {label}", total, unit, done)

    def log(self, line: str) -> None:
        """Report a line."""
        remark(self._progress, f"{self._name}: {line}")


def labelled(progress: Progress, name: str) -> Progress:
    """Return a subscriber that shows what another does, with a name before each label."""
    return _Labelled(progress, name)


def terminal_progress(*, brief: bool = False) -> Progress:
    """Return the subscriber that suits where stderr goes.

    Parameters
    ----------
    brief
        Whether work that is done leaves nothing on the terminal: it is part of something with a line of its
        own.
    """
    if sys.stderr is None:  # closed; `print` would write to stdout then, where data goes
        return SILENT
    return BarProgress(brief=brief) if sys.stderr.isatty() else PlainProgress(brief=brief)


def as_progress(wanted: Progress | bool) -> Progress:
    """Return a subscriber: the terminal's for True, none for False."""
    if isinstance(wanted, bool):
        return terminal_progress() if wanted else SILENT
    return wanted


class _Lines:
    """Writes lines to stderr."""

    def __init__(self, *, brief: bool = False) -> None:
        self._brief = brief

    def log(self, line: str) -> None:
        """Write a line."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class BarProgress(_Lines):
    """Draws a bar with the rate, the time left and the latest figures."""

    def log(self, line: str) -> None:
        """Write a line, broken between words where the terminal ends."""
        width = shutil.get_terminal_size().columns
        parts = textwrap.wrap(
            line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        super().log("\n".join(parts) or line)

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Begin a piece of work."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=6),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}", style="dim"),
        )
        clock = _Clock(unit)
        is_terminal = sys.stdout is not None and sys.stdout.isatty()  # else, it is for data
        with Progress(
            *columns, console=console(sys.stderr), redirect_stdout=is_terminal, transient=self._brief
        ) as bar:
            shown = plain(one_line(label), bar.console.encoding)
            task = bar.add_task(shown, total=total, completed=done, rate=unit, figures="")

            def advance(amount: int, /, **figures: float) -> None:
                clock.count(amount)
                bar.update(task, advance=amount, rate=clock.rate(), figures=_in_words(figures))

            yield advance


class PlainProgress(_Lines):
    """Writes a line every ten seconds, and one when work is done."""

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Begin a piece of work."""
        clock = _Clock(unit)
        state = {"done": done, "said": time.monotonic()}

        def say(figures: Mapping[str, float]) -> None:
            left = clock.left(total - int(state["done"]))
            words = [f"{label}: {int(state['done']):,} of {total:,} {unit}", clock.rate(), left]
            line = ", ".join(word for word in (*words, _in_words(figures)) if word)
            self.log(one_line(line))
            state["said"] = time.monotonic()

        one_at_a_time = threading.Lock()  # tasks in several threads report

        def advance(amount: int, /, **figures: float) -> None:
            with one_at_a_time:
                clock.count(amount)
                state["done"] += amount
                is_done = state["done"] >= total and not self._brief
                if is_done or time.monotonic() - state["said"] >= PLAIN_EVERY_S:
                    say(figures)

        yield advance


class _Clock:
    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start = time.monotonic()
        self._count = 0

    def count(self, amount: int) -> None:
        self._count += amount

    def _per_second(self) -> float:
        return self._count / max(1e-9, time.monotonic() - self._start)

    def rate(self) -> str:
        per_second = self._per_second()
        return f"{per_second:,.0f} {self._unit}/s" if per_second >= 10 else f"{per_second:.2g} {self._unit}/s"

    def left(self, remaining: int) -> str:
        if remaining <= 0 or not self._count:
            return ""
        minutes, seconds = divmod(round(remaining / self._per_second()), 60)
        return f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"


def _in_words(figures: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.5g}" for name, value in figures.items())
