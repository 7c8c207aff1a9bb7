"""images -> encoder -> store: the one job that writes latents of images."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError
from latentscan.execution.executor import Stopped
from latentscan.execution.threaded import IN_PROCESS, ThreadedExecutor
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import PIXEL_LIMIT, Status
from latentscan.kernels.epsilon import epsilon, z_points
from latentscan.progress import SILENT
from latentscan.scan.reduce import map_reduce, naming
from latentscan.scan.rejects import summarise
from latentscan.store.image_array import is_zarr, open_array_source
from latentscan.store.schema import DEFAULT_CHUNK_ROWS, Compression, Schema
from latentscan.store.writer import create_store, reject_not_finite, retract_blocks, write_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.encoding.parameters import Noise
    from latentscan.execution.executor import Control, Executor
    from latentscan.images.source import ImageSource, Pixels
    from latentscan.models.encoder import Encoder
    from latentscan.paths import AnyPath
    from latentscan.progress import Advance, Progress
    from latentscan.store.reader import LatentStore
    from latentscan.store.summary import Summary

DECODED_AHEAD = 3  # batches decoded or being decoded while the encoder works on one
PROBE_ROWS = 16  # images with which an encoder is tried before anything is written
PIECE_ROWS = 32  # images that a decoding thread takes at a time


def encode(
    encoder: Encoder,
    source: ImageSource,
    location: str,
    *,
    noise: Noise,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    retry_rejected: bool = False,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> Summary:
    """Write `mu`, `logvar` and `z` of every image into a store, or what is missing of it.

    Parameters
    ----------
    encoder
        A trained encoder; one without mu and logvar writes `z` alone.
    source
        The images, prepared as the encoder takes them.
    location
        The store to write, or to go on with.
    noise
        How z is drawn; an image draws the same whatever the chunking or the number of runs.
    chunk_rows
        Images of a block: what is encoded, committed and resumed as one.
    retry_rejected
        Write anew the blocks in which images were rejected, in case these can be read now.
    workers
        Where blocks are encoded. In this process, its threads decode ahead of the encoder; on a cluster, a
        block is a task, for which the worker reads the images itself.

    Raises
    ------
    UsageError
        If the encoder gives no finite number for a probe batch of good images, or the store was begun with
        other images, another encoder or other parameters; or if not even one of the first images exists.
    StoreError
        If the store is damaged.
    """
    _probe(encoder, source)
    schema = _schema(encoder, source, chunk_rows, compression)
    store = create_store(location, schema, _provenance(encoder, source, noise))
    if retry_rejected:
        retract_blocks(location, _blocks_with_rejects(store, executor, progress))
    committed = store.committed()
    missing = np.flatnonzero(~committed).tolist()
    rows = [len(store.schema.rows(block)) for block in range(store.schema.blocks)]
    done = sum(rows[block] for block in np.flatnonzero(committed))
    work = _Encoding(encoder, source, store, noise)
    with progress.task("encode", total=len(source), unit="images", done=done) as advance:
        if isinstance(executor, ThreadedExecutor):
            reasons = _encode_here(work, missing, executor.count, advance)
        else:
            found = executor.run_tasks(
                work, missing, describe=naming(store), report=advance, accelerated=True
            )
            reasons = {row: reason for part in found for row, reason in part.items()}
    written = sum(rows[block] for block in missing)
    return summarise(store, written, reasons, executor=executor, progress=progress)


def open_source(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    *,
    root: str | AnyPath | None = None,
    pixel_limit: int | None = None,
) -> ImageSource:
    """Open images of any kind that `open_images` knows, or a Zarr array of them.

    Raises
    ------
    UsageError
        If there are no images.
    """
    if is_zarr(location):
        if root is not None or pixel_limit is not None:
            raise UsageError(f"{location} is an array: leave out --root and --pixel-limit")
        return open_array_source(location, preprocessing)
    return open_images(location, preprocessing, root=root, pixel_limit=pixel_limit or PIXEL_LIMIT)


def chosen_preprocessing(encoder: Encoder, options: Mapping[str, Any], *, override: bool) -> Preprocessing:
    """Give the preprocessing of an encoder's training, changed by `options` where that is asked for.

    Raises
    ------
    UsageError
        If `options` differ from what the encoder was trained with, and `override` is not set.
    """
    own = encoder.default_preprocessing
    chosen = Preprocessing.model_validate({**own.model_dump(), **options})
    if encoder.preprocessing is not None and chosen != own and not override:
        changed = [name for name in options if getattr(chosen, name) != getattr(own, name)]
        raise UsageError(
            f"encoder {encoder.name} was trained with "
            + ", ".join(f"{name} = {getattr(own, name)}" for name in changed)
            + "; leave the option out, or give --override-preprocessing to encode otherwise all the same"
        )
    return chosen


def _probe(encoder: Encoder, source: ImageSource) -> None:
    """Try the encoder on the first images, before anything is written."""
    probe = source.read(0, min(PROBE_ROWS, len(source)))
    encoder.probe(probe.values[probe.status == Status.GOOD])
    if (probe.status == Status.MISSING).all():
        raise UsageError(
            f"none of the first {len(probe.status)} images exists ({source.paths[0]}, ...); "
            "name the folder that their paths are relative to, with --root"
        )


def _provenance(encoder: Encoder, source: ImageSource, noise: Noise) -> dict[str, Any]:
    return {
        "encoder": {
            "name": encoder.name,
            "sha256": encoder.sha256,
            "outputs": dict(zip(encoder.outputs, encoder.positions, strict=True)),
        },
        "source": source.describe(),
        "preprocessing": encoder.default_preprocessing.model_dump(mode="json"),
        "seed": noise.seed,
        "epsilon_limit": noise.limit,
        "epsilon_factor": noise.factor,
        "versions": {**encoder.versions, "zarr": version("zarr"), "pillow": version("pillow")},
    }


def _blocks_with_rejects(store: LatentStore, executor: Executor, progress: Progress) -> list[int]:
    digests = store.digests()

    def rejected(block: int) -> list[int]:
        status = store.read_block(block, ("status",), digests[block])["status"]
        return [block] if status.any() else []

    written = np.flatnonzero(digests.any(axis=(1, 2))).tolist()
    if not written:
        return []
    return map_reduce(
        *(written, rejected, list.__add__),
        label="look for rejected images",
        describe=naming(store),
        executor=executor,
        progress=progress,
    )


def _schema(encoder: Encoder, source: ImageSource, chunk_rows: int, compression: Compression) -> Schema:
    return Schema(
        images=len(source),
        components=encoder.components,
        latents=("mu", "logvar", "z") if "logvar" in encoder.outputs else ("z",),
        chunk_rows=chunk_rows,
        labels=source.attributes.labels if source.attributes is not None else (),
        split=source.split is not None,
        compression=compression,
    )


@dataclass(frozen=True)
class _Encoding:
    """How a block comes about; a task too, which encodes one block in one thread."""

    encoder: Encoder
    source: ImageSource
    store: LatentStore
    noise: Noise

    def __call__(self, block: int, control: Control) -> dict[int, str]:
        """Write a block, and say why images of it were rejected, by row."""
        rows = self.store.schema.rows(block)
        if self.store.read_digests(block).any():  # by a worker that was lost before it could say so
            control.advance(len(rows))
            return {}
        batches = ([self.source.read(part.start, part.stop)] for part in self.batches(block))

        def advance(images: int) -> None:
            control.advance(images)
            if control.stopped():
                raise Stopped

        encoded = self.encode(block, batches, advance)
        if control.stopped():  # another worker may have been given the block meanwhile
            raise Stopped
        self.finish(block, encoded.values)
        return encoded.reasons

    def batches(self, block: int) -> Iterator[range]:
        """Give the images of each batch of a block."""
        rows = self.store.schema.rows(block)
        for first in range(rows.start, rows.stop, self.encoder.batch_size):
            yield range(first, min(first + self.encoder.batch_size, rows.stop))

    def encode(
        self, block: int, batches: Iterator[list[Pixels]], advance: Callable[[int], object]
    ) -> _Encoded:
        """Encode the next batches, which are those of the block; rejected images become rows of NaN."""
        rows = self.store.schema.rows(block)
        shape = (len(rows), self.encoder.components)
        encoded = _Encoded({name: np.empty(shape, np.float32) for name in self.encoder.outputs})
        encoded.values["status"] = np.empty(len(rows), np.uint8)
        for images in self.batches(block):
            pieces = next(batches)
            start = images.start
            for piece in pieces:
                encoded.reasons.update({start + row: reason for row, reason in piece.reasons.items()})
                start += len(piece.status)
            place = slice(images.start - rows.start, images.stop - rows.start)
            for name, array in self.encoder(np.concatenate([piece.values for piece in pieces])).items():
                encoded.values[name][place] = array
            encoded.values["status"][place] = np.concatenate([piece.status for piece in pieces])
            advance(len(images))
        return encoded

    def finish(self, block: int, values: dict[str, NDArray[Any]]) -> None:
        """Draw z, mark what is not finite, and commit the block."""
        rows, noise, source = self.store.schema.rows(block), self.noise, self.source
        place = slice(rows.start, rows.stop)
        if "logvar" in values:
            drawn = epsilon(noise.seed, rows.start, rows.stop, self.store.schema.components, noise.limit)
            values["z"] = z_points(values["mu"], values["logvar"], drawn, noise.factor)
        reject_not_finite(values)
        values["path"] = np.array(source.paths[place], dtype=object)
        if source.split is not None:
            values["split"] = source.split[place]
        if source.attributes is not None:
            values["attribute"] = source.attributes.values[place]
        write_block(self.store, block, values)


@dataclass(frozen=True)
class _Encoded:
    """The arrays of a block by name, and why images were rejected, by row."""

    values: dict[str, NDArray[Any]]
    reasons: dict[int, str] = field(default_factory=dict)


def _encode_here(work: _Encoding, blocks: Sequence[int], threads: int, advance: Advance) -> dict[int, str]:
    """Encode blocks one after another, while threads decode what comes next and write what came before."""
    reasons: dict[int, str] = {}
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
    ):
        written: Future[None] | None = None
        batches = _decoded(work.source, (images for block in blocks for images in work.batches(block)), pool)
        for block in blocks:
            encoded = work.encode(block, batches, advance)
            reasons |= encoded.reasons
            if written is not None:
                written.result()
            written = writer.submit(work.finish, block, encoded.values)
        if written is not None:
            written.result()
    return reasons


def _decoded(
    source: ImageSource, batches: Iterable[range], pool: ThreadPoolExecutor
) -> Iterator[list[Pixels]]:
    """Decode batch after batch of images, a few of them ahead of whoever iterates."""
    waiting = (
        [
            pool.submit(source.read, start, min(start + PIECE_ROWS, images.stop))
            for start in range(images.start, images.stop, PIECE_ROWS)
        ]
        for images in batches
    )
    ahead = list(islice(waiting, DECODED_AHEAD))
    while ahead:
        yield [piece.result() for piece in ahead.pop(0)]
        ahead.extend(islice(waiting, 1))
