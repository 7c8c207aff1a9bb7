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
    """Count the rejected rows of a complete store; `reasons` holds more than the status for some of them."""
    status = np.asarray(store.array("status")[:])
    counts = Counter(Status(code) for code in status[status != Status.GOOD].tolist())
    first = np.flatnonzero(status)[:NAMED_REJECTS].tolist()
    paths = store.array("path")
    named = tuple(
        (str(np.asarray(paths[row : row + 1])[0]), reasons.get(row, describe(Status(status[row]))))
        for row in first
    )
    return Summary(store.schema.images, written, counts, named)


def describe(status: Status) -> str:
    """Say a status in words."""
    return status.name.lower().replace("_", " ")
