"""Images in a column of Parquet files, as data sets on public hubs have them.

A column holds the content of an image file a row, by itself or as the field `bytes` beside a `path`. Rows are
read a row group at a time, and the groups that were read last are held, up to a limit.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.files import open_regular
from latentscan.images.arrays import RowNumbers
from latentscan.images.decoding import check_bytes
from latentscan.images.folder import LONGEST_PATH
from latentscan.images.packed import PackedSource, member_path
from latentscan.images.source import PIXEL_LIMIT, Attributes, ImageRejectedError, Status
from latentscan.images.table_file import is_read, read_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing

_HELD_BYTES = 1 << 28  # of the groups that were read last; one is held whatever its size
_MOST_GROUP_BYTES = 1 << 30  # of images in a group
_ROWS_AT_ONCE = 64  # of a group while it is read
_MOST_OPEN = 16  # files
_PATHS_AT_ONCE = 4096
_MOST_NAMED = 8
_USUAL_NAMES = ("image", "img", "jpg", "png", "bytes")
_SPLIT = re.compile(r"^(train|valid|val|dev|test)(?:ing|ation|elopment|set)?(?=[-_.])", re.IGNORECASE)
_SPLITS = {"train": 0, "valid": 1, "val": 1, "dev": 1, "test": 2}
_NUMBERED = re.compile(r"^(.*-)(\d{5})(-of-)(\d{5})(\.parquet)$")


def open_parquet(
    files: Sequence[Path],
    name: str,
    preprocessing: Preprocessing,
    pixel_limit: int = PIXEL_LIMIT,
    key: str = "",
) -> PackedSource:
    """Open a column of images in Parquet files, whose rows follow one another; other columns are attributes.

    The paths are those in the table where each row has its own, else row numbers. Where files are named by
    their part, train-..., test-..., that is the split.

    Parameters
    ----------
    files
        The files, in order.
    name
        What they are called together.
    preprocessing
        How images are cropped and resized.
    pixel_limit
        Images of more pixels are rejected.
    key
        The column; may be empty where only one holds images.

    Raises
    ------
    UsageError
        If nothing is installed that reads Parquet, or a file cannot be read, or has no such column.
    """
    tables = [_Table.read(file) for file in files]
    column, notes = _chosen(tables[0], key)
    for table in tables:
        table.check(column)
    if not sum(table.rows for table in tables):
        raise ParameterError("has no rows", field="images", value=files[0])
    attributes, left_out = _attributes(files) if tables[0].has_others else (None, ())
    return PackedSource(
        kind="parquet",
        name=f"{name}:{column}" if key else name,
        contents=ParquetContents(tables, column),
        paths=_paths(tables, column),
        preprocessing=preprocessing,
        pixel_limit=pixel_limit,
        split=_split(tables),
        attributes=attributes,
        notes=(*notes, *left_out, *_other_parts(files)),
    )


class ParquetContents:
    """The values of a column in Parquet files, which are read by row groups.

    Parameters
    ----------
    tables
        The files.
    column
        The column.
    """

    def __init__(self, tables: Sequence[_Table], column: str) -> None:
        self._tables, self._column = tables, column
        self._groups = [(number, group) for number, table in enumerate(tables) for group in table.groups]
        self._starts = np.cumsum([0, *(rows for table in tables for rows in table.groups.values())])
        self._held: dict[int, pa.ChunkedArray] = {}
        self._damaged: dict[int, str] = {}  # groups, and why they cannot be read
        self._opened: dict[int, Any] = {}
        self._one_at_a_time = threading.Lock()  # of the threads that need a group, one reads it

    def read(self, row: int, pixel_limit: int) -> bytes:
        """Return the content of the image file in a row."""
        group = int(np.searchsorted(self._starts, row, "right")) - 1
        found = self._held.get(group)
        if found is None:
            with self._one_at_a_time:
                found = self._held.get(group)
                if found is None:
                    found = self._read_group(group)
                    self._hold(group, found)
        value = found[row - int(self._starts[group])]
        if not value.is_valid:
            raise ImageRejectedError(Status.MISSING, "the table has no image in this row")
        content = value.as_buffer()
        check_bytes(content.size, pixel_limit)
        return bytes(content.to_pybytes())

    def _hold(self, group: int, values: pa.ChunkedArray) -> None:
        """Hold a group, and no longer those that were read first, where they are too large together."""
        self._held[group] = values
        sizes = {number: values.nbytes for number, values in self._held.items()}
        for number in list(self._held):
            if number != group and sum(sizes.values()) > _HELD_BYTES:
                del self._held[number], sizes[number]

    def _read_group(self, group: int) -> pa.ChunkedArray:
        """Read a group of rows, and of no more bytes than a group may have, whatever the file says."""
        import pyarrow as pa

        number, own = self._groups[group]
        if group in self._damaged:
            raise _damaged(self._tables[number].file, own, self._damaged[group])
        table = self._tables[number]
        parts: list[pa.Array] = []
        size = 0
        try:
            leaf = table.columns[self._column]
            for batch in self._file(number).iter_batches(_ROWS_AT_ONCE, row_groups=[own], columns=[leaf]):
                values = batch.column(0)
                parts.append(values if leaf == self._column else values.field(0))
                size += parts[-1].nbytes
                if size > 2 * _MOST_GROUP_BYTES:
                    break
            why = "it holds more bytes, or other rows, than the file says"
        except (pa.ArrowException, OSError, ValueError) as error:
            parts, why = [], shown(error)
        if sum(map(len, parts)) != table.groups[own]:
            self._damaged[group] = why
            raise _damaged(table.file, own, why)
        return pa.chunked_array(parts)

    def _file(self, number: int) -> Any:
        """Return a file that is open for reading, of which few are at a time."""
        import pyarrow.parquet as pq

        if number not in self._opened:
            if len(self._opened) >= _MOST_OPEN:
                self._opened.pop(next(iter(self._opened))).close()
            table = self._tables[number]
            self._opened[number] = pq.ParquetFile(
                table.file, metadata=table.metadata, pre_buffer=False, page_checksum_verification=True
            )
        return self._opened[number]


def _damaged(file: Path, group: int, why: str) -> ImageRejectedError:
    return ImageRejectedError(Status.DAMAGED, f"row group {group} of {file.name} cannot be read: {why}")


@dataclass(frozen=True)
class _Table:
    """What a Parquet file says of itself.

    Parameters
    ----------
    file
        The file.
    metadata
        As pyarrow has it.
    columns
        Those that may hold images, with what is read of each.
    names
        All columns.
    groups
        The rows of each row group.
    has_others
        Whether there are columns of numbers or texts.
    """

    file: Path
    metadata: Any
    columns: dict[str, str]
    names: tuple[str, ...]
    groups: dict[int, int]
    has_others: bool

    @classmethod
    def read(cls, file: Path) -> _Table:
        """Read what a file says of itself.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            remedy = 'pip install "latentscan[parquet]"'
            raise UsageError(f"{file}: nothing is installed that reads Parquet; {remedy}") from error
        try:
            with open_regular(file), pq.ParquetFile(file) as opened:  # no pipe, no device
                metadata, schema = opened.metadata, opened.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            msg = f"no Parquet that can be read ({shown(error)}); download it again"
            raise ParameterError(msg, field="images", value=file) from error
        columns = {field.name: leaf for field in schema if (leaf := _leaf(field)) is not None}
        groups = {group: metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)}
        has_others = any(is_read(field.type) for field in schema)
        return cls(file, metadata, columns, tuple(schema.names), groups, has_others)

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return sum(self.groups.values())

    def check(self, column: str) -> None:
        """Refuse a file without a column of images, or whose row groups are too large to be read.

        Raises
        ------
        ParameterError
            If it is such a file.
        """
        if column not in self.columns:
            problem = f"has no column {shown(column)} of images"
            raise ParameterError(problem, field="images", value=self.file)
        schema, leaf = self.metadata.schema, self.columns[column]
        at = next(number for number in range(len(schema)) if schema.column(number).path == leaf)
        for group in self.groups:
            size = self.metadata.row_group(group).column(at).total_uncompressed_size
            if size > _MOST_GROUP_BYTES or min(self.groups.values()) < 0:
                most = f"expected at most {_MOST_GROUP_BYTES:,}: write it again with a smaller row_group_size"
                problem = f"a row group with {size:,} bytes of images; {most}"
                raise ParameterError(problem, field="images", value=self.file)


