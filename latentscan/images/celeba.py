"""CelebA's layout: a folder of aligned faces, their attributes and their partition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import splitext
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.endings import FIRST_RULES, RULES, Sieve
from latentscan.images.folder import FileSource, list_image_files, natural_key, relative_path
from latentscan.images.joining import rows_of
from latentscan.images.packed import PackedSource
from latentscan.images.path_list import SPLIT_COLUMNS, listed_rows, partition_of
from latentscan.images.source import PIXEL_LIMIT, Attributes
from latentscan.images.table_file import keys_of, read_table
from latentscan.images.text_lines import text_lines
from latentscan.images.zip_archive import read_directory
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.endings import Rules
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import Attribute
    from latentscan.images.table_file import Table
    from latentscan.paths import AnyPath
    from latentscan.progress import Progress

FACES = "img_align_celeba"
_FOLDERS_OF_LISTS = ("", "Anno", "Eval")
_BETWEEN = re.compile(r"[\s,;|]+")  # the fields of a line


def open_celeba(
    root: AnyPath,
    preprocessing: Preprocessing,
    pixel_limit: int = PIXEL_LIMIT,
    rules: Rules = RULES,
    *,
    progress: Progress = SILENT,
) -> FileSource:
    """Open the faces below `root`/img_align_celeba with what the lists beside it say of them.

    The rows are all names in the lists and all files on disk, in natural order: a listed file that is not
    there is a missing row, a file in no list has split -1 and attributes 0. Where the lists say .jpg and the
    file is a .png, it is the same image. Paths are relative to the folder of faces, so the nested layout
    gives the same rows.

    Raises
    ------
    UsageError
        There is no image, or a list is malformed; the message names the file and the line.
    """
    faces = root / FACES / FACES if (root / FACES / FACES).is_dir() else root / FACES
    sieve = Sieve(rules)
    on_disk = list_image_files(faces, sieve, progress=progress)
    if not on_disk:
        found = "".join(f"; {note}" for note in sieve.notes)
        raise ParameterError(
            f"no images; unpack CelebA's aligned faces into this folder{found}", field="images", value=faces
        )
    listed = read_lists(root, on_disk, any_ending=rules != FIRST_RULES)
    return FileSource(
        kind="celeba",
        name=root.absolute().name,
        root=faces,
        paths=listed.paths,
        preprocessing=preprocessing,
        pixel_limit=pixel_limit,
        split=listed.split,
        attributes=listed.attributes,
        notes=(*sieve.notes, *listed.notes),
    )


def open_celeba_zip(
    root: Path, archive: Path, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT
) -> PackedSource:
    """Open CelebA's own archive of the faces, with the lists beside it: the rows of the unpacked folder.

    Raises
    ------
    UsageError
        The archive cannot be read, or has no image, or a list is malformed.
    """
    contents, members = read_directory(archive)
    inside = members.paths(archive)
    depth = next(
        (depth for depth in (2, 1) if all(path.startswith(f"{FACES}/" * depth) for path in inside)), 0
    )
    bare = {path.removeprefix(f"{FACES}/" * depth): path for path in inside}
    listed = read_lists(root, list(bare))
    contents.members = members.table([bare.get(path, "") for path in listed.paths])
    return PackedSource(
        kind="celeba",
        name=root.absolute().name,
        contents=contents,
        paths=listed.paths,
        preprocessing=preprocessing,
        pixel_limit=pixel_limit,
        split=listed.split,
        attributes=listed.attributes,
        notes=(*members.notes, *listed.notes),
    )


@dataclass(frozen=True)
class Listed:
    """The rows of CelebA's lists and files, and what the lists say of them."""

    paths: list[str]
    split: NDArray[np.int8] | None
    attributes: Attributes | None
    notes: tuple[str, ...]


def read_lists(root: AnyPath, on_disk: list[str], *, any_ending: bool = True) -> Listed:
    """Read CelebA's lists in a folder.

    Parameters
    ----------
    root
        The folder; the lists may be in its folders Anno and Eval too.
    on_disk
        The paths of the faces that there are.
    any_ending
        Whether a file may have another ending, or another normal form of Unicode, than the lists say.

    Raises
    ------
    UsageError
        A list is malformed; the message names the file and the line.
    """
    attribute_list, partition_list = _find(root, "list_attr_celeba"), _find(root, "list_eval_partition")
    listed, columns = _read_attributes(attribute_list) if attribute_list else ({}, ())
    partition = _read_partition(partition_list) if partition_list else {}
    renamed = _renamed({*listed, *partition}, on_disk) if any_ending else {}
    listed = {renamed.get(path, path): row for path, row in listed.items()}
    partition = {renamed.get(path, path): value for path, value in partition.items()}
    paths = sorted({*on_disk, *listed, *partition}, key=natural_key)
    split = np.array([partition.get(path, -1) for path in paths], np.int8) if partition_list else None
    rows = np.array([listed.get(path, -1) for path in paths], np.int64)
    attributes = Attributes(tuple(rows_of(column, rows) for column in columns)) if columns else None
    notes: tuple[str, ...] = ()
    if renamed:
        said, are = next(iter(renamed.items()))
        notes = (f"CelebA's lists name {len(renamed):,} images otherwise: {shown(said)} is {shown(are)}",)
    return Listed(paths, split, attributes, notes)


def _renamed(listed: set[str], on_disk: list[str]) -> dict[str, str]:
    """Return the files of listed names that are not there under that name, but under another ending."""
    missing, others = _by_stem(listed.difference(on_disk)), _by_stem(set(on_disk) - listed)
    pairs = ((names, others.get(stem, [])) for stem, names in missing.items())
    return {names[0]: files[0] for names, files in pairs if len(names) == len(files) == 1}


def _by_stem(paths: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(normalize("NFC", splitext(path)[0]), []).append(path)
    return found


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
