"""Tables of one row an image as files: Parquet, CSV, or the arrays of an .npz; written a block at a time."""

from __future__ import annotations

import csv
import os
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.analyses.point_table import Column, PointTable
    from latentscan.progress import Advance, Progress


ENDINGS = (".parquet", ".csv", ".npz", ".npy")


def write_table(table: PointTable, path: Path, progress: Progress) -> None:
    """Write a table whole or not at all, as the ending of the path says.

    Parameters
    ----------
    table
        The table.
    path
        A .parquet, .csv or .npz file, which is replaced.
    progress
        Hears of the blocks that are written.

    Raises
    ------
    UsageError
        If the ending is another one, or what writes it is not installed.
    """
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".npz": _write_npz}
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path}: expected a file ending in {', '.join(writers)}")
    passes = _passes(table) if path.suffix.lower() == ".npz" else 1
    total = passes * len(table.snapshot.blocks)
    with _replacing(path) as partial, progress.task("export", total=total, unit="blocks") as advance:
        writers[path.suffix.lower()](table, partial, advance)


def write_rows(table: PointTable, array: str, path: Path, progress: Progress) -> None:
    """Write latents as an .npy file, (row, component), in the order of the rows of the table.

    Parameters
    ----------
    table
        Says which rows.
    array
        Which latents.
    path
        The file, which is replaced.
    progress
        Hears of the blocks that are written.
    """
    from latentscan.analyses.point_table import Column

    latents = (Column(array, lambda block: block.array(array)),)
    shape = (table.rows, table.snapshot.schema.components)
    with (
        _replacing(path) as partial,
        progress.task("export", total=len(table.snapshot.blocks), unit="blocks") as advance,
        partial.open("wb") as stream,
    ):
        _write_head(stream, np.dtype("<f4"), shape)
        for block in table.blocks(latents):
            stream.write(np.ascontiguousarray(block[array], "<f4").tobytes())
            advance(1)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Write beside a file, and put what is written in its place once it is whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_parquet(table: PointTable, path: Path, advance: Advance) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            'Parquet files need pyarrow; install it with pip install "latentscan[parquet]", or write a .csv'
        ) from None
    writer: Any = None
    try:
        for block in table.blocks():
            batch = pa.table({name: pa.array(values) for name, values in block.items()})
            if writer is None:
                writer = pq.ParquetWriter(path, batch.schema, compression="zstd")
            if batch.num_rows:
                writer.write_table(batch)
            advance(1)
    finally:
        if writer is not None:
            writer.close()


def _write_csv(table: PointTable, path: Path, advance: Advance) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([column.name for column in table.columns])
        for block in table.blocks():
            columns = [_cells(values) for values in block.values()]
            writer.writerows(zip(*columns, strict=True))
            advance(1)


def _cells(values: NDArray[Any]) -> list[Any]:
    """Return values as they are written: nothing for NaN, and no more digits than a number has."""
    if values.dtype.kind != "f":
        listed: list[Any] = values.tolist()
        return listed
    texts = values.astype(str).tolist()
    return ["" if text == "nan" else text for text in texts]


def _write_npz(table: PointTable, path: Path, advance: Advance) -> None:
    """Write one array after another, each in a pass of its own: none is held in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for column in table.columns:
            dtype = _dtype(table, column, advance)
            with archive.open(f"{column.name.replace('/', '_')}.npy", "w", force_zip64=True) as stream:
                _write_head(stream, dtype, (table.rows,))
                for block in table.blocks((column,)):
                    stream.write(block[column.name].astype(dtype).tobytes())
                    advance(1)


def _dtype(table: PointTable, column: Column, advance: Advance) -> np.dtype[Any]:
    """Return the type of a column, for texts one that holds the longest: objects would be code to read."""
    first = next(table.blocks((column,)))[column.name]
    if first.dtype.kind not in "OUT":
        return first.dtype.newbyteorder("<")
    longest = 1
    for block in table.blocks((column,)):
        longest = max(longest, max(map(len, block[column.name].tolist()), default=1))
        advance(1)
    return np.dtype(f"<U{longest}")


def _passes(table: PointTable) -> int:
    """Count the passes that an .npz takes: two over texts."""
    first = next(table.blocks())
    return sum(2 if values.dtype.kind in "OUT" else 1 for values in first.values())


def _write_head(stream: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    from numpy.lib.format import dtype_to_descr, write_array_header_2_0

    header = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    write_array_header_2_0(stream, header)
