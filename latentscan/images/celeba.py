"""CelebA's layout: a folder of aligned faces, their attributes and their partition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.folder import FileSource, list_image_files, natural_key, relative_path
from latentscan.images.joining import rows_of
from latentscan.images.path_list import SPLIT_COLUMNS, listed_rows, partition_of
from latentscan.images.source import PIXEL_LIMIT, Attributes
from latentscan.images.table_file import keys_of, read_table
from latentscan.images.text_lines import text_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import Attribute
    from latentscan.images.table_file import Table
    from latentscan.paths import AnyPath

FACES = "img_align_celeba"
_FOLDERS_OF_LISTS = ("", "Anno", "Eval")
_BETWEEN = re.compile(r"[\s,;|]+")  # the fields of a line


def open_celeba(root: AnyPath, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT) -> FileSource:
    """Open the faces below `root`/img_align_celeba with what the lists beside it say of them.

    The rows are all names in the lists and all files on disk, in natural order: a listed file that is not
    there is a missing row, a file in no list has split -1 and attributes 0. Paths are relative to the
    folder of faces, so the nested layout gives the same rows.

    Raises
    ------
    UsageError
        There is no image, or a list is malformed; the message names the file and the line.
    """
    faces = root / FACES / FACES if (root / FACES / FACES).is_dir() else root / FACES
    on_disk = list_image_files(faces)
    if not on_disk:
        raise ParameterError(
            "no images; unpack CelebA's aligned faces into this folder", field="images", value=faces
        )
    attribute_list, partition_list = _find(root, "list_attr_celeba"), _find(root, "list_eval_partition")
    listed, columns = _read_attributes(attribute_list) if attribute_list else ({}, ())
    partition = _read_partition(partition_list) if partition_list else {}
    paths = sorted({*on_disk, *listed, *partition}, key=natural_key)
    split = np.array([partition.get(path, -1) for path in paths], np.int8) if partition_list else None
    rows = np.array([listed.get(path, -1) for path in paths], np.int64)
    attributes = Attributes(tuple(rows_of(column, rows) for column in columns)) if columns else None
    name = root.absolute().name
    return FileSource("celeba", name, faces, paths, preprocessing, pixel_limit, split, attributes)


def _find(root: AnyPath, stem: str) -> AnyPath | None:
    files = (root / folder / (stem + suffix) for folder in _FOLDERS_OF_LISTS for suffix in (".txt", ".csv"))
    return next(
        (file for file in files if file.exists()), None
    )  # what is no file cannot be read, and says so


def _read_attributes(file: AnyPath) -> tuple[dict[str, int], tuple[Attribute, ...]]:
    """Return the row of each image in the list of attributes, and the columns of the list."""
    table = read_table(file)
    named = table.column_of_paths() or table.columns[0]
    columns = table.without(named)
    if not columns:
        msg = f"{file}: no header with the names of the attributes; download the list again"
        raise UsageError(msg)
    for column in columns:
        odd = _first_odd(column)
        if odd is not None:
            got = shown(column.values[odd])
            msg = f"{table.where(odd)}: attribute {got!r}; expected 1 or -1 in all rows, or 1 or 0 in all"
            raise UsageError(msg)
    return _rows_by_name(table, keys_of(named)), columns


def _read_partition(file: AnyPath) -> dict[str, int]:
    """Return the partition of each image that is listed: in CelebA's own .txt there is no header."""
    rows = _plain_partition(file) if file.suffix == ".txt" else listed_rows(file)
    partition: dict[str, int] = {}
    for where, name, split in rows:
        if split is None:
            expected = f"expected one named {', '.join(SPLIT_COLUMNS)}"
            raise UsageError(f"{where}: no column with the partition; {expected}")
        if name in partition:
            raise _listed_twice(where, name)
        partition[name] = split
    return partition


def _plain_partition(file: AnyPath) -> Iterator[tuple[str, str, int]]:
    for number, line in text_lines(file):
        fields, where = _BETWEEN.split(line.strip()), f"{file}, line {number}"
        if fields == [""]:
            continue
        if len(fields) != 2:
            msg = f"{where}: {len(fields)} fields; expected a file name and its partition"
            raise UsageError(msg)
        yield where, relative_path(fields[0], where), partition_of(fields[1], where, "partition")


def _rows_by_name(table: Table, names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row, text in enumerate(names):
        name = relative_path(text, table.where(row))
        if name in found:
            raise _listed_twice(table.where(row), name)
        found[name] = row
    return found


def _listed_twice(where: str, name: str) -> UsageError:
    return UsageError(f"{where}: {shown(name)!r} is listed twice; remove one of the two")


def _first_odd(column: Attribute) -> int | None:
    """Return the first row whose value is no answer; None where all of them are."""
    if column.kind == "binary":
        return None
    return next(row for row, value in enumerate(column.values.tolist()) if value not in (1, -1, "1", "-1"))
