"""Blocks of a store from images: decode -> encode -> finish (z, rejected rows, paths, labels) -> write.

The stages overlap: threads decode the next batches, across the borders of blocks too, while the encoder
works on one, and the block before is being written meanwhile.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.execution.executor import Stopped
from latentscan.kernels.epsilon import epsilon, z_points
from latentscan.store.schema import ATTRIBUTE_ARRAYS
from latentscan.store.writer import reject_not_finite, write_block

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.encoding.parameters import Noise
    from latentscan.execution.executor import Control
    from latentscan.images.source import ImageSource, Pixels
    from latentscan.models.encoder import Encoder
    from latentscan.store.reader import LatentStore

DECODED_AHEAD = 3  # batches decoded or being decoded while the encoder works on one
PIECE_ROWS = 32  # images that one of several decoding threads takes at a time


@dataclass(frozen=True)
class Batch:
    """Decoded images that are encoded together.

    Parameters
    ----------
    block
        The block of the store that they belong to.
    rows
        Their row numbers.
    pieces
        Their pixels, in the pieces that threads decoded.
    """

    block: int
    rows: Sequence[int]
    pieces: Sequence[Pixels]

    @property
    def values(self) -> NDArray[np.uint8]:
        """The pixels, (image, size, size, 3)."""
        return np.concatenate([piece.values for piece in self.pieces])

    @property
    def status(self) -> NDArray[np.uint8]:
        """Why images were rejected, (image,); 0 of those that were not."""
        return np.concatenate([piece.status for piece in self.pieces])

    @property
    def reasons(self) -> dict[int, str]:
        """Why images were rejected in words, by row."""
        found: dict[int, str] = {}
        start = 0
        for piece in self.pieces:
            found |= {self.rows[start + position]: reason for position, reason in piece.reasons.items()}
            start += len(piece.status)
        return found


@dataclass(frozen=True)
class EncodedBlock:
    """The arrays of a block on their way into the store.

    Parameters
    ----------
    block
        The number of the block.
    arrays
        By name, each with the images of the block along its first axis.
    reasons
        Why images were rejected in words, by row.
    """

    block: int
    arrays: Mapping[str, NDArray[Any]]
    reasons: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodingTask:
    """A task that writes blocks, one after another, and returns why images were rejected, by row.

    Parameters
    ----------
    encoder, source, store
        What encodes, the images, and where the blocks go.
    noise
        How z is sampled.
    threads
        How many threads decode.
    """

    encoder: Encoder
    source: ImageSource
    store: LatentStore
    noise: Noise
    threads: int = 1

    def __call__(self, blocks: Sequence[int], control: Control) -> dict[int, str]:
        """Write blocks; those that others commit meanwhile are left as they are."""
        reasons: dict[int, str] = {}
        with (
            closing(self._decoded(self._missing(blocks, control))) as batches,
            ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
        ):
            written: Future[None] | None = None
            for block, own in groupby(batches, attrgetter("block")):
                encoded = encode_block(self.encoder, block, own, control)
                reasons |= encoded.reasons
                if written is not None:
                    written.result()
                written = writer.submit(self._write, encoded)
            if written is not None:
                written.result()
        return reasons

    def _missing(self, blocks: Sequence[int], control: Control) -> Iterator[int]:
        """Leave out blocks that a worker has written which was lost before it could say so."""
        for block in blocks:
            if self.store.read_digests(block).any():
                control.advance(len(self.store.schema.rows(block)))
            else:
                yield block

    def _decoded(self, blocks: Iterable[int]) -> Generator[Batch]:
        schema, size = self.store.schema, self.encoder.batch_size
        batches = (
            (block, range(start, min(start + size, schema.rows(block).stop)))
            for block in blocks
            for start in schema.rows(block)[::size]
        )
        return decode_ahead(self.source, batches, self.threads)

    def _write(self, encoded: EncodedBlock) -> None:
        if self.store.read_digests(encoded.block).any():  # by another, who may have read more of its images
            return
        finished = finish_block(
            encoded, self.store.schema.rows(encoded.block), source=self.source, noise=self.noise
        )
        write_block(self.store, finished.block, finished.arrays)


def decode_ahead(
    source: ImageSource, batches: Iterable[tuple[int, Sequence[int]]], threads: int
) -> Generator[Batch]:
    """Decode batches of images, `DECODED_AHEAD` of them ahead of whoever iterates.

    Parameters
    ----------
    source
        The images.
    batches
        The block and the row numbers of each batch.
    threads
        How many threads decode.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def decode(rows: Sequence[int]) -> Pixels:
        return source.read(rows.start, rows.stop) if isinstance(rows, range) else source.take(rows)

    def pieces_of(rows: Sequence[int]) -> list[Future[Pixels]]:
        step = PIECE_ROWS if threads > 1 else len(rows)
        return [pool.submit(decode, rows[start : start + step]) for start in range(0, len(rows), step)]

    waiting = ((block, rows, pieces_of(rows)) for block, rows in batches)
    try:
        ahead = list(islice(waiting, DECODED_AHEAD))
        while ahead:
            block, rows, pieces = ahead.pop(0)
            yield Batch(block, rows, [piece.result() for piece in pieces])
            ahead.extend(islice(waiting, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def encode_block(encoder: Encoder, block: int, batches: Iterable[Batch], control: Control) -> EncodedBlock:
    """Encode the images of a block.

    Parameters
    ----------
    encoder
        Gives (image, component) arrays for a batch of pixels.
    block
        The number of the block.
    batches
        All images of the block, in order.
    control
        Hears of each batch that is done.

    Raises
    ------
    Stopped
        If nobody waits for the block any more.
    """
    latents: dict[str, list[NDArray[np.float32]]] = {name: [] for name in encoder.outputs}
    status: list[NDArray[np.uint8]] = []
    reasons: dict[int, str] = {}
    for batch in batches:
        for name, values in encoder(batch.values).items():
            latents[name].append(values)
        status.append(batch.status)
        reasons |= batch.reasons
        control.advance(len(batch.rows))
        if control.stopped():  # another worker may have been given the block meanwhile
            raise Stopped
    arrays: dict[str, NDArray[Any]] = {name: np.concatenate(parts) for name, parts in latents.items()}
    return EncodedBlock(block, {**arrays, "status": np.concatenate(status)}, reasons)


def finish_block(encoded: EncodedBlock, rows: range, *, source: ImageSource, noise: Noise) -> EncodedBlock:
    """Return an encoded block with z, with rejected rows as NaN, and with what is known of its images.

    Parameters
    ----------
    encoded
        The outputs of the encoder and the status of the images; it stays as it is.
    rows
        The row numbers of the block.
    source
        Knows the paths of the images, and maybe their split and attributes.
    noise
        How z is sampled: ``z = mu + exp(logvar / 2) * epsilon * factor``.
    """
    arrays = finish_rows(encoded, rows, slice(None), noise)
    these = slice(rows.start, rows.stop)
    arrays["path"] = np.array(source.paths[these], dtype=object)
    if source.split is not None:
        arrays["split"] = source.split[these]
    if source.attributes is not None:
        known = source.attributes.of_rows(these)
        arrays |= {ATTRIBUTE_ARRAYS[kind]: values for kind, values in known.items()}
    return replace(encoded, arrays=arrays)


def finish_rows(
    encoded: EncodedBlock, rows: range, chosen: slice | NDArray[np.int64], noise: Noise
) -> dict[str, NDArray[Any]]:
    """Return encoded rows of a block with z, and with rejected rows as NaN.

    Parameters
    ----------
    encoded
        The outputs of the encoder and the status of these images; it stays as it is.
    rows
        The row numbers of the block.
    chosen
        Which of them were encoded.
    noise
        How z is sampled.
    """
    arrays = {name: values.copy() for name, values in encoded.arrays.items()}
    if "logvar" in arrays:
        components = arrays["mu"].shape[1]
        sampled = epsilon(noise.seed, rows.start, rows.stop, components, noise.limit)[chosen]
        arrays["z"] = z_points(arrays["mu"], arrays["logvar"], sampled, noise.factor)
    reject_not_finite(arrays)
    return arrays
