"""images -> encoder -> store: the one job that writes latents of images."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError
from latentscan.images.arrays import ArraySource
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import PIXEL_LIMIT, Pixels, Status
from latentscan.images.sources import open_images
from latentscan.kernels.epsilon import epsilon, z_points
from latentscan.processors import processors
from latentscan.progress import SILENT
from latentscan.store.image_array import open_image_array
from latentscan.store.schema import DEFAULT_CHUNK_ROWS, Compression, Schema
from latentscan.store.summary import Summary, summarise
from latentscan.store.writer import create_store, reject_not_finite, retract_blocks, write_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.source import ImageSource
    from latentscan.models.encoder import Encoder
    from latentscan.progress import Progress
    from latentscan.store.latent_store import LatentStore

DECODED_AHEAD = 3  # batches decoded or being decoded while the encoder works on one
PROBE_ROWS = 16  # images with which an encoder is tried before anything is written
PIECE_ROWS = 32  # images that a decoding thread takes at a time


@dataclass(frozen=True)
class Noise:
    """How z is drawn from mu and logvar: the seed, the limit of |epsilon|, and the factor on epsilon."""

    seed: int = 0
    limit: float = 5.0
    factor: float = 1.0


def encode(
    encoder: Encoder,
    source: ImageSource,
    location: str,
    *,
    noise: Noise,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    retry_rejected: bool = False,
    threads: int | None = None,
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
    threads
        Threads that decode; as many as there are processors if None.

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
        retract_blocks(location, _blocks_with_rejects(store))
    committed = store.committed()
    missing = np.flatnonzero(~committed).tolist()
    rows = [len(store.schema.rows(block)) for block in range(store.schema.blocks)]
    reasons: dict[int, str] = {}
    done = sum(rows[block] for block in np.flatnonzero(committed))
    with (
        progress.task("encode", total=len(source), unit="images", done=done) as advance,
        ThreadPoolExecutor(threads or processors(), thread_name_prefix="decode") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
    ):
        written: Future[None] | None = None
        batches = _decoded(source, [store.schema.rows(block) for block in missing], encoder.batch_size, pool)
        for block in missing:
            values = _encode_block(encoder, store.schema.rows(block), batches, reasons, advance)
            if written is not None:
                written.result()
            written = writer.submit(_finish_block, store, block, values, source, noise)
        if written is not None:
            written.result()
    return summarise(store, sum(rows[block] for block in missing), reasons)


def open_source(
    location: Path, preprocessing: Preprocessing, *, root: Path | None = None, pixel_limit: int | None = None
) -> ImageSource:
    """Open images of any kind that `open_images` knows, or a Zarr array of them.

    Raises
    ------
    UsageError
        If there are no images.
    """
    if (location / "zarr.json").exists() or (location / ".zarray").exists():
        if root is not None or pixel_limit is not None:
            raise UsageError(f"{location} is an array: leave out --root and --pixel-limit")
        return ArraySource(open_image_array(location), location.name, preprocessing)
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


def _blocks_with_rejects(store: LatentStore) -> list[int]:
    digests = store.digests()
    written = np.flatnonzero(digests.any(axis=(1, 2))).tolist()
    return [
        block for block in written if store.read_block(block, ("status",), digests[block])["status"].any()
    ]


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


def _decoded(
    source: ImageSource, ranges: Iterable[range], batch_rows: int, pool: ThreadPoolExecutor
) -> Iterator[list[Future[Pixels]]]:
    """Decode batch after batch of the ranges of images, a few of them ahead of whoever iterates."""
    waiting = (
        [
            pool.submit(source.read, start, min(start + PIECE_ROWS, stop))
            for start in range(first, stop, PIECE_ROWS)
        ]
        for rows in ranges
        for first in range(rows.start, rows.stop, batch_rows)
        for stop in (min(first + batch_rows, rows.stop),)
    )
    ahead = list(islice(waiting, DECODED_AHEAD))
    while ahead:
        yield ahead.pop(0)
        ahead.extend(islice(waiting, 1))


def _encode_block(
    encoder: Encoder,
    rows: range,
    batches: Iterator[list[Future[Pixels]]],
    reasons: dict[int, str],
    advance: Any,
) -> dict[str, NDArray[Any]]:
    """Encode the next batches, which are those of one block; rejected images become rows of NaN."""
    block: dict[str, NDArray[Any]] = {
        name: np.empty((len(rows), encoder.components), np.float32) for name in encoder.outputs
    }
    block["status"] = np.empty(len(rows), np.uint8)
    for first in range(0, len(rows), encoder.batch_size):
        pieces = [future.result() for future in next(batches)]
        start = rows.start + first
        for piece in pieces:
            reasons.update({start + row: reason for row, reason in piece.reasons.items()})
            start += len(piece.status)
        status = np.concatenate([piece.status for piece in pieces])
        latents = encoder(np.concatenate([piece.values for piece in pieces]))
        place = slice(first, first + len(status))
        for name, array in latents.items():
            block[name][place] = array
        block["status"][place] = status
        advance(len(status))
    return block


def _finish_block(
    store: LatentStore,
    block: int,
    values: dict[str, NDArray[Any]],
    source: ImageSource,
    noise: Noise,
) -> None:
    """Draw z, mark what is not finite, and commit the block."""
    rows = store.schema.rows(block)
    place = slice(rows.start, rows.stop)
    if "logvar" in values:
        drawn = epsilon(noise.seed, rows.start, rows.stop, store.schema.components, noise.limit)
        values["z"] = z_points(values["mu"], values["logvar"], drawn, noise.factor)
    reject_not_finite(values)
    values["path"] = np.array(source.paths[place], dtype=object)
    if source.split is not None:
        values["split"] = source.split[place]
    if source.attributes is not None:
        values["attribute"] = source.attributes.values[place]
    write_block(store, block, values)
