"""Which row of a table is of which image: by the paths in one of its columns, or by their order."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError, parameter, shown
from latentscan.images.arrays import RowNumbers
from latentscan.images.source import MISSING
from latentscan.images.table_file import keys_of
from latentscan.images.text_lines import PATH_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from latentscan.images.source import Attribute
    from latentscan.images.table_file import Table

_NUMBER_NAMES = ("", "unnamed: 0", "id", "ids", "index", "row", "number", "key", "name")
_ENDING = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{1,4}\Z")
_DEEPEST = 16  # folders of a path that are compared
_EXAMPLES = 3

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Join:
    """Which row of a table each image has.

    Parameters
    ----------
    rows
        (image,); -1 for an image without one.
    column
        The column of paths; None if rows follow the order of the images.
    note
        What to say of it, in a line.
    """

    rows: NDArray[np.int64]
    column: Attribute | None
    note: str


def join(table: Table, paths: Sequence[str]) -> Join:
    """Find the row of each image.

    The values of a column match the paths as a whole, or their last parts, with or without the ending: all
    in one of these ways, the strictest of those that match most.

    Parameters
    ----------
    table
        The table.
    paths
        Those of the images.

    Raises
    ------
    UsageError
        If rows name no image while images have no row, or name one twice or several at once; or if no column
        has paths and there are not as many rows as images.
    """
    images = _Paths(paths, numbered=isinstance(paths, RowNumbers))
    found = [match for column in table.columns if (match := images.match(column)) is not None]
    best = max(found, key=lambda match: (match.matched, _is_path_name(match.column)), default=None)
    if best is not None:
        return _by_path(table, images, best)
    _refuse_other_paths(table, images)
    if len(table) != len(paths):
        names = ", ".join(repr(shown(column.label)) for column in table.columns[:8])
        raise UsageError(
            f"{table.file}: {len(table):,} rows, but {len(paths):,} images, and no column with their paths, "
            f"such as {shown(paths[0])!r} (columns: {names}); add one, named 'path'"
        )
    note = f"{table.file}: joined by row, since no column has the paths of the images"
    return Join(np.arange(len(paths)), None, note)


def rows_of(column: Attribute, rows: NDArray[np.int64]) -> Attribute:
    """Return a column with the given rows in the given order; -1 stands for one where nothing is known."""
    values = np.where(rows < 0, MISSING[column.kind], column.values[rows]).astype(column.values.dtype)
    return replace(column, values=values)


@dataclass(frozen=True)
class _Match:
    """How well a column matches the paths, in the way that fits best."""

    column: Attribute
    keys: list[str]
    key_of: Callable[[Parts], str]
    matched: int


class _Paths:
    """The paths of the images."""

    def __init__(self, paths: Sequence[str], *, numbered: bool) -> None:
        self.paths = paths
        self.numbered = numbered
        self._parts: list[Parts] = [] if numbered else [_parts(path) for path in paths]
        self._depth = max((min(len(parts), _DEEPEST) for parts in self._parts), default=1)

    def match(self, column: Attribute) -> _Match | None:
        """Return how a column matches; None where it cannot be a column of paths."""
        named = column.label.strip().lower()
        if column.kind == "float" or not (column.kind == "text" or named in (*_NUMBER_NAMES, *PATH_NAMES)):
            return None
        keys = keys_of(column)
        distinct = set(keys) - {""}
        if not distinct or (2 * len(distinct) < len(keys) and not _is_path_name(column)):
            return None
        if self.numbered:
            is_known = named in (*_NUMBER_NAMES, *PATH_NAMES) and column.kind != "text"
            within = is_known and all(0 <= int(key) < len(self.paths) for key in distinct)
            return _Match(column, keys, "/".join, len(distinct)) if within else None
        parts = {key: _parts(key) for key in distinct}
        best = None
        for key_of in self._ways(max(len(own) for own in parts.values())):
            wanted = {key_of(own) for own in parts.values()}
            matched = len(wanted & {key_of(own) for own in self._parts})
            if best is None or matched > best.matched:
                best = _Match(column, [key_of(parts[key]) if key else "" for key in keys], key_of, matched)
            if matched == len(distinct):
                break
        enough = best is not None and (2 * best.matched >= len(distinct) or _is_path_name(column))
        return best if enough and best is not None and best.matched else None

    def keys(self, match: _Match) -> Iterator[tuple[str, str]]:
        """Yield the key and the path of every image."""
        if self.numbered:
            yield from ((path, path) for path in self.paths)
        else:
            for path, parts in zip(self.paths, self._parts, strict=True):
                yield match.key_of(parts), path

    def _ways(self, depth: int) -> Iterator[Callable[[Parts], str]]:
        deepest = max(self._depth, min(depth, _DEEPEST))
        for of_name in (_whole, _stem, _number):
            for count in range(deepest, 0, -1):
                yield _Tail(count, of_name)


@dataclass(frozen=True)
class _Tail:
    """The last parts of a path as one text."""

    count: int
    of_name: Callable[[str], str]

    def __call__(self, parts: Parts) -> str:
        *folders, name = parts[-self.count :] or ("",)
        return "/".join([*folders, self.of_name(name)])


def _whole(name: str) -> str:
    return name


def _stem(name: str) -> str:
    return _ENDING.sub("", name)


def _number(name: str) -> str:
    stem = _stem(name)
    return stem.lstrip("0") or "0" if stem.isdecimal() and stem.isascii() else stem


def _parts(path: str) -> Parts:
    text = unicodedata.normalize("NFC", path.strip().replace("\\", "/"))
    return tuple(part for part in text.split("/") if part not in ("", "."))


def _is_path_name(column: Attribute) -> bool:
    return column.label.strip().lower() in PATH_NAMES


def _by_path(table: Table, images: _Paths, match: _Match) -> Join:
    where = f"{table.file}, column {shown(match.column.label or 'without a name')!r}"
    counts = Counter(match.keys)
    twice = [key for key, count in counts.items() if key and count > 1]
    if twice:
        raise UsageError(
            f"{where}: {_counted(len(twice), 'name is', 'names are')} there more than once, such as "
            f"{_examples(twice)}; remove all but one row of each"
        )
    row_of = {key: row for row, key in enumerate(match.keys) if key}
    rows = np.full(len(images.paths), -1, np.int64)
    first: dict[str, str] = {}
    several: dict[str, str] = {}
    for image, (key, path) in enumerate(images.keys(match)):
        row = row_of.get(key, -1)
        if row >= 0 and first.setdefault(key, path) != path:
            several[key] = path
        rows[image] = row
    if several:
        pairs = [f"{key} ({first[key]}, {path})" for key, path in list(several.items())[:_EXAMPLES]]
        raise UsageError(
            f"{where}: {_counted(len(several), 'name is', 'names are')} of several images, such as "
            f"{_examples(pairs)}; name the folders too"
        )
    strangers = [row for row, key in enumerate(match.keys) if key not in first]
    missing = int((rows < 0).sum())
    if strangers and missing:
        names = [str(match.column.values[row]) for row in strangers[:_EXAMPLES]]
        absent = [images.paths[image] for image in np.flatnonzero(rows < 0)[:_EXAMPLES]]
        raise UsageError(
            f"{where}: {_counted(len(strangers), 'name matches', 'names match')} no image, such as "
            f"{_examples(names)}, while {_counted(missing, 'image has', 'images have')} no row, such as "
            f"{_examples(absent)}; correct the names, or remove their rows"
        )
    note = f"{where}: joined by path"
    if missing:
        note += f"; {_counted(missing, 'image has', 'images have')} no row: missing values"
    if strangers:
        note += f"; {_counted(len(strangers), 'row is', 'rows are')} of no image, and left out"
    return Join(rows, match.column, note)


def _refuse_other_paths(table: Table, images: _Paths) -> None:
    """Refuse to take rows in their order where a column has paths, if only other ones."""
    if images.numbered:
        return
    for column in table.columns:
        if column.kind != "text":
            continue
        texts = [text for text in column.values.tolist() if text]
        endings = sum(_ENDING.search(text) is not None for text in texts)
        if texts and (_is_path_name(column) or (2 * endings > len(texts) and len(set(texts)) == len(texts))):
            raise UsageError(
                f"{table.file}, column {shown(column.label)!r}: none of its {len(texts):,} names matches an "
                f"image, such as {_examples(texts)}; the images are {_examples(images.paths)}, ...: give the "
                f"table of these images as {parameter('attributes')}"
            )


def _counted(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _examples(texts: Sequence[Any]) -> str:
    return ", ".join(shown(text) for text in texts[:_EXAMPLES])
