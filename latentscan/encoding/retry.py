"""Rejected images of a store, read again: what can be encoded now gets its rows, and no other row changes.

A row that has latents is left as it is, whether or not its image can be read any more: the store may hold
the only copy of it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.pipeline import decode_ahead, encode_block, finish_rows
from latentscan.images.source import Status
from latentscan.store.rewrite import replace_block

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.encoding.pipeline import Target
    from latentscan.execution.executor import Control
    from latentscan.images.source import ImageSource


@dataclass(frozen=True)
class Retried:
    """What came of reading rejected images again.

    Parameters
    ----------
    images
        How many were read again.
    recovered
        How many of them have latents now.
    reasons
        Why the others were rejected, by row.
    """

    images: int
    recovered: int
    reasons: Mapping[int, str]


@dataclass(frozen=True)
class RetryTask:
    """A task that reads the rejected images of a block again, and writes the rows of those it can encode.

    Parameters
    ----------
    target
        What encodes, and where the rows are.
    source
        The images.
    threads
        How many threads decode.
    """

    target: Target
    source: ImageSource
    threads: int = 1

    def __call__(self, block: int, control: Control) -> Retried:
        """Try the rejected rows of a block; again where another process writes the block meanwhile."""
        store = self.target.store
        while True:
            digests = store.read_digests(block)
            held = store.read_block(block, store.schema.names, digests)
            positions = np.flatnonzero(held["status"])
            if not len(positions):
                return Retried(0, 0, {})
            found, reasons = self._encode(block, positions, control)
            status = found["status"]
            done = Retried(len(positions), int((status == Status.GOOD).sum()), reasons)
            if np.array_equal(status, held["status"][positions]):
                return done
            if replace_block(store, block, _with_rows(held, positions, found), digests):
                return done

    def _encode(
        self, block: int, positions: NDArray[np.int64], control: Control
    ) -> tuple[dict[str, NDArray[Any]], Mapping[int, str]]:
        encoder = self.target.encoder
        rows, size = self.target.store.schema.rows(block), encoder.batch_size
        chosen: Sequence[int] = (rows.start + positions).tolist()
        batches = ((block, chosen[start : start + size]) for start in range(0, len(chosen), size))
        with closing(decode_ahead(self.source, batches, self.threads)) as decoded:
            encoded = encode_block(encoder, block, decoded, control)
        return finish_rows(encoded, rows, positions, self.target.noise), encoded.reasons


def _with_rows(
    held: Mapping[str, NDArray[Any]], positions: NDArray[np.int64], found: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a block with some rows replaced."""
    arrays = {name: values.copy() for name, values in held.items()}
    for name, values in found.items():
        arrays[name][positions] = values
    return arrays
