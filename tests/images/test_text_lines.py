"""Lists with limits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from latentscan.errors import UsageError
from latentscan.images.text_lines import LONGEST_LINE, open_text_table, text_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_have_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeffä\n\nb\r\nc".encode())
    assert list(text_lines(file)) == [(1, "ä\n"), (2, "\n"), (3, "b\r\n"), (4, "c")]
    file.write_bytes(b'a,b\n\n"c\nd",e\n')
    table = open_text_table(file)
    assert (table.line, table.names, list(table.rows)) == (1, ["a", "b"], [(4, ["c\nd", "e"])])


def test_the_longest_line_is_the_last_that_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a" * (LONGEST_LINE - 1) + "\n" + "b" * LONGEST_LINE)
    assert [number for number, _ in text_lines(file)] == [1, 2]


def test_an_endless_line_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    with file.open("wb") as stream:
        stream.write(b"a\n")
        stream.truncate(1 << 40)
    lines = text_lines(file)
    assert next(lines) == (1, "a\n")
    with pytest.raises(UsageError, match=r"list\.txt, line 2: has more than 1,048,576 characters"):
        next(lines)


@pytest.mark.parametrize(
    "content", ["a\ncafé\n".encode() + b"caf\xe9\n", b"a\nb\n\x81a", b"a\nb\n\x8d" + b"c" * 99_999]
)
def test_text_that_is_not_utf_8_is_named_by_its_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"list\.txt, line 3: cannot be read; expected text in UTF-8"):
        list(text_lines(file))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_old_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes("a\ncafé\nb\nmüsli\n".encode(encoding))
    assert [line.strip() for _, line in text_lines(file)] == ["a", "café", "b", "müsli"]


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ('path,"a;b;c;d"\n1.png,"x,y"\n', ["path", "a;b;c;d"], [["1.png", "x,y"]]),
        ("sep=;\npath;a\n1.png;0,5\n", ["path", "a"], [["1.png", "0,5"]]),
        ("sep=\t\npath\ta\n1.png\tx\n", ["path", "a"], [["1.png", "x"]]),
        ("path\ta,b\n1.png\tx\n", ["path", "a,b"], [["1.png", "x"]]),
        ("path|a\n1.png|x\n", ["path", "a"], [["1.png", "x"]]),
        ("a,b\n1.png,x,y\n", ["", "a", "b"], [["1.png", "x", "y"]]),
        ("id,a\n1.png,x,\n2.png,,\n", ["id", "a"], [["1.png", "x"], ["2.png", ""]]),
        ("1\na b\n\n1.png  x y\n", ["", "a", "b"], [["1.png", "x", "y"]]),
        ("1\nimage_id x_1 y_1\n1.png 3 4\n", ["image_id", "x_1", "y_1"], [["1.png", "3", "4"]]),
        ("path\n1.png\n", ["path"], [["1.png"]]),
    ],
)
def test_tables_have_any_usual_separator(
    tmp_path: Path, text: str, names: list[str], rows: list[list[str]]
) -> None:
    (tmp_path / "list.csv").write_text(text)
    table = open_text_table(tmp_path / "list.csv")
    assert (table.names, [fields for _, fields in table.rows]) == (names, rows)


def test_a_quote_that_never_ends_is_named(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('path\n"' + "a\n" * 200_000)
    with pytest.raises(UsageError, match=r"list\.csv, line \d+: cannot be read \(field larger than"):
        list(open_text_table(file).rows)


def test_a_list_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for path, kind in ((tmp_path / "pipe.txt", "a pipe, not a file"), (tmp_path, "a folder, not a file")):
        with pytest.raises(UsageError, match=kind):
            list(text_lines(path))
