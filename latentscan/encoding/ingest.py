"""Latents that were made elsewhere, brought into a store block by block."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.latents.opening import LatentsFile
from latentscan.encoding.latents.precision import Loss, as_float32
from latentscan.encoding.resume_command import ingest_command
from latentscan.errors import ParameterError, UsageError, shown, spelled
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS
from latentscan.images.arrays import RowNumbers
from latentscan.images.folder import describe_rows
from latentscan.images.labelled import open_attributes, sha256_of
from latentscan.images.path_list import listed_rows
from latentscan.paths import absolute, as_path, is_url
from latentscan.progress import SILENT, remark
from latentscan.scan.rejects import summarise
from latentscan.scan.snapshot import block_label
from latentscan.store.atomic import remove_leftovers
from latentscan.store.schema import (
    ATTRIBUTE_ARRAYS,
    DEFAULT_CHUNK_ROWS,
    LATENTS,
    Compression,
    Schema,
    attribute_record,
    label_fields,
    shape_record,
)
from latentscan.store.writer import create_store, reject_not_finite, write_block

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.executor import Control, Executor
    from latentscan.images.source import Attributes
    from latentscan.progress import Progress
    from latentscan.scan.rejects import Summary
    from latentscan.store.reader import LatentStore

_EXAMPLES = 3


def ingest(
    files: Mapping[str, str | Path],
    location: str,
    *,
    paths: str | None = None,
    attributes: str | None = None,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> Summary:
    """Write latents that are in files into a store, or what is missing of them.

    The files are read a block at a time; those that can only be read from their beginning are copied to a
    temporary file. Latents of several axes are rows of their components in C order. A row with NaN or
    infinity is rejected.

    Parameters
    ----------
    files
        Where each of `mu`, `logvar`, `z` that is known is: a file, or a file and a key as in ``a.npz:key``.
    location
        The store to write, or to go on with; a path or a URL.
    paths
        A list of the paths of the images, in the order of the rows; these have their numbers if None.
    attributes
        A table of what is known of the images, by their paths or in their order.
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
        If a file could run code when it is loaded.
    """
    named = {name: LatentsFile.named(files[name], name) for name in LATENTS if name in files}
    images, latent_shape = _common_shape(named)
    tables = {"paths": _absolute(paths), "attributes": _absolute(attributes)}
    known = _known(images, **tables)
    for line in known.notes:
        remark(progress, spelled(line, "command line"))
    schema = Schema(
        images,
        int(np.prod(latent_shape)),
        tuple(named),
        chunk_rows,
        compression=compression,
        **label_fields(known.attributes),
    )
    words = {name: file.path for name, file in named.items()}
    options = {**tables, "chunk_rows": chunk_rows, "compression": compression}
    store = create_store(
        location,
        schema,
        _provenance(named, known, latent_shape),
        resume_command=spelled(ingest_command(words, location, options), "command line"),
    )
    missing = np.flatnonzero(~store.committed()).tolist()
    written = sum(len(schema.rows(block)) for block in missing)
    task = _IngestTask(named, store, **tables)
    with progress.task("ingest", images, "images", done=images - written) as advance:
        losses = executor.run_tasks(
            task,
            missing,
            describe=partial(block_label, store),
            on_done=lambda block: advance(len(schema.rows(block))),
        )
    lost = reduce(add, losses, Loss())
    if lost:
        remark(progress, f"numbers that float32 does not hold: {lost.words}")
    remove_leftovers(location)
    return summarise(store, written, {}, Execution(executor, progress))


@dataclass(frozen=True)
class _IngestTask:
    """A task that writes a block, and returns what float32 lost of it."""

    files: Mapping[str, LatentsFile]
    store: LatentStore
    paths: str | None
    attributes: str | None

    def __call__(self, block: int, _control: Control) -> Loss:
        rows = self.store.schema.rows(block)
        these, lost = slice(rows.start, rows.stop), Loss()
        values: dict[str, NDArray[Any]] = {}
        for name, file in self.files.items():
            values[name], own = as_float32(file.open().read(rows.start, rows.stop))
            lost += own
        known = _known(len(self.store), self.paths, self.attributes)
        values["path"] = np.array(list(known.paths[these]), dtype=object)
        values["status"] = np.zeros(len(rows), np.uint8)
        if known.attributes is not None:
            by_kind = known.attributes.of_rows(these)
            values |= {ATTRIBUTE_ARRAYS[kind]: array for kind, array in by_kind.items()}
        reject_not_finite(values)
        write_block(self.store, block, values)
        return lost


@dataclass(frozen=True)
class _Known:
    """What is known of the images besides their latents."""

    paths: Sequence[str]
    attributes: Attributes | None = None
    notes: tuple[str, ...] = ()


def _known(images: int, paths: str | None, attributes: str | None) -> _Known:
    """Read what is known of the images; a process does so once, unless the files change."""
    local = [Path(file) for file in (paths, attributes) if file is not None and not is_url(file)]
    found = [file.stat() for file in local if file.is_file()]
    return _read_known(images, paths, attributes, tuple((one.st_mtime_ns, one.st_size) for one in found))


@lru_cache(maxsize=4)
def _read_known(
    images: int, paths: str | None, attributes: str | None, _files: tuple[tuple[int, int], ...]
) -> _Known:
    names: Sequence[str] = RowNumbers(range(images)) if paths is None else _listed(as_path(paths), images)
    if attributes is None:
        return _Known(names)
    return _Known(names, *open_attributes(as_path(attributes), names))


def _listed(file: Any, images: int) -> list[str]:
    """Return the paths in a list: as many as there are images, each once.

    Raises
    ------
    ParameterError
        If they are not.
    """
    if not file.exists():
        raise ParameterError("does not exist", field="paths", value=file)
    names = [path for _, path, _ in listed_rows(file)]
    if len(names) != images:
        raise ParameterError(
            f"{len(names):,} paths, but {images:,} rows of latents; expected one a row",
            field="paths",
            value=file,
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ParameterError(
            f"{len(twice):,} paths are there more than once, such as "
            f"{', '.join(map(shown, twice[:_EXAMPLES]))}; expected each once",
            field="paths",
            value=file,
        )
    return names


def _common_shape(files: Mapping[str, LatentsFile]) -> tuple[int, tuple[int, ...]]:
    """Return the number of images, and the axes of a latent."""
    shapes = {name: file.open().shape for name, file in files.items()}
    if len(set(shapes.values())) != 1:
        raise UsageError(f"the latents differ in shape: {shapes}; expected the same images and components")
    images, *latent_shape = next(iter(shapes.values()))
    return images, tuple(latent_shape)


def _provenance(
    files: Mapping[str, LatentsFile], known: _Known, latent_shape: tuple[int, ...]
) -> dict[str, Any]:
    source: dict[str, Any] = {"kind": "latents", **{name: file.describe() for name, file in files.items()}}
    if not isinstance(known.paths, RowNumbers):
        source |= describe_rows("latents", "paths", known.paths)
    if known.attributes is not None:
        source["attributes_sha256"] = sha256_of(known.attributes)
    return {"source": source, **attribute_record(known.attributes), **shape_record(latent_shape)}


def _absolute(file: str | None) -> str | None:
    return None if file is None else absolute(file)
