"""Tree reduction: a task a block, then partials merged in block order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from latentscan.errors import StoreError
from latentscan.execution.executor import default_label
from latentscan.kernels.reduction import Counts, LatentBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latentscan.execution.context import Execution
    from latentscan.kernels.reduction import Reduction
    from latentscan.scan.snapshot import Snapshot

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Counted(Generic[P]):
    """A partial, and how many rows were good and rejected on its way."""

    counts: Counts
    partial: P


def reduce_store(snapshot: Snapshot, reduction: Reduction[P, R], execution: Execution, *, label: str) -> R:
    """Run a reduction over all written blocks of a store.

    Every chunk that is read is verified against its digest. The shape of the tree depends on the number
    of blocks alone, so the result does not depend on the executor or on timing.

    Parameters
    ----------
    snapshot
        The store; arrays that it lacks are left out of the blocks that the reduction sees.
    reduction
        What is computed.
    execution
        Where blocks are worked on.
    label
        What progress is reported as.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged, or all images were rejected.
    """
    names = tuple(name for name in reduction.arrays if name in snapshot.schema.names)
    chunk, combine = reduction.chunk, reduction.combine

    def leaf(block: int) -> _Counted[P]:
        values = snapshot.read_block(block, (*names, "status"))
        status = values.pop("status")
        rows = LatentBlock.of_rows(snapshot.schema.rows(block).start, values, status)
        return _Counted(Counts(len(rows.images), rows.rejected), chunk(rows))

    def merge(one: _Counted[P], other: _Counted[P]) -> _Counted[P]:
        return _Counted(one.counts.merge(other.counts), combine(one.partial, other.partial))

    found = map_reduce(snapshot.blocks, leaf, merge, execution, label=label, describe=snapshot.label)
    if not found.counts.good:
        raise all_rejected(snapshot, found.counts.rejected)
    return reduction.finalize(found.partial, found.counts)


def map_reduce(
    items: Sequence[T],
    leaf: Callable[[T], P],
    combine: Callable[[P, P], P],
    execution: Execution,
    *,
    label: str,
    describe: Callable[[T], str] = default_label,
) -> P:
    """Apply `leaf` to every item, one at least, and merge the partials with `combine`, in their order.

    Parameters
    ----------
    items
        Blocks, or what else a task works on.
    leaf
        Turns an item into a partial.
    combine
        Merges the partials of neighbouring items; associative.
    execution
        Where items are worked on.
    label
        What progress is reported as.
    describe
        Names an item in the message of an error.
    """
    with execution.progress.task(label, total=len(items), unit="blocks") as advance:
        return execution.executor.map_reduce(
            leaf, combine, items, describe=describe, on_done=lambda: advance(1)
        )


def all_rejected(snapshot: Snapshot, images: int) -> StoreError:
    """Return the error of a store without a good image among those that are written."""
    return StoreError(
        f"{snapshot.location}: all {images} images were rejected, so there is nothing to analyse; "
        "the command that wrote the store names the reason of each"
    )
