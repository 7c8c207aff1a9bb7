"""Tables of what is known of images: CSV and its relatives, CelebA's lists, and Parquet."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError, shown
from latentscan.images.columns import of_numbers, of_texts, of_words
from latentscan.images.source import MISSING, Attribute
from latentscan.images.text_lines import PATH_NAMES, TextTable, open_text_table
from latentscan.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from latentscan.paths import AnyPath

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt")
EXPECTED = "a table: .csv, .tsv, .txt or .parquet"
MOST_COLUMNS = 4096
_MOST_CELLS = 200_000_000
_ROWS_AT_ONCE = 4096
_NUMBERED = "Unnamed: "  # what pandas reads as the name of an index that it wrote without one


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Parameters
    ----------
    file
        Where it is.
    columns
        Each with the rows of the table as its images; the label of one without a name is empty.
    lines
        The line of each row, where there are lines.
    left_out
        Names of columns that are neither numbers nor texts.
    """

    file: AnyPath
    columns: tuple[Attribute, ...]
    lines: Sequence[int]
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    def where(self, row: int) -> str:
        """Return the name of a row in the message of an error."""
        place = f"line {self.lines[row]}" if len(self.lines) else f"row {row + 1}"
        return f"{self.file}, {place}"

    def column_of_paths(self) -> Attribute | None:
        """Return the column with a name as columns of paths have it, or of rows without a name, if any."""
        named = {column.label.strip().lower(): column for column in reversed(self.columns)}
        return next((named[name] for name in (*PATH_NAMES, "") if name in named), None)

    def without(self, *columns: Attribute | None) -> tuple[Attribute, ...]:
        """Return the columns but for some, and but for those that only count the rows."""
        others = [one for one in self.columns if all(one is not other for other in columns)]
        return tuple(one for one in others if not _only_counts(one))


def read_table(file: AnyPath) -> Table:
    """Read a table.

    Raises
    ------
    UsageError
        If it is no table, or its columns have no names, or the same name.
    """
    if file.suffix.lower() in PARQUET:
        table = read_parquet([file])
    elif file.suffix.lower() in TEXT:
        table = _read_text(file)
    else:
        raise UsageError(f"{file}: expected {EXPECTED}")
    if not len(table):
        raise UsageError(f"{file}: has no rows; expected {EXPECTED} with a header")
    return table


def keys_of(column: Attribute) -> list[str]:
    """Return the values of a column as texts by which rows are known; "" for what is missing."""
    values = column.values.tolist()
    if column.kind == "text":
        return [str(value) for value in values]
    missing = MISSING[column.kind]
    return ["" if value == missing and column.kind != "binary" else str(value) for value in values]


def check_labels(labels: Sequence[str], where: str) -> None:
    """Check the names of columns.

    Raises
    ------
    UsageError
        If there are none, or too many, or one is none, or is there twice.
    """
    if not any(labels):
        raise UsageError(f"{where}: no header with the names of the columns; expected one")
    if len(labels) > MOST_COLUMNS:
        raise UsageError(f"{where}: {len(labels):,} columns; expected at most {MOST_COLUMNS:,}")
    for label, count in Counter(labels).items():
        if not label.isprintable() or _is_number(label):
            raise UsageError(f"{where}: {shown(label)!r}; expected a header with the names of the columns")
        if label and count > 1:
            raise UsageError(f"{where}: {count} columns named {shown(label)!r}; expected one")