def _leaf(field: pa.Field) -> str | None:
    """Return what is to be read of a column of images; None of a column that cannot be one."""
    import pyarrow as pa

    def is_bytes(kind: pa.DataType) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    if is_bytes(field.type):
        return str(field.name)
    if pa.types.is_struct(field.type):
        at = field.type.get_field_index("bytes")
        if at >= 0 and is_bytes(field.type.field(at).type):
            return f"{field.name}.bytes"
    return None


def _chosen(table: _Table, key: str) -> tuple[str, tuple[str, ...]]:
    """Return the column of images, and what to say of the choice."""
    names = list(table.columns)
    if key or len(names) == 1:
        column = key or names[0]
        if column in names:
            return column, ()
        problem = f"has no column {shown(key)} of images"
    else:
        usual = [name for name in names if name.lower() in _USUAL_NAMES]
        if len(usual) == 1:
            return usual[0], (f"images: the column {usual[0]} of {_listed(names)}",)
        problem = "has several columns that may hold images" if names else "has no column of images"
    if names:
        remedy = f"; it has {_listed(names)}: name one, as in {table.file.name}:{names[0]}"
    else:
        remedy = f"; it has {_listed(list(table.names))}; expected one of bytes, or of bytes and path"
    raise ParameterError(problem + remedy, field="images", value=table.file)


