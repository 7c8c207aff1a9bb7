"""What a person at a terminal sees of long work: a bar, or a plain line now and then where there is none."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from latentscan.progress import Advance, Progress

PLAIN_EVERY_S = 10.0


def note(message: str) -> None:
    """Tell the user something that is not data."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def draw(what: RenderableType) -> None:
    """Print tables and text that are data."""
    from rich.console import Console

    Console(highlight=False, markup=False).print(what)


def terminal_progress() -> Progress:
    """Give the subscriber that suits where stderr goes."""
    return BarProgress() if sys.stderr.isatty() else PlainProgress()


class BarProgress:
    """Draws a bar with the rate, the time left and the latest figures."""

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Begin a piece of work."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}", style="dim"),
        )
        clock = _Clock(unit)
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, completed=done, rate=unit, figures="")

            def advance(amount: int, /, **figures: float) -> None:
                clock.count(amount)
                bar.update(task, advance=amount, rate=clock.rate(), figures=_in_words(figures))

            yield advance


class PlainProgress:
    """Writes a line every ten seconds, and one when work is done."""

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Begin a piece of work."""
        clock = _Clock(unit)
        state = {"done": done, "said": time.monotonic()}

        def say(figures: Mapping[str, float]) -> None:
            left = clock.left(total - int(state["done"]))
            words = [f"{label}: {int(state['done']):,} of {total:,} {unit}", clock.rate(), left]
            note(", ".join(word for word in (*words, _in_words(figures)) if word))
            state["said"] = time.monotonic()

        one_at_a_time = threading.Lock()  # tasks in several threads report

        def advance(amount: int, /, **figures: float) -> None:
            with one_at_a_time:
                clock.count(amount)
                state["done"] += amount
                if state["done"] >= total or time.monotonic() - state["said"] >= PLAIN_EVERY_S:
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
