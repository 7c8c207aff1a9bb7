"""Rows that a text or CSV file lists."""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.endings import EXTENSIONS
from latentscan.images.folder import FileSource, relative_path
from latentscan.images.source import PIXEL_LIMIT
from latentscan.images.text_lines import PATH_NAMES, open_text_table, text_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath

SPLIT_COLUMNS = ("split", "partition", "subset", "set")
_SPLIT = {
    "train": 0, "training": 0, "0": 0, "0.0": 0,
    "valid": 1, "validation": 1, "val": 1, "dev": 1, "1": 1, "1.0": 1,
    "test": 2, "testing": 2, "2": 2, "2.0": 2,
    "": -1, "-1": -1,
}  # fmt: skip


def open_list(
    file: AnyPath,
    preprocessing: Preprocessing,
    root: AnyPath | None = None,
    pixel_limit: int = PIXEL_LIMIT,
) -> FileSource:
    """Open the images that a file lists, in its order.

    A .txt file has one path a line; blank lines and lines beginning with # are skipped. A .csv or .tsv file
    has a header; the path is in the column named path, file, filename, image, image_id or the like, else in
    the first whose values are names of images, and a column named split or partition may say train, valid,
    test or 0, 1, 2.

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
    paths, splits = [], array("b")
    for _, path, split in listed_rows(file):
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


def listed_rows(file: AnyPath) -> Iterator[tuple[str, str, int | None]]:
    """Yield the rows of a list: where each is in it, its path, and its partition where there is one.

    Parameters
    ----------
    file
        The list, as of `open_list`.

    Raises
    ------
    UsageError
        If it is malformed; the message names the file and the line.
    """
    return _csv_rows(file) if file.suffix.lower() in (".csv", ".tsv") else _text_rows(file)


def partition_of(text: str, where: str, name: str) -> int:
    """Return a partition as it is in stores: 0 train, 1 valid, 2 test, -1 unknown.

    Parameters
    ----------
    text
        As a list says it.
    where, name
        The row and the column, for the message of an error.

    Raises
    ------
    UsageError
        If it is none.
    """
    value = _SPLIT.get(text.strip().lower())
    if value is None:
        msg = f"{where}: {name} {shown(text)!r}; expected train, valid, test, 0, 1, 2 or nothing"
        raise UsageError(msg)
    return value


def _text_rows(file: AnyPath) -> Iterator[tuple[str, str, None]]:
    for number, line in text_lines(file):
        text, where = line.strip(), f"{file}, line {number}"
        if text and not text.startswith("#"):
            yield where, relative_path(text, where), None


def _csv_rows(file: AnyPath) -> Iterator[tuple[str, str, int | None]]:
    table = open_text_table(file)
    header, first = [name.lower() for name in table.names], next(table.rows, None)
    if not header:
        return
    at = f"{file}, line {table.line}"
    column = _column_of_paths(header, [] if first is None else first[1])
    if header[column].endswith(EXTENSIONS):
        msg = f"{at}: {shown(table.names[column])!r} is an image; expected a header such as 'path' before it"
        raise UsageError(msg)
    split = next((header.index(name) for name in SPLIT_COLUMNS if name in header), None)
    if split == column:
        msg = f"{at}: no column with paths; expected one named {', '.join(PATH_NAMES)}"
        raise UsageError(msg)
    for name in {header[each] for each in (column, split) if each is not None} - {""}:
        if header.count(name) > 1:
            raise UsageError(f"{at}: {header.count(name)} columns named {shown(name)!r}; expected one")
    for number, fields in table.rows if first is None else chain([first], table.rows):
        where = f"{file}, line {number}"
        path = relative_path(fields[column].strip(), where)
        yield where, path, None if split is None else partition_of(fields[split], where, header[split])


def _column_of_paths(header: list[str], fields: list[str]) -> int:
    """Return the column that is named as those of paths are, else the first that begins with an image."""
    named = (header.index(name) for name in PATH_NAMES if name in header)
    images = (at for at, field in enumerate(fields) if field.strip().lower().endswith(EXTENSIONS))
    return next(chain(named, images), 0)
