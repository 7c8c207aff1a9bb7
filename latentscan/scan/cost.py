"""The cost of a pass over a store, known before it runs: tasks, bytes read, and the memory of a task.

All of it follows from the schema of a store, the parameters, and the number of workers, as if every image
were good. The bytes are those of the rows that tasks read; what is around them on disk is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from latentscan.execution.executor import FAN_IN
from latentscan.kernels.tiles import tile_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from latentscan.store.schema import Schema

STATUS_BYTES = 1  # of an image
SMALL_BYTES = 1 << 16  # of any task
PATH_BYTES = 64  # of an image, in memory: a guess


@dataclass(frozen=True)
class Cost:
    """What some work costs.

    Parameters
    ----------
    tasks
        How many there are.
    bytes_read
        What they read from stores, in all.
    task_bytes
        The memory that the largest of them takes, beside the libraries.
    needs
        Other analyses whose results it takes, by name and parameters; they are not counted here.
    """

    tasks: int = 0
    bytes_read: int = 0
    task_bytes: int = 0
    needs: tuple[tuple[str, BaseModel], ...] = ()

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of both, one after the other."""
        needs = dict.fromkeys((*self.needs, *other.needs))
        return Cost(
            self.tasks + other.tasks,
            self.bytes_read + other.bytes_read,
            max(self.task_bytes, other.task_bytes),
            tuple(needs),
        )

    def needing(self, *needs: tuple[str, BaseModel]) -> Cost:
        """Return the same cost with other analyses that the work needs."""
        return replace(self, needs=needs)


def in_turn(parts: Iterable[Cost]) -> Cost:
    """Return the cost of several pieces of work, one after another."""
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
    """Return the bytes of so many rows of some arrays; those that a store lacks count nothing."""
    return rows * schema.components * 4 * len(set(arrays) & set(schema.latents))


def one_pass(
    schema: Schema,
    arrays: Iterable[str],
    *,
    copies: float = 2.0,
    tiles: int = 1,
    partial_bytes: int = 0,
    task_bytes: int = 0,
) -> Cost:
    """Return the cost of a reduction over all blocks.

    Parameters
    ----------
    schema
        That of the store.
    arrays
        The arrays that are read, beside `status`.
    copies
        How often a task holds its block: as it is read, and what is made of it.
    tiles
        How many pieces of it, in float64, a task holds besides.
    partial_bytes
        The size of the largest partial; a task that merges holds two, beside those it is given.
    task_bytes
        What a task holds besides.
    """
    rows = min(schema.chunk_rows, schema.images)
    block = latent_bytes(schema, rows, arrays) + rows * 16  # the numbers of the images, and their status
    tile = min(tile_rows(schema.components), rows) * schema.components * 8  # float64
    return Cost(
        schema.blocks + merges(schema.blocks),
        latent_bytes(schema, schema.images, arrays) + schema.images * STATUS_BYTES,
        SMALL_BYTES + max(int(copies * block) + tiles * tile + task_bytes, 2 * partial_bytes),
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
    """Return the cost of reading ranges of images, a task a range, with all of the blocks that they touch.

    Parameters
    ----------
    schema
        That of the store.
    length
        Images of a range.
    arrays
        The arrays that are read, beside `status`.
    row_bytes
        What is read of each image besides.
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
