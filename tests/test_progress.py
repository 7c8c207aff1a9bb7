from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from latentscan import progress as progress_module
from latentscan.progress import (
    SILENT,
    BarProgress,
    PlainProgress,
    Progress,
    as_progress,
    labelled,
    remark,
    terminal_progress,
)
from latentscan.terminal import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from latentscan.progress import Advance


class Clock:
    """A clock that moves on by a second whenever it is read."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 1
        return self._now


def test_without_a_terminal_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "time", Clock())
    progress = terminal_progress()
    assert isinstance(progress, PlainProgress)
    with progress.task("encode", total=100, unit="images", done=40) as advance:
        for _ in range(60):
            advance(1, loss=0.5)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert 3 <= len(lines) < 30
    assert "images/s" in lines[0]
    assert "s left" in lines[0]
    assert "loss 0.5" in lines[0]
    assert lines[-1].startswith("encode: 100 of 100 images, ")
    assert "left" not in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    progress = terminal_progress()
    assert isinstance(progress, BarProgress)
    with progress.task("train", total=10, unit="images") as advance:
        advance(10, total_loss=4553.2)
    assert "10/10" in stream.getvalue()
    assert "total_loss 4553.2" in stream.getvalue()


def test_notes_end_where_a_terminal_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = f"{'a model without a name takes pixels of 0..1; ' * 4}--value-range says another"
    BarProgress().log(said)
    PlainProgress().log(said)
    broken, whole = (text.splitlines() for text in capsys.readouterr().err.split("another\n", 1))
    assert max(map(len, broken)) <= 80
    assert [line[:2] for line in broken[1:]] == ["  "] * (len(broken) - 1)
    assert " ".join(line.strip() for line in broken) + " another" == said
    assert whole == [said]


def test_a_subscriber_of_ones_own_stays_what_it_is() -> None:
    class Own:
        @contextmanager
        def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
            yield lambda amount, /, **figures: None

    own: Progress = Own()
    assert as_progress(own) is own
    assert as_progress(False) is SILENT
    assert isinstance(as_progress(True), PlainProgress)


def test_names_in_a_label_are_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with PlainProgress().task("\x1b[2J\n[bold]a", total=1, unit="images") as advance:
        advance(1)
    assert capsys.readouterr().err.startswith("\\x1b[2J\\n[bold]a: 1 of 1 images")
    buffer = io.BytesIO()
    inner = io.TextIOWrapper(buffer, encoding="ascii")
    monkeypatch.setattr(sys, "stderr", Stream(inner))
    monkeypatch.setenv("COLUMNS", "80")
    with BarProgress().task("\x1b[2J[bold]a – b", total=1, unit="images") as advance:
        advance(1)
    shown = buffer.getvalue().decode("ascii")
    assert "\\x1b[2J[bold]a - b" in shown
    assert "\x1b[2J" not in shown


def test_nothing_is_shown_where_stderr_is_closed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert terminal_progress() is SILENT
    assert capsys.readouterr().out == ""


def test_a_remark_on_labelled_progress_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    remark(labelled(PlainProgress(), "vae.zarr"), "a line")
    assert capsys.readouterr().err == "vae.zarr: a line\n"
    remark(labelled(SILENT, "vae.zarr"), "a line")
    assert capsys.readouterr().err == ""
