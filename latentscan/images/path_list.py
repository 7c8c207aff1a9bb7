"""Rows that a text or CSV file lists."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.endings import EXTENSIONS
from latentscan.images.folder import FileSource, relative_path
from latentscan.images.source import PIXEL_LIMIT
from latentscan.images.text_lines import csv_rows, text_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    read_rows = _csv_rows if file.suffix.lower() == ".csv" else _text_rows
    paths, splits = [], array("b")
    for path, split in read_rows(file):
        paths.append(path)
        if split is not None:
            splits.append(split)
    if not paths:
        msg = f"{file}: lists no images; expected one path a line"
        raise UsageError(msg)
    return FileSource(
        kind="list",
        name=file.name,
        root=root,
        paths=paths,
        preprocessing=preprocessing,
        pixel_limit=pixel_limit,
        split=np.array(splits, np.int8) if splits else None,
    )


def _text_rows(file: AnyPath) -> Iterator[tuple[str, None]]:
    for number, line in text_lines(file):
        text = line.strip()
        if text and not text.startswith("#"):
            yield relative_path(text, f"{file}, line {number}"), None


def _csv_rows(file: AnyPath) -> Iterator[tuple[str, int | None]]:
    rows = csv_rows(file)
    at, names = next(rows, (1, []))
    header = [name.strip().lower() for name in names]
    column = next((header.index(name) for name in PATH_COLUMNS if name in header), 0)
    if header and header[column].endswith(EXTENSIONS):
        where, got = f"{file}, line {at}", shown(names[column])
        msg = f"{where}: {got!r} is an image; expected a header such as 'path' before it"
        raise UsageError(msg)
    split = header.index("split") if "split" in header else None
    if split == column:
        msg = f"{file}, line {at}: no column with paths; expected one named {', '.join(PATH_COLUMNS)}"
        raise UsageError(msg)
    for name in {header[column], "split"} if header else ():
        if header.count(name) > 1:
            msg = f"{file}, line {at}: {header.count(name)} columns named {shown(name)!r}; expected one"
            raise UsageError(msg)
    for number, fields in rows:
        where = f"{file}, line {number}"
        if len(fields) != len(header):
            msg = f"{where}: {len(fields)} fields; expected {len(header)} as in the header"
            raise UsageError(msg)
        path = relative_path(fields[column].strip(), where)
        yield path, None if split is None else _partition(fields[split], where)


def _partition(text: str, where: str) -> int:
    value = _SPLIT.get(text.strip().lower())
    if value is None:
        msg = f"{where}: split {shown(text)!r}; expected train, valid, test, 0, 1, 2 or nothing"
        raise UsageError(msg)
    return value
