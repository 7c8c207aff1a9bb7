"""The lines of a list or table, with limits: what is wrong is said with the file and the line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from latentscan.errors import UsageError
from latentscan.files import open_regular
from latentscan.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from latentscan.paths import AnyPath

LONGEST_LINE = 1 << 20  # characters
_UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes that are no UTF-8
_LEGACY = "cp1252"  # of old Windows programs; the same as Latin-1 but for characters that no text holds
PATH_NAMES = (
    *(
        "path",
        "file",
        "filename",
        "image",
        "image_id",
        "paths",
        "files",
        "file_name",
        "filepath",
        "file_path",
    ),
    *("images", "image_path", "image_name", "image_file", "img", "img_path", "img_name"),
)
_SEPARATORS = "\t;|,"  # of as many of several, the first: names hold commas rather than tabs
_QUOTED = re.compile('"[^"]*"')
_MOST_DIGITS = 15


def text_lines(file: AnyPath) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file in UTF-8, UTF-16 or Windows-1252, and their numbers.

    Raises
    ------
    UsageError
        If it cannot be read, is no text in one of them, or has an endless line.
    """
    try:
        with _opened(file) as stream:
            number, seen, is_legacy = 0, False, False
            while line := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    msg = f"{file}, line {number}: has more than {LONGEST_LINE:,} characters; expected a list"
                    raise UsageError(msg)
                if not line.isascii():
                    is_legacy = is_legacy or bool(_UNDECODED.search(line))
                    line = _of_legacy(line, f"{file}, line {number}", mixed=seen) if is_legacy else line
                    seen = not is_legacy
                yield number, line
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{file}: this list cannot be read ({why}); expected text in UTF-8"
        raise UsageError(msg) from error


@dataclass(frozen=True)
class TextTable:
    """A table as text.

    Parameters
    ----------
    file
        Where it is.
    line
        The line of its header.
    names
        Of the columns; empty for one without a name.
    rows
        The number of the line and the fields of each row, as many as there are names.
    separator
        What is between the fields; empty for blanks.
    """

    file: AnyPath
    line: int
    names: list[str]
    rows: Iterator[tuple[int, list[str]]]
    separator: str


def open_text_table(file: AnyPath) -> TextTable:
    """Open a table: CSV with any usual separator, or columns separated by blanks, as in CelebA's lists.

    The separator of a CSV is the one of comma, semicolon, tab and bar of which the first row has most. Rows
    may have one field more than the header, which then has no name for the first column. A first line that
    is nothing but a number says how many rows follow the header.

    Raises
    ------
    UsageError
        As `text_lines`; or while rows are read, if one is no CSV, or has not as many fields as the header, or
        they are not as many as the first line says.
    """
    lines = text_lines(file)
    at, first = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    is_counted = first.strip().isdecimal() and len(first.strip()) <= _MOST_DIGITS
    separator = separator_of(first)
    if is_counted or (separator is None and len(first.split()) > 1):
        separator = ""
        held = lines if is_counted else chain([(at, first)], lines)
        rows = _blank_separated(held)
    else:
        separator = separator or ","
        rows = _csv_rows(file, chain([(at, first)], lines))
    line, names = next(rows, (at, []))
    names = [name.strip() for name in names]
    following = next(rows, None)
    is_one_longer = following is not None and len(following[1]) == len(names) + 1
    if is_one_longer and following is not None and not following[1][-1].strip():
        # separators end rows, but not the first
        rows = _without_the_last(chain([following], rows), len(names))
        following, is_one_longer = next(rows), False
    if names and names[0].lower() not in PATH_NAMES and (is_counted or is_one_longer):
        names = ["", *names]
    checked = _checked(
        file,
        len(names),
        rows if following is None else chain([following], rows),
        announced=int(first) if is_counted else None,
    )
    return TextTable(file, line, names, checked, separator)


def _blank_separated(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    return ((number, fields) for number, line in lines if (fields := line.split()))


def _without_the_last(rows: Iterator[tuple[int, list[str]]], fields: int) -> Iterator[tuple[int, list[str]]]:
    """Leave out an empty field behind so many."""
    for number, row in rows:
        has_surplus = len(row) == fields + 1 and not row[-1].strip()
        yield number, row[:-1] if has_surplus else row


def separator_of(line: str) -> str | None:
    """Return the separator that a line has most of outside of quotes; None where it has none.

    Examples
    --------
    >>> separator_of('"a;b;c",d'), separator_of("a;b,5;c,5;d"), separator_of("path")
    (',', ';', None)
    """
    bare = _QUOTED.sub("", line)
    best = max(_SEPARATORS, key=bare.count)
    return best if best in bare else None


def _opened(file: AnyPath) -> TextIO:
    if isinstance(file, RemotePath):
        content = file.open("latin-1", "").read().encode("latin-1")
        return _decoded(io.BufferedReader(io.BytesIO(content)))
    return _decoded(open_regular(file))


def _decoded(stream: io.BufferedReader) -> TextIO:
    is_wide = stream.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding, errors = ("utf-16", "strict") if is_wide else ("utf-8-sig", "surrogateescape")
    return io.TextIOWrapper(stream, encoding, errors, newline="")


def _of_legacy(line: str, where: str, *, mixed: bool) -> str:
    """Decode a line again that is no UTF-8."""
    if not mixed:
        try:
            return line.encode("utf-8", "surrogateescape").decode(_LEGACY)
        except UnicodeError:
            pass
    raise UsageError(f"{where}: cannot be read; expected text in UTF-8")


def _csv_rows(file: AnyPath, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    at, first = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    if first.startswith("sep=") and len(first.rstrip("\r\n")) == 5:  # as spreadsheets write it
        separator, before = first[4], at
    else:
        separator, before = separator_of(first) or ",", at - 1
        lines = chain([(at, first)], lines)
    reader = csv.reader((line for _, line in lines), delimiter=separator, skipinitialspace=True)
    try:
        for fields in reader:
            if fields:
                yield before + reader.line_num, fields
    except csv.Error as error:
        msg = f"{file}, line {before + reader.line_num}: cannot be read ({error}); expected CSV"
        raise UsageError(msg) from error


def _checked(
    file: AnyPath, width: int, rows: Iterator[tuple[int, list[str]]], announced: int | None
) -> Iterator[tuple[int, list[str]]]:
    count = 0
    for number, fields in rows:
        count += 1
        if len(fields) != width:
            msg = f"{file}, line {number}: {len(fields)} fields; expected {width} as in the header"
            raise UsageError(msg)
        yield number, fields
    if announced not in (None, count):
        msg = f"{file}, line 1: {announced} images announced, but {count} listed; correct one of them"
        raise UsageError(msg)