class _Codes(dict[str, int]):
    """The number of each text, in the order in which they were met."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


def _read_text(file: AnyPath) -> Table:
    table = open_text_table(file)
    check_labels(table.names, f"{file}, line {table.line}")
    met = [_Codes() for _ in table.names]
    codes = [array("I") for _ in table.names]
    lines = array("Q")
    for piece in _pieces(table):
        lines.extend(number for number, _ in piece)
        for column, fields in enumerate(zip(*(fields for _, fields in piece), strict=True)):
            codes[column].extend(map(met[column].__getitem__, fields))
        if len(lines) * len(met) > _MOST_CELLS:
            raise UsageError(f"{file}: more than {_MOST_CELLS:,} cells; leave out columns, or use Parquet")
    columns = []
    for label in table.names:
        numbers, texts = np.frombuffer(codes.pop(0), np.uint32), list(met.pop(0))
        columns.append(_named(file, label, numbers, texts, decimal_comma=table.separator == ";"))
    return Table(file, tuple(columns), lines)


def _pieces(table: TextTable) -> Iterator[list[tuple[int, list[str]]]]:
    piece = []
    for row in table.rows:
        piece.append(row)
        if len(piece) == _ROWS_AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece


def _named(
    file: AnyPath, label: str, codes: NDArray[Any], texts: Sequence[str], *, decimal_comma: bool = False
) -> Attribute:
    try:
        return of_texts(label, codes, texts, decimal_comma=decimal_comma)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _only_counts(column: Attribute) -> bool:
    """Check whether a column has no name, or none of its own, and only counts the rows."""
    if column.label and not column.label.startswith((_NUMBERED, "__index_level_")):
        return False
    values = column.values
    if column.kind == "binary" and len(values) <= 2:
        return True
    return column.kind == "integer" and bool((np.diff(values) == 1).all())


def read_parquet(files: Sequence[AnyPath]) -> Table:
    """Read the numbers and texts of Parquet files, whose rows follow one another, as one table.

    Raises
    ------
    UsageError
        If one cannot be read, or has other columns than the first, or two columns have the same name.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        remedy = 'pip install "latentscan[parquet]"'
        raise UsageError(f"{files[0]}: nothing is installed that reads Parquet; {remedy}") from error
    columns: dict[str, _ParquetColumn] = {}
    left_out: tuple[str, ...] = ()
    cells = 0
    for file in files:
        if isinstance(file, RemotePath):
            raise UsageError(f"{file}: Parquet cannot be read from a URL; copy it to a disk")
        try:
            with pq.ParquetFile(file, read_dictionary=_texts_of(pq.read_schema(file))) as opened:
                names = [field.name for field in opened.schema_arrow if is_read(field.type)]
                if not cells:
                    check_labels(names, str(file))
                    columns = {name: _ParquetColumn(name) for name in names}
                    left_out = tuple(name for name in opened.schema_arrow.names if name not in names)
                elif set(names) != set(columns):
                    raise UsageError(f"{file}: has other columns than {files[0]}")
                cells += max(1, opened.metadata.num_rows * len(names))
                if cells > _MOST_CELLS:
                    raise UsageError(f"{file}: more than {_MOST_CELLS:,} cells; leave out columns")
                for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=names) if names else ():
                    for name in names:
                        columns[name].add(batch.column(name))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UsageError(
                f"{file}: no Parquet that can be read ({shown(error)}); expected {EXPECTED}"
            ) from error
    try:
        return Table(files[0], tuple(column.attribute() for column in columns.values()), (), left_out)
    except UsageError as error:
        raise UsageError(f"{files[0]}: {error}") from error


def _texts_of(schema: pa.Schema) -> list[str]:
    """Return the columns of texts, which are read as numbers of the texts that occur."""
    import pyarrow as pa

    return [
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]


def is_read(kind: pa.DataType) -> bool:
    """Check whether columns of a type of Arrow's are read: numbers, texts, times and categories."""
    import pyarrow as pa

    known = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_temporal,
    )
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_dictionary(kind):
        return is_read(kind.value_type)
    return is_text or any(check(kind) for check in known)


class _ParquetColumn:
    """A column that is read piece by piece."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._met, self._parts, self._known = _Codes(), list[Any](), list[Any]()

    def add(self, piece: pa.Array) -> None:
        """Read the rows that follow."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_duration(piece.type):  # in seconds
            microseconds = piece.cast(pa.duration("us"), safe=False).cast(pa.int64())
            piece = pc.divide(microseconds.cast(pa.float64()), 1e6)
        if pa.types.is_temporal(piece.type):
            piece = piece.cast(pa.string())
        if pa.types.is_decimal(piece.type):
            piece = piece.cast(pa.float64())
        self._known.append(piece.is_valid().to_numpy(zero_copy_only=False))
        if pa.types.is_string(piece.type) or pa.types.is_large_string(piece.type):
            piece = piece.dictionary_encode()
        if pa.types.is_dictionary(piece.type):
            words = ["" if word is None else str(word) for word in piece.dictionary.to_pylist()]
            own = np.array([self._met[word] for word in (*words, "")], np.int64)
            codes = piece.indices.fill_null(len(words))
            self._parts.append(own[codes.to_numpy(zero_copy_only=False)])
        else:
            filled = piece.fill_null(False if pa.types.is_boolean(piece.type) else 0)
            self._parts.append(filled.to_numpy(zero_copy_only=False))

    def attribute(self) -> Attribute:
        """Return all of it: texts are texts here, whatever they say."""
        values = np.concatenate(self._parts) if self._parts else np.zeros(0)
        if self._met:
            return of_words(self._name, values, list(self._met))
        return of_numbers(
            self._name, values, np.concatenate(self._known) if self._known else np.zeros(0, bool)
        )
