"""Latents that were made elsewhere, brought into a store block by block."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.resume_command import ingest_command
from latentscan.errors import ParameterError, UsageError, spelled
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS
from latentscan.images.arrays import map_npy
from latentscan.progress import SILENT
from latentscan.scan.rejects import summarise
from latentscan.scan.snapshot import block_label
from latentscan.store.atomic import remove_leftovers
from latentscan.store.schema import DEFAULT_CHUNK_ROWS, LATENTS, Compression, Schema
from latentscan.store.writer import create_store, reject_not_finite, write_block

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.execution.executor import Control, Executor
    from latentscan.progress import Progress
    from latentscan.scan.rejects import Summary

_EXPECTED = "a .npy array of floating-point numbers, (images, components)"


def ingest(
    files: Mapping[str, Path],
    location: str,
    *,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> Summary:
    """Write the latents in .npy files into a store, or what is missing of it.

    The files are mapped into memory and read a block at a time. A row with NaN or infinity is rejected.

    Parameters
    ----------
    files
        The .npy file of each of `mu`, `logvar`, `z` that is known, (image, component).
    location
        The store to write, or to go on with; a path or a URL.
    chunk_rows
        Images of a block: what is written, committed and resumed as one.
    compression
        Of the chunks.
    executor
        Where blocks are read and written; all workers have to see the files.
    progress
        Hears of images that are written.

    Raises
    ------
    UsageError
        If the files do not fit each other, or the store was begun with others.
    UnsafeInputError
        If a file holds Python objects.
    """
    arrays = {name: map_npy(files[name], _EXPECTED) for name in LATENTS if name in files}
    images, components = _common_shape(files, arrays)
    schema = Schema(images, components, tuple(arrays), chunk_rows, compression=compression)
    source = {name: {"name": files[name].name, "sha256": _sha256(files[name])} for name in arrays}
    resuming = ingest_command(files, location, {"chunk_rows": chunk_rows, "compression": compression})
    store = create_store(
        location,
        schema,
        {"source": {"kind": "latents", **source}},
        resume_command=spelled(resuming, "command line"),
    )
    missing = np.flatnonzero(~store.committed()).tolist()
    written = sum(len(schema.rows(block)) for block in missing)
    absolute = {name: files[name].absolute() for name in arrays}

    def write(block: int, _control: Control) -> None:
        values = _read_block(absolute, schema.rows(block))
        reject_not_finite(values)
        write_block(store, block, values)

    with progress.task("ingest", images, "images", done=images - written) as advance:
        executor.run_tasks(
            write,
            missing,
            describe=partial(block_label, store),
            on_done=lambda block: advance(len(schema.rows(block))),
        )
    remove_leftovers(location)
    return summarise(store, written, {}, Execution(executor, progress))


def _read_block(files: Mapping[str, Path], rows: range) -> dict[str, NDArray[Any]]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is rejected
        values: dict[str, NDArray[Any]] = {
            name: np.array(map_npy(file, _EXPECTED)[rows.start : rows.stop], np.float32)
            for name, file in files.items()
        }
    values["path"] = np.array([str(row) for row in rows], dtype=object)
    values["status"] = np.zeros(len(rows), np.uint8)
    return values


def _common_shape(files: Mapping[str, Path], arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    for name, array in arrays.items():
        if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
            raise ParameterError(
                f"{array.dtype} of shape {array.shape}; expected {_EXPECTED}", field=name, value=files[name]
            )
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1:
        raise UsageError(f"the latents differ in shape: {shapes}; expected the same images and components")
    images, components = next(iter(shapes.values()))
    return images, components


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
