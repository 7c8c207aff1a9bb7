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
AT_ONCE = 2  # encoders that work at once: one does not keep all processors busy
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
        """The pixels, (image, height, width, channels)."""
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
class Target:
    """What encodes, and where the rows go.

    Parameters
    ----------
    encoder
        The encoder.
    store
        Its store.
    noise
        How z is sampled.
    """

    encoder: Encoder
    store: LatentStore
    noise: Noise

    def lacks(self, block: int) -> bool:
        """Check whether a block is missing in the store."""
        return not self.store.read_digests(block).any()


@dataclass(frozen=True)
class EncodingTask:
    """A task that writes blocks, one after another, and returns why images were rejected, by row.

    Parameters
    ----------
    targets
        The encoders, and their stores, which have blocks of the same rows.
    source
        The images, decoded once for all of them.
    threads
        How many threads decode.
    """

    targets: Sequence[Target]
    source: ImageSource
    threads: int = 1

    def __call__(self, blocks: Sequence[int], control: Control) -> dict[int, str]:
        """Write blocks; those that others commit meanwhile are left as they are."""
        reasons: dict[int, str] = {}
        lacking: dict[int, list[Target]] = {}
        with (
            closing(self._decoded(self._missing(blocks, lacking, control))) as batches,
            ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
        ):
            written: Future[None] | None = None
            for block, own in groupby(batches, attrgetter("block")):
                targets = lacking.pop(block)
                encoders = [target.encoder for target in targets]
                encoded = encode_with_each(encoders, block, own, control, self.threads)
                reasons |= encoded[0].reasons
                if written is not None:
                    written.result()
                written = writer.submit(self._write, targets, encoded)
            if written is not None:
                written.result()
        return reasons

    def _missing(
        self, blocks: Sequence[int], lacking: dict[int, list[Target]], control: Control
    ) -> Iterator[int]:
        """Leave out blocks that a worker has written which was lost before it could say so."""
        for block in blocks:
            lacking[block] = [target for target in self.targets if target.lacks(block)]
            if lacking[block]:
                yield block
            else:
                control.advance(len(self.targets[0].store.schema.rows(block)))

    def _decoded(self, blocks: Iterable[int]) -> Generator[Batch]:
        schema = self.targets[0].store.schema
        size = max(target.encoder.batch_size for target in self.targets)
        batches = (
            (block, range(start, min(start + size, schema.rows(block).stop)))
            for block in blocks
            for start in schema.rows(block)[::size]
        )
        return decode_ahead(self.source, batches, self.threads)

    def _write(self, targets: Sequence[Target], encoded: Sequence[EncodedBlock]) -> None:
        for target, one in zip(targets, encoded, strict=True):
            if target.lacks(one.block):  # else written by another, who may have read more of its images
                rows = target.store.schema.rows(one.block)
                finished = finish_block(one, rows, source=self.source, noise=target.noise)
                write_block(target.store, finished.block, finished.arrays)


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
    """Encode the images of a block, as `encode_with_each` does with several encoders."""
    (encoded,) = encode_with_each((encoder,), block, batches, control)
    return encoded


def encode_with_each(
    encoders: Sequence[Encoder],
    block: int,
    batches: Iterable[Batch],
    control: Control,
    threads: int = 1,
) -> list[EncodedBlock]:
    """Encode the images of a block with each of some encoders.

    Parameters
    ----------
    encoders
        Each returns (image, component) arrays for a batch of pixels.
    block
        The number of the block.
    batches
        All images of the block, in order.
    control
        Hears of each batch that is done.
    threads
        How many encoders may work at once; more than `AT_ONCE` do not.

    Raises
    ------
    Stopped
        If nobody waits for the block any more.
    """
    fed = [_Fed(encoder) for encoder in encoders]
    status: list[NDArray[np.uint8]] = []
    reasons: dict[int, str] = {}
    with ThreadPoolExecutor(min(AT_ONCE, threads), thread_name_prefix="encode") as pool:
        for batch in batches:
            values = batch.values
            list(pool.map(lambda one, values=values: one.take(values), fed))
            status.append(batch.status)
            reasons |= batch.reasons
            control.advance(len(batch.rows))
            if control.stopped():  # another worker may have been given the block meanwhile
                raise Stopped
        outputs = list(pool.map(_Fed.arrays, fed))
    return [EncodedBlock(block, {**one, "status": np.concatenate(status)}, reasons) for one in outputs]


class _Fed:
    """Feeds an encoder batches of its own size, whatever the size of those that were decoded.

    So the rows of a store do not depend on which encoders work beside its own.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in encoder.outputs}
        self._held: list[NDArray[Any]] = []

    def take(self, pixels: NDArray[Any]) -> None:
        size = self._encoder.batch_size
        if self._held:
            pixels = np.concatenate([*self._held, pixels])
        full = len(pixels) - len(pixels) % size
        for start in range(0, full, size):
            self._encode(pixels[start : start + size])
        self._held = [pixels[full:]] if full < len(pixels) else []

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of all images."""
        for pixels in self._held:
            self._encode(pixels)
        self._held = []
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def _encode(self, pixels: NDArray[Any]) -> None:
        for name, values in self._encoder(pixels).items():
            self._parts[name].append(values)


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
