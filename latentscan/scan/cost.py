"""The cost of a pass over a store, known before it runs: tasks, bytes read, and the memory of a task.

All of it follows from the schema of a store, the parameters, and the number of workers, as if every image
were good. The bytes are those of the rows that tasks read; what lies around them on disk is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.execution.executor import FAN_IN
from latentscan.kernels.reduction import Footprint
from latentscan.kernels.tiles import tile_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from latentscan.store.schema import Schema

STATUS_BYTES = 1  # of an image
SMALL_BYTES = 1 << 16  # of any task


@dataclass(frozen=True)
class Cost:
    """What some work costs.

    Parameters
    ----------
    tasks
        How many there are.
    bytes_read
        Bytes that they read from stores, in all.
    task_bytes
        Bytes of memory that the largest of them takes, beside the libraries.
    """

    tasks: int = 0
    bytes_read: int = 0
    task_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Return what both cost, one after the other."""
        return Cost(
            self.tasks + other.tasks,
            self.bytes_read + other.bytes_read,
            max(self.task_bytes, other.task_bytes),
        )


def in_turn(parts: Iterable[Cost]) -> Cost:
    """Return what several pieces of work cost, one after another."""
    return sum(parts, start=Cost())


def merges(leaves: int) -> int:
    """Count the tasks that merge the partials of so many tasks.

    Examples
    --------
    >>> merges(1), merges(4), merges(17)
    (0, 1, 8)
    """
    count = 0
    while leaves > 1:
        leaves = -(-leaves // FAN_IN)
        count += leaves
    return count


def latent_bytes(schema: Schema, rows: int, arrays: Iterable[str] = ("z",)) -> int:
    """Return the bytes of so many rows of those of some arrays that a store has."""
    return rows * schema.components * 4 * len(set(arrays) & set(schema.latents))


def one_pass(schema: Schema, arrays: Iterable[str], footprint: Footprint = Footprint()) -> Cost:  # noqa: B008 (frozen)
    """Return the cost of a reduction over all blocks.

    Parameters
    ----------
    schema
        What the store holds.
    arrays
        The arrays that are read, beside `status`.
    footprint
        The memory that a task takes.
    """
    rows = min(schema.chunk_rows, schema.images)
    block = latent_bytes(schema, rows, arrays) + rows * 16  # the numbers of the images, and their status
    tile = min(tile_rows(schema.components), rows) * schema.components * 8  # float64
    return Cost(
        schema.blocks + merges(schema.blocks),
        latent_bytes(schema, schema.images, arrays) + schema.images * STATUS_BYTES,
        SMALL_BYTES
        + max(
            int(footprint.copies * block) + footprint.tiles * tile + footprint.task_bytes,
            2 * footprint.partial_bytes,
        ),
    )


def gathering(schema: Schema, rows: int, array: str) -> Cost:
    """Return the cost of reading so many rows of a random sample, whose blocks are read in full."""
    rows = min(rows, schema.images)
    block_rows = min(schema.chunk_rows, schema.images)
    untouched = (1 - block_rows / schema.images) ** rows
    blocks = max(1, round(schema.blocks * (1 - untouched)))
    read = schema.images if blocks == schema.blocks else blocks * block_rows
    return Cost(blocks, latent_bytes(schema, read, (array,)), 2 * latent_bytes(schema, block_rows, (array,)))


def ranges(schema: Schema, length: int, arrays: Iterable[str], *, row_bytes: int = 0) -> Cost:
    """Return the cost of reading ranges of images of a length, with all of the blocks that they touch.

    A task reads one range; `row_bytes` are read of each image beside the arrays and its status.
    """
    count = -(-schema.images // length)
    ends = [min((number + 1) * length, schema.images) for number in range(count)]
    each = latent_bytes(schema, 1, arrays) + STATUS_BYTES + row_bytes
    starts = range(0, schema.images, length)
    if length % schema.chunk_rows == 0:
        read = schema.images
    else:
        blocks = (
            range(start // schema.chunk_rows, -(-end // schema.chunk_rows))
            for start, end in zip(starts, ends, strict=True)
        )
        read = sum(schema.rows(part[-1]).stop - schema.rows(part[0]).start for part in blocks)
    rows = min(max(length, schema.chunk_rows), schema.images)
    return Cost(count, read * each, 3 * rows * each)
