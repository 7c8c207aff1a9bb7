"""The lines of a list, with limits: what is wrong is said with the file and the line."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from latentscan.errors import UsageError
from latentscan.files import open_regular
from latentscan.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latentscan.paths import AnyPath

LONGEST_LINE = 1 << 20  # characters
_UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes that are no UTF-8


def text_lines(file: AnyPath) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file in UTF-8, and their numbers.

    Raises
    ------
    UsageError
        If it cannot be read, is no text in UTF-8, or has an endless line.
    """
    try:
        if isinstance(file, RemotePath):
            stream = file.open("utf-8-sig", "")
        else:
            stream = io.TextIOWrapper(open_regular(file), "utf-8-sig", "surrogateescape", newline="")
        with stream:
            number = 0
            while line := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    msg = f"{file}, line {number}: has more than {LONGEST_LINE:,} characters; expected a list"
                    raise UsageError(msg)
                if not line.isascii() and _UNDECODED.search(line):
                    msg = f"{file}, line {number}: cannot be read; expected text in UTF-8"
                    raise UsageError(msg)
                yield number, line
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{file}: this list cannot be read ({why}); expected text in UTF-8"
        raise UsageError(msg) from error


def csv_rows(file: AnyPath) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of the rows of a CSV file in UTF-8 that are not blank, and the numbers of their lines.

    Raises
    ------
    UsageError
        As `text_lines`, or if a row is no CSV.
    """
    reader = csv.reader((line for _, line in text_lines(file)), skipinitialspace=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        msg = f"{file}, line {reader.line_num}: cannot be read ({error}); expected CSV"
        raise UsageError(msg) from error
