"""Batches of pixels for training, decoded by threads ahead of the model."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from latentscan.errors import UsageError
from latentscan.images.source import Status
from latentscan.processors import processors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from latentscan.images.source import ImageSource

UNKNOWN = -1


@dataclass(frozen=True)
class Probe:
    """A fixed sample of the training images: the pixels of the good ones of every `step`-th."""

    step: int
    pixels: NDArray[np.uint8]


class Batches:
    """The training images of a source, by their position 0..len-1 in `rows`.

    Rejected images are left out of their batch; `rejected` collects them as path -> reason.

    Parameters
    ----------
    source
        The images.
    rows
        The row numbers of the training images.
    size
        The side of an image, pixels.
    cache_bytes
        Memory for decoded pixels; later epochs decode only what exceeds it.
    """

    def __init__(self, source: ImageSource, rows: NDArray[np.intp], size: int, cache_bytes: int) -> None:
        self._source = source
        self._rows = rows
        shape = (size, size, 3)
        self._cached = np.empty((min(len(rows), cache_bytes // int(np.prod(shape))), *shape), np.uint8)
        self._is_cached = np.zeros(len(rows), bool)
        self._status = np.full(len(rows), UNKNOWN, np.int16)
        self._workers = min(processors(), 8)
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        self.rejected: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def epoch(self, order: NDArray[np.intp], batch_size: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (positions taken, pixels of the good ones (n, size, size, 3)) in the given order."""
        waiting = deque(order[start : start + batch_size] for start in range(0, len(order), batch_size))
        ahead = deque(self._submit(waiting) for _ in range(min(self._workers + 1, len(waiting))))
        while ahead:
            count, future = ahead.popleft()
            pixels = future.result()
            if waiting:
                ahead.append(self._submit(waiting))
            yield count, pixels

    def probe(self, most: int) -> Probe:
        """Return a fixed sample, evenly spaced over the rows: all of them, or fewer than `most`.

        Raises
        ------
        UsageError
            If none of them can be used.
        """
        step = -(-len(self) // most)
        positions = np.arange(0, len(self), step)
        pixels = self.take(positions)
        if not len(pixels):
            path, reason = next(iter(self.rejected.items()))
            raise UsageError(
                f"no usable image: all {len(positions)} that were tried were rejected, "
                f"such as {path} ({reason}); expected images that can be decoded"
            )
        return Probe(step, pixels)

    def take(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the pixels of the good images among `positions`, in their order; safe in threads."""
        positions = positions[self._status[positions] <= Status.GOOD]
        values = np.empty((len(positions), *self._cached.shape[1:]), np.uint8)
        cached = self._is_cached[positions]
        values[cached] = self._cached[positions[cached]]
        if not cached.all():
            values[~cached] = self._decode(positions[~cached])
        good = self._status[positions] == Status.GOOD
        return values if good.all() else values[good]

    def _submit(self, waiting: deque[NDArray[np.intp]]) -> tuple[int, Future[NDArray[np.uint8]]]:
        positions = waiting.popleft()
        return len(positions), self._threads.submit(self.take, positions)

    def _decode(self, positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        pixels = self._source.take(self._rows[positions].tolist())
        if pixels.values.dtype != np.uint8:
            raise UsageError(
                "training takes images of 8 bits, got an array of floats or of 16 bits; convert it to uint8"
            )
        for at in np.flatnonzero(pixels.status):
            reason = pixels.reasons.get(int(at), Status(pixels.status[at]).name)
            self.rejected[self._source.paths[int(self._rows[positions[at]])]] = reason
        fits = (pixels.status == Status.GOOD) & (positions < len(self._cached))
        self._cached[positions[fits]] = pixels.values[fits]
        self._is_cached[positions[fits]] = True
        self._status[positions] = pixels.status
        return pixels.values
