"""What reaches a terminal: text of any encoding, no codes from names, and streams that are closed or full."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from latentscan.terminal import Stream, console, one_line, open_streams, plain, printable

PACKAGE = Path(__file__).parents[1] / "latentscan"
ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16", "euc-jp")
HOSTILE = {
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b2J\x7f\r": r"\x9b2J\x7f\r",
    "\u202egpj\u2066\u200b\ufeff": r"\u202egpj\u2066\u200b\ufeff",
    "\u2028\u2029": r"\u2028\u2029",
    "\udcff\ud800": r"\xff\ud800",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_a_terminal_obeys_or_hides_is_escaped(text: str) -> None:
    expected = HOSTILE[text].replace(r"\r", r"\x0d")
    assert printable(text) == expected
    assert one_line(f"a\n{text}\tb") == f"a\\n{expected}\\tb"


def test_names_of_all_languages_stay() -> None:
    for name in ("Grüße ² ± −", "中文　名", "имя", "اسم", "🙂", "a b\tc\n"):
        assert printable(name) == name


@given(st.text(st.characters()))
def test_nothing_but_line_ends_and_tabs_moves_the_cursor(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    assert not any(one < " " or "\x7f" <= one < "\xa0" for one in shown if one not in "\n\t")
    shown.encode()  # and no half of a surrogate is left
    assert len(one_line(text).splitlines()) <= 1


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(ENCODINGS))
def test_every_text_has_a_form_in_every_encoding(text: str, encoding: str) -> None:
    assert plain(text, encoding).encode(encoding).decode(encoding) == plain(text, encoding)


def test_symbols_of_the_package_are_readable_in_ascii() -> None:
    """What the package prints itself is spelled, and not shown as a number of Unicode."""
    used = {one for path in PACKAGE.rglob("*.py") for one in path.read_text(encoding="utf-8") if one > "\x7f"}
    unread = {one for one in used if plain(one, "ascii").startswith("\\")}
    assert unread <= set("äöéáØΦ∫π∂₂⁻¹"), "letters of names and of formulas in comments alone"


def test_a_stream_escapes_and_spells_out() -> None:
    buffer = io.BytesIO()
    stream = Stream(io.TextIOWrapper(buffer, encoding="cp437"))
    print("1 – 2 ± σ \x1b[2J \udcff", file=stream, flush=True)
    assert buffer.getvalue().decode("cp437") == "1 - 2 ± σ \\x1b[2J \\xff\n"
    assert not hasattr(stream, "buffer")
    assert stream.encoding == "cp437"


def test_a_reader_that_left_is_no_failure() -> None:
    reading, writing = os.pipe()
    inner = os.fdopen(writing, "w", encoding="utf-8")
    stream = Stream(inner)
    print("one", file=stream, flush=True)
    before = stream.lost
    os.close(reading)
    for _ in range(3):
        print("two" * 5_000, file=stream, flush=True)
    assert (before, type(stream.lost)) == (None, BrokenPipeError)
    assert stream.failed is None
    inner.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device is Linux's own")
def test_a_full_disk_is_a_failure_that_stops_nothing() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as inner:
        stream = Stream(inner)
        for _ in range(3):
            print("one" * 5_000, file=stream, flush=True)
    assert stream.failed is not None
    assert "space" in (stream.failed.strerror or "")


def test_closed_streams_become_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO())
    kept = os.dup(0)
    try:
        os.close(0)
        monkeypatch.setattr(sys, "stdin", None)
        out, err = open_streams()
        assert os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 (as the line above)
        assert sys.stdin.read() == ""
        assert (sys.stdout, sys.stderr) == (out, err)
        sys.stdin.close()
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def hostile_table() -> Table:
    table = Table("name", "[bold]value[/]", title=":smile:")
    table.add_row("\x1b]0;x\x07[red]a[/red]", "[/]")
    table.add_row(Text("\x9bb\u202e"), "σ ≥ 1")
    return table


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_a_table_shows_names_as_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    buffer = io.BytesIO()
    inner = io.TextIOWrapper(buffer, encoding=encoding)
    console(Stream(inner)).print(hostile_table())
    shown = buffer.getvalue().decode(encoding)
    for name in (r"\x1b]0;x\x07[red]a[/red]", "[/]", "[bold]value[/]", r"\x9bb\u202e", ":smile:"):
        assert name in shown
    assert ("σ ≥ 1" if encoding == "utf-8" else "sigma >= 1") in shown
    assert "\x1b]" not in shown
    widths = {len(line) for line in shown.splitlines() if line[:1] in "|┃│┏└"}
    assert len(widths) == 1, "names are escaped before the columns are as wide as they have to be"


def test_styles_still_reach_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    buffer = io.BytesIO()
    inner = io.TextIOWrapper(buffer, encoding="utf-8")
    console(Stream(inner)).print(Text("\x1b[2Ja", style="bold"))
    assert b"\x1b[1m" in buffer.getvalue()
    assert b"\\x1b[2Ja" in buffer.getvalue()
