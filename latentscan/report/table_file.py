"""Tables of one row an image as files: Parquet, CSV, .npz, AnnData's .h5ad; written a block at a time."""

from __future__ import annotations

import csv
import os
import zipfile
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.analyses.point_table import Column, PointTable
    from latentscan.progress import Advance, Progress


ENDINGS = (".parquet", ".csv", ".npz", ".h5ad", ".npy")
INDEX, ROWS_OF_A_CHUNK = "_index", 4096  # of a data frame of AnnData, which has its names


def write_table(table: PointTable, path: Path, progress: Progress) -> None:
    """Write a table whole or not at all, as the ending of the path says.

    Parameters
    ----------
    table
        The table.
    path
        A .parquet, .csv, .npz or .h5ad file, which is replaced. The last one holds the latents, too.
    progress
        Hears of the blocks that are written.

    Raises
    ------
    UsageError
        If the ending is another one, or what writes it is not installed.
    """
    writers = {
        ".parquet": _write_parquet,
        ".csv": _write_csv,
        ".npz": _write_npz,
        ".h5ad": _write_h5ad,
    }
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
        names = _without_slashes([column.name for column in table.columns])
        for column in table.columns:
            dtype = _dtype(table, column, advance)
            with archive.open(f"{names[column.name]}.npy", "w", force_zip64=True) as stream:
                _write_head(stream, dtype, (table.rows,))
                for block in table.blocks((column,)):
                    stream.write(block[column.name].astype(dtype).tobytes())
                    advance(1)


def _write_h5ad(table: PointTable, path: Path, advance: Advance) -> None:
    """Write what AnnData reads: columns as `obs`, latents, map and principal components as `obsm`.

    The layout is that of https://anndata.readthedocs.io/en/stable/fileformat-prose.html: every element says
    how it is encoded. There is no `X`: latents are no measured features.
    """
    import h5py

    from latentscan.analyses.point_table import BlockReader, Column

    names = _without_slashes([column.name for column in table.columns], taken=(INDEX,))
    latents = table.snapshot.schema.latents
    reads = tuple(Column(name, partial(BlockReader.array, name=name)) for name in latents)
    joined = {"X_tsne": "map", "X_pca": "axes"}
    with h5py.File(path, "w") as file:
        _encoded(file, "anndata", "0.1.0")
        for group in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
            _encoded(file.create_group(group), "dict", "0.1.0")
        for group, order in (("obs", list(names.values())), ("var", [])):
            frame = _encoded(file.create_group(group), "dataframe", "0.2.0")
            frame.attrs["_index"] = INDEX
            frame.attrs.create("column-order", order, dtype=h5py.string_dtype())
        _append(file, f"var/{INDEX}", np.empty(0, object))
        for block, points in zip(table.blocks(), table.blocks(reads), strict=True):
            _append(file, f"obs/{INDEX}", block["row"].astype(str).astype(object))
            for name, own in names.items():
                _append(file, f"obs/{own}", block[name])
            for name, part_of in joined.items():
                axes = [block[column.name] for column in table.columns if column.part_of == part_of]
                if axes:
                    _append(file, f"obsm/{name}", np.column_stack(axes))
            for name, values in points.items():
                _append(file, f"obsm/{name}", values)
            advance(1)


def _without_slashes(names: Sequence[str], taken: Sequence[str] = ()) -> dict[str, str]:
    """Return names in which a slash is no way into a folder, each another, by the names that were given."""
    found: dict[str, str] = {}
    for name in names:
        own = name.replace("/", "_")
        while own in (*found.values(), *taken) or (own != name and own in names):
            own += "_"
        found[name] = own
    return found


def _encoded(element: Any, kind: str, version: str) -> Any:
    element.attrs.update({"encoding-type": kind, "encoding-version": version})
    return element


def _append(file: Any, name: str, values: NDArray[Any]) -> None:
    """Add rows to an array of an HDF5 file, which the first ones make."""
    import h5py

    is_text = values.dtype.kind in "OUT"
    if name not in file:
        shape = values.shape[1:]
        made = file.create_dataset(
            name,
            (0, *shape),
            maxshape=(None, *shape),
            chunks=(ROWS_OF_A_CHUNK, *shape),
            dtype=h5py.string_dtype() if is_text else values.dtype,
        )
        _encoded(made, "string-array" if is_text else "array", "0.2.0")
    array = file[name]
    array.resize(len(array) + len(values), axis=0)
    array[len(array) - len(values) :] = values.astype(object) if is_text else values


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
