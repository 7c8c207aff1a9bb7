from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from latentscan.cli import terminal

if TYPE_CHECKING:
    import pytest


def test_without_a_terminal_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    progress = terminal.terminal_progress()
    assert isinstance(progress, terminal.PlainProgress)
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
    progress = terminal.terminal_progress()
    assert isinstance(progress, terminal.BarProgress)
    with progress.task("train", total=10, unit="images") as advance:
        advance(10, total_loss=4553.2)
    assert "10/10" in stream.getvalue()
    assert "total_loss 4553.2" in stream.getvalue()
