"""What came of writing a store: how many rows, and which were rejected, why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from latentscan.images.source import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.store.latent_store import LatentStore

NAMED_REJECTS = 10  # rejected images that a summary names


@dataclass(frozen=True)
class Summary:
    """What came of writing a store.

    Parameters
    ----------
    images
        Images in the store.
    written
        Images written by this run; the others were there already.
    rejected
        How many images were rejected, by status.
    named
        Path and reason of the first of them.
    """

    images: int
    written: int
    rejected: Mapping[Status, int] = field(default_factory=Counter)
    named: tuple[tuple[str, str], ...] = ()


def summarise(store: LatentStore, written: int, reasons: Mapping[int, str]) -> Summary:
    """Count the rejected rows of a complete store; `reasons` says more than the status for some of them.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    counts: Counter[Status] = Counter()
    named: list[tuple[str, str]] = []
    for block, digests in enumerate(store.digests()):
        status = store.read_block(block, ("status",), digests)["status"]
        rejected = np.flatnonzero(status).tolist()
        counts.update(Status(status[row]) for row in rejected)
        if rejected and len(named) < NAMED_REJECTS:
            paths = store.read_block(block, ("path",), digests)["path"]
            start = store.schema.rows(block).start
            named += [
                (str(paths[row]), reasons.get(start + row, describe(Status(status[row]))))
                for row in rejected[: NAMED_REJECTS - len(named)]
            ]
    return Summary(store.schema.images, written, counts, tuple(named))


def describe(status: Status) -> str:
    """Say a status in words."""
    return status.name.lower().replace("_", " ")
