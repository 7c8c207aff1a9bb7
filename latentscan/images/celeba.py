"""CelebA's layout: a folder of aligned faces, their attributes and their partition."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from posixpath import splitext
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.endings import FIRST_RULES, RULES, Sieve
from latentscan.images.folder import FileSource, list_image_files, natural_key, relative_path
from latentscan.images.packed import PackedSource
from latentscan.images.source import PIXEL_LIMIT, Attributes
from latentscan.images.text_lines import csv_rows, text_lines
from latentscan.images.zip_archive import read_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.endings import Rules
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath

FACES = "img_align_celeba"
_FOLDERS_OF_LISTS = ("", "Anno", "Eval")
_ATTRIBUTE = {"-1": -1, "1": 1}
_PARTITION = {"0": 0, "1": 1, "2": 2}
_MOST_LABELS = 4096  # every image has a byte for each
_MOST_DIGITS = 15


def open_celeba(
    root: AnyPath, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT, rules: Rules = RULES
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
    on_disk = list_image_files(faces, sieve)
    if not on_disk:
        found = "".join(f"; {note}" for note in sieve.notes)
        raise ParameterError(
            f"no images; unpack CelebA's aligned faces into this folder{found}", field="images", value=faces
        )
    listed = read_lists(root, on_disk, any_ending=rules is not FIRST_RULES)
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
    labels, flags = _read_attributes(attribute_list) if attribute_list else ((), {})
    partition = _read_partition(partition_list) if partition_list else {}
    renamed = _renamed({*flags, *partition}, on_disk) if any_ending else {}
    flags = {renamed.get(path, path): values for path, values in flags.items()}
    partition = {renamed.get(path, path): value for path, value in partition.items()}
    paths = sorted({*on_disk, *flags, *partition}, key=natural_key)
    split = np.array([partition.get(path, -1) for path in paths], np.int8) if partition_list else None
    notes = ()
    if renamed:
        said, are = next(iter(renamed.items()))
        notes = (f"CelebA's lists name {len(renamed):,} images otherwise: {shown(said)} is {shown(are)}",)
    return Listed(paths, split, _attributes(labels, flags, paths), notes)


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


def _attributes(labels: tuple[str, ...], flags: dict[str, bytes], paths: list[str]) -> Attributes | None:
    if not labels:
        return None
    unknown = bytes(len(labels))
    rows = b"".join(flags.get(path, unknown) for path in paths)
    values: NDArray[np.int8] = np.frombuffer(rows, np.int8).reshape(len(paths), len(labels))
    return Attributes(labels, values)


def _find(root: AnyPath, stem: str) -> AnyPath | None:
    files = (root / folder / (stem + suffix) for folder in _FOLDERS_OF_LISTS for suffix in (".txt", ".csv"))
    return next(
        (file for file in files if file.exists()), None
    )  # what is no file cannot be read, and says so


def _read_attributes(file: AnyPath) -> tuple[tuple[str, ...], dict[str, bytes]]:
    lines = _lines(file)
    announced = None
    if file.suffix == ".txt":
        announced = _count(file, lines)
        number, header = next(lines, (2, []))
        labels = tuple(header)
    else:
        number, header = next(lines, (1, []))
        labels = tuple(header[1:])
    _check_labels(labels, file, number)
    flags: dict[str, bytes] = {}
    for number, fields in lines:
        name = _new_name(file, number, fields, flags, len(labels))
        try:
            flags[name] = array("b", map(_ATTRIBUTE.__getitem__, fields[1:])).tobytes()
        except KeyError as error:
            msg = f"{file}, line {number}: attribute {shown(error.args[0])!r}; expected 1 or -1"
            raise UsageError(msg) from error
    if announced not in (None, len(flags)):
        msg = f"{file}, line 1: {announced} images announced, but {len(flags)} listed; correct one of them"
        raise UsageError(msg)
    return labels, flags


def _check_labels(labels: tuple[str, ...], file: AnyPath, number: int) -> None:
    if not labels:
        msg = f"{file}: no header with the names of the attributes; download the list again"
        raise UsageError(msg)
    where = f"{file}, line {number}"
    if len(labels) > _MOST_LABELS:
        msg = f"{where}: {len(labels):,} attributes; expected at most {_MOST_LABELS:,}"
        raise UsageError(msg)
    for position, label in enumerate(labels):
        if label in _ATTRIBUTE or not label.isprintable() or not label:
            msg = f"{where}: {shown(label)!r}; expected a header with the names of the attributes"
            raise UsageError(msg)
        if label in labels[:position]:
            msg = f"{where}: the attribute {shown(label)!r} is named twice; rename one of the two"
            raise UsageError(msg)


def _read_partition(file: AnyPath) -> dict[str, int]:
    lines = _lines(file)
    if file.suffix == ".csv":
        _, header = next(lines, (1, []))
        if header[1:] and header[1] in _PARTITION:
            msg = f"{file}, line 1: {shown(header[0])!r} is an image; expected a header before it"
            raise UsageError(msg)
    partition: dict[str, int] = {}
    for number, fields in lines:
        name = _new_name(file, number, fields, partition, 1)
        if fields[1] not in _PARTITION:
            where, got = f"{file}, line {number}", shown(fields[1])
            msg = f"{where}: partition {got!r}; expected 0 (train), 1 (valid) or 2 (test)"
            raise UsageError(msg)
        partition[name] = _PARTITION[fields[1]]
    return partition


def _lines(file: AnyPath) -> Iterator[tuple[int, list[str]]]:
    """Return the fields of every line that is not blank, with its number."""
    if file.suffix == ".csv":
        return csv_rows(file)
    return ((number, fields) for number, line in text_lines(file) if (fields := line.split()))


def _count(file: AnyPath, lines: Iterator[tuple[int, list[str]]]) -> int:
    _, fields = next(lines, (1, []))
    if len(fields) != 1 or not fields[0].isdecimal() or len(fields[0]) > _MOST_DIGITS:
        msg = f"{file}, line 1: {shown(' '.join(fields))!r}; expected the number of images"
        raise UsageError(msg)
    return int(fields[0])


def _new_name(
    file: AnyPath, number: int, fields: list[str], known: dict[str, bytes] | dict[str, int], values: int
) -> str:
    where = f"{file}, line {number}"
    if len(fields) != values + 1:
        msg = f"{where}: {len(fields)} fields; expected a file name and {values} value(s)"
        raise UsageError(msg)
    name = relative_path(fields[0], where)
    if name in known:
        msg = f"{where}: {shown(name)!r} is listed twice; remove one of the two"
        raise UsageError(msg)
    return name
