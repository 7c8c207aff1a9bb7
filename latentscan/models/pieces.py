"""Batches in pieces of a fixed number of rows, which threads run at once.

A library that shares out one run over its threads may sum in another order for another number of them, or
for another number of rows. Here a run has one thread and always as many rows: neither changes a bit.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Run = Callable[[NDArray[Any]], list[NDArray[np.float32]]]

MOST_PIXELS = 48 * 96 * 96  # of a piece: memory stays bounded where images are large


def in_pieces(run: Run, rows: int, *, parallel: bool) -> Run:
    """Return a function of any number of rows that runs another on pieces.

    Parameters
    ----------
    run
        Takes and gives `rows` rows.
    rows
        How many; the last piece is filled up with zeros.
    parallel
        Whether several pieces are run at once.
    """

    def one(piece: NDArray[Any]) -> list[NDArray[np.float32]]:
        if len(piece) == rows:
            return run(piece)
        filled = np.zeros((rows, *piece.shape[1:]), piece.dtype)
        filled[: len(piece)] = piece
        return [values[: len(piece)] for values in run(filled)]

    def whole(batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        pieces = [batch[start : start + rows] for start in range(0, len(batch), rows)]
        at_once = parallel and len(pieces) > 1
        found = _threads().map(one, pieces) if at_once else map(one, pieces)
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    return whole


def rows_together(run: Run, sizes: Sequence[int], shape: tuple[int, ...]) -> int:
    """Return how many images a piece has: as many as give an image the same bits at any place.

    Parameters
    ----------
    run
        Takes bytes (n, height, width, channels).
    sizes
        The numbers that are tried; one image alone has no other place.
    shape
        Height, width and channels.
    """
    most = MOST_PIXELS // (shape[0] * shape[1])
    for size in sizes:
        if size <= most:
            pixels = np.random.default_rng(1).integers(0, 256, (size, *shape), np.uint8)
            pairs = zip(run(pixels), run(pixels[::-1]), strict=True)
            if all(np.array_equal(one, other[::-1], equal_nan=True) for one, other in pairs):
                return size
    return 1


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads of this process for all networks: a worker's environment says how many are its."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    count = int(granted) if granted.isdigit() and int(granted) else processors()
    return ThreadPoolExecutor(min(count, processors()), thread_name_prefix="encode")
