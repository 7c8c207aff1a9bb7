"""Latents in the columns of a table: a component a column, or lists of numbers in one column of Parquet."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.arrays.held import LATENTS, Held, spooled
from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.text_lines import PATH_NAMES, open_text_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_NUMBERED = re.compile(r"(.*?)[_.]?([0-9]+)\Z")
_NO_COMPONENTS = frozenset({*PATH_NAMES, "", "id", "index", "unnamed: 0", "__index_level_0__"})
_ROWS_AT_ONCE = 4096
_MOST_NAMED = 12


def text_array(file: Path, key: str, field: str) -> Held:
    """Return columns of a CSV or of a table separated by blanks, which are copied to a temporary file.

    A first row of numbers is data, not a header: then all columns are components. But ``0,1,2`` before a row
    with fractions is a header, as pandas writes it of columns without names.

    Parameters
    ----------
    file
        The table.
    key
        The columns, such as ``z*`` or a single name; those with numbered names if empty.
    field
        The parameter that means them.

    Raises
    ------
    UsageError
        If they are none, or something else than numbers.
    """
    table = open_text_table(file)
    first = next(table.rows, None)
    rows = table.rows if first is None else chain([first], table.rows)
    if table.names and all(map(_is_number, table.names)) and not _is_counted(table.names, first):
        rows = chain([(table.line, table.names)], rows)
        columns = list(range(len(table.names)))
    else:
        if first is None:
            raise UsageError(f"{file}: has no rows; expected {LATENTS}")
        numbers = [
            at for at, text in enumerate(first[1]) if _is_number(_point(text, table.separator)) or not text
        ]
        columns = [
            table.names.index(name)
            for name in _columns([table.names[at] for at in numbers], file, key, field)
        ]
        _check_once(table.names, [table.names[at] for at in columns], file)

    def pieces() -> Iterator[NDArray[Any]]:
        piece: list[list[float]] = []
        for number, fields in rows:
            try:
                piece.append([float(_point(fields[at], table.separator) or "nan") for at in columns])
            except ValueError as error:
                raise UsageError(f"{file}, line {number}: {shown(error)}; expected numbers") from error
            if len(piece) == _ROWS_AT_ONCE:
                yield np.array(piece)
                piece = []
        if piece:
            yield np.array(piece)

    return spooled(pieces(), file)


def parquet_array(file: Path, key: str, field: str) -> Held:
    """Return columns of a Parquet file, or a column of lists, copied to a temporary file.

    Parameters and errors are those of `text_array`.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        remedy = 'pip install "latentscan[parquet]"'
        raise UsageError(f"{file}: nothing is installed that reads Parquet; {remedy}") from error
    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{file}: no Parquet that can be read ({shown(error)})") from error
    kinds = {each.name: each.type for each in opened.schema_arrow}
    lists = [name for name, kind in kinds.items() if _is_list(kind)]
    if key in lists or (not key and (field in lists or len(lists) == 1)):
        columns = [key or (field if field in lists else lists[0])]
    else:
        numbers = [
            name for name, kind in kinds.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)
        ]
        columns = _columns(numbers, file, key, field, lists)
    _check_once(opened.schema_arrow.names, columns, file)

    def pieces() -> Iterator[NDArray[Any]]:
        width = None
        for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=columns):
            ordered = [batch.column(batch.schema.get_field_index(name)) for name in columns]
            piece = _matrix(ordered, file, is_list=_is_list(kinds[columns[0]]))
            if width is not None and piece.shape[1] != width:
                raise UsageError(
                    f"{file}: lists of {width} and of {piece.shape[1]} numbers; expected one length"
                )
            width = piece.shape[1]
            yield piece

    try:
        return spooled(pieces(), file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{file}: no Parquet that can be read ({shown(error)})") from error


def _matrix(columns: Sequence[Any], file: Path, *, is_list: bool) -> NDArray[np.float64]:
    if not is_list:
        return np.stack(
            [np.asarray(column.cast("double").to_numpy(zero_copy_only=False)) for column in columns], 1
        )
    column = columns[0]
    if column.null_count:
        raise UsageError(f"{file}: rows without a list; expected {LATENTS}")
    values = column.flatten().cast("double").to_numpy(zero_copy_only=False)
    lengths = set(column.value_lengths().to_pylist()) if hasattr(column, "value_lengths") else set()
    if len(lengths) > 1:
        raise UsageError(f"{file}: lists of {min(lengths)} to {max(lengths)} numbers; expected one length")
    return np.asarray(values.reshape(len(column), -1))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list) and bool(
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )


def _columns(names: Sequence[str], file: Path, key: str, field: str, lists: Sequence[str] = ()) -> list[str]:
    """Return the columns of numbers that are meant: in the order of the numbers in their names."""
    if key:
        meant = [name for name in names if fnmatchcase(name, key)]
        groups = {key: meant}
    else:
        names = [name for name in names if name.strip().lower() not in _NO_COMPONENTS]
        groups = {}
        for name in names:
            found = _NUMBERED.match(name)
            if found:
                groups.setdefault(found[1], []).append(name)
        groups = {stem: own for stem, own in groups.items() if len(own) > 1}
        meant = groups.get(field) or (next(iter(groups.values())) if len(groups) == 1 else [])
        meant = meant or (list(names) if not groups and not lists else [])
    if not meant:
        keys = [*(f"{stem}*" for stem in groups if not key), *lists] or list(names)
        listed = ", ".join(map(shown, keys[:_MOST_NAMED])) or "none"
        problem = "has no such columns of numbers" if key else "it is not clear which columns are the latents"
        raise ParameterError(
            f"{problem}; it has {listed}; name them, as in {file.name}:z*",
            field=field,
            value=Path(f"{file}:{key}") if key else file,
        )
    numbers = [int(found[2][:9]) if (found := _NUMBERED.match(name)) else -1 for name in meant]
    is_numbered = -1 not in numbers and len(set(numbers)) == len(numbers)
    return [name for _, name in sorted(zip(numbers, meant, strict=True))] if is_numbered else list(meant)


def _check_once(names: Sequence[str], chosen: Sequence[str], file: Path) -> None:
    """Refuse columns of one name, of which it is not known which is meant."""
    for name in chosen:
        if names.count(name) > 1:
            raise UsageError(f"{file}: {names.count(name)} columns named {shown(name)!r}; expected one")


def _is_counted(names: Sequence[str], first: tuple[int, Sequence[str]] | None) -> bool:
    """Check whether a header counts its columns from 0 on, before a row that is not of whole numbers."""
    is_in_order = len(names) > 1 and list(names) == [str(at) for at in range(len(names))]
    return is_in_order and first is not None and not all(text.strip().isdecimal() for text in first[1])


def _point(text: str, separator: str) -> str:
    return text.replace(",", ".").strip() if separator == ";" else text.strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
