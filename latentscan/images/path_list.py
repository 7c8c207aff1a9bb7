"""Rows that a text or CSV file lists."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from latentscan.errors import ParameterError, UsageError
from latentscan.images.folder import EXTENSIONS, FileSource, relative_path
from latentscan.images.source import PIXEL_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath

PATH_COLUMNS = ("path", "file", "filename", "image", "image_id")
_SPLIT = {
    "train": 0, "0": 0,
    "valid": 1, "validation": 1, "val": 1, "1": 1,
    "test": 2, "2": 2,
    "": -1, "-1": -1,
}  # fmt: skip


def open_list(
    file: AnyPath,
    preprocessing: Preprocessing,
    root: AnyPath | None = None,
    pixel_limit: int = PIXEL_LIMIT,
) -> FileSource:
    """Open the images that a file lists, in its order.

    A .txt file has one path a line; blank lines and lines beginning with # are skipped. A .csv file has a
    header; the path is in the column named path, file, filename, image or image_id, else in the first, and
    a column named split may say train, valid, test or 0, 1, 2.

    Parameters
    ----------
    file
        The list.
    preprocessing
        How images are cropped and resized.
    root
        The folder that its paths are relative to; the folder of the list if None.
    pixel_limit
        Images of more pixels are rejected.

    Raises
    ------
    UsageError
        If the list is malformed or empty, or a path leaves the root; the message names the file and the line.
    """
    root = file.parent if root is None else root
    if not root.is_dir():
        raise ParameterError(
            f"is no folder; give the folder that the paths in {file} are relative to",
            field="root",
            value=root,
        )
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            read_rows = _csv_rows if file.suffix.lower() == ".csv" else _text_rows
            rows = list(read_rows(file, stream))
    except (OSError, ValueError, csv.Error) as error:
        msg = f"{file}: this list cannot be read ({error}); expected text in UTF-8"
        raise UsageError(msg) from error
    if not rows:
        msg = f"{file}: lists no images; expected one path a line"
        raise UsageError(msg)
    splits = [split for _, split in rows if split is not None]
    return FileSource(
        kind="list",
        name=file.name,
        root=root,
        paths=[path for path, _ in rows],
        preprocessing=preprocessing,
        pixel_limit=pixel_limit,
        split=np.array(splits, np.int8) if splits else None,
    )


def _text_rows(file: AnyPath, stream: TextIO) -> Iterator[tuple[str, None]]:
    for number, line in enumerate(stream, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield relative_path(text, f"{file}, line {number}"), None


def _csv_rows(file: AnyPath, stream: TextIO) -> Iterator[tuple[str, int | None]]:
    reader = csv.reader(stream, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader, [])]
    column = next((header.index(name) for name in PATH_COLUMNS if name in header), 0)
    if header and header[column].endswith(EXTENSIONS):
        msg = f"{file}, line 1: {header[column]!r} is an image; expected a header such as 'path' before it"
        raise UsageError(msg)
    split = header.index("split") if "split" in header else None
    for fields in reader:
        if not fields:
            continue
        where = f"{file}, line {reader.line_num}"
        if len(fields) != len(header):
            msg = f"{where}: {len(fields)} fields; expected {len(header)} as in the header"
            raise UsageError(msg)
        path = relative_path(fields[column].strip(), where)
        yield path, None if split is None else _partition(fields[split], where)


def _partition(text: str, where: str) -> int:
    value = _SPLIT.get(text.strip().lower())
    if value is None:
        msg = f"{where}: split {text!r}; expected train, valid, test, 0, 1, 2 or nothing"
        raise UsageError(msg)
    return value