def _listed(names: list[str]) -> str:
    named = ", ".join(map(shown, names[:_MOST_NAMED]))
    return f"{named} and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else named


def _paths(tables: Sequence[_Table], column: str) -> Sequence[str]:
    """Return the paths that stand in the table if each row has its own, else row numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = RowNumbers(range(sum(table.rows for table in tables)))
    paths: list[str] = []
    for table in tables:
        with pq.ParquetFile(table.file, metadata=table.metadata) as opened:
            field = opened.schema_arrow.field(column).type
            at = field.get_field_index("path") if pa.types.is_struct(field) else -1
            if at < 0 or not pa.types.is_string(field.field(at).type):
                return numbers
            try:
                for batch in opened.iter_batches(_PATHS_AT_ONCE, columns=[f"{column}.path"]):
                    found = [member_path(path or "") for path in batch.column(0).field(0).to_pylist()]
                    if not all(0 < len(path) <= LONGEST_PATH for path in found):
                        return numbers
                    paths += found
            except (pa.ArrowException, OSError, ValueError):
                return numbers
    return paths if len(set(paths)) == len(paths) == len(numbers) else numbers


def _split(tables: Sequence[_Table]) -> NDArray[np.int8] | None:
    """Return the parts that files are named by, (row,); None where no file is."""
    found = [_SPLIT.match(table.file.name) for table in tables]
    if not any(found):
        return None
    parts = [-1 if one is None else _SPLITS[one[1].lower()] for one in found]
    return np.repeat(np.array(parts, np.int8), [table.rows for table in tables])


def _attributes(files: Sequence[Path]) -> tuple[Attributes | None, tuple[str, ...]]:
    """Return what other columns say of the images, and what to say of columns that cannot be read."""
    try:
        columns = read_parquet(files).without()
    except UsageError as error:
        return None, (f"without attributes: {error.args[0]}",)
    return (Attributes(columns) if columns else None), ()


def _other_parts(files: Sequence[Path]) -> tuple[str, ...]:
    """Return what to say where one file of several is named, train-00000-of-00004.parquet."""
    part = _NUMBERED.match(files[0].name) if len(files) == 1 else None
    if part is None or int(part[4]) < 2:
        return ()
    last = f"{int(part[4]) - 1:05d}"
    whole = f"{part[1]}{{00000..{last}}}{part[3]}{part[4]}{part[5]}"
    return (f"{files[0].name} is 1 of {int(part[4]):,} files; all of them are {whole}, or their folder",)
