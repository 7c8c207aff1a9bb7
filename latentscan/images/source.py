"""An ordered source of images: row i is image i for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

PIXEL_LIMIT = 64_000_000  # images of more pixels are rejected before any is decoded, by default


class Status(IntEnum):
    """Why an image's row is NaN; stored in the array `status`."""

    GOOD = 0
    MISSING = 1  # the file vanished
    UNREADABLE = 2  # the file cannot be read (permissions, I/O error)
    EMPTY = 3  # zero bytes
    NOT_AN_IMAGE = 4  # no format that is accepted
    DAMAGED = 5  # truncated or corrupt
    TOO_LARGE = 6  # more pixels in its header than the limit
    UNSUPPORTED = 7  # a pixel format with no rule, or the wrong shape
    NOT_FINITE = 8  # the encoder gave NaN or infinity for it


class ImageRejectedError(Exception):
    """One image that cannot become a row; `status` and `reason` say why."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageRejectedError], tuple[Status, str]]:
        return type(self), (self.status, self.reason)


@dataclass(frozen=True)
class Pixels:
    """Decoded rows of a source: `values` (n, size, size, 3) uint8, `status` (n,) uint8.

    A rejected row is zero in `values`; `reasons` says why, by position in this batch.
    """

    values: NDArray[np.uint8]
    status: NDArray[np.uint8]
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attributes:
    """What is known of the images: `values` (n, labels) int8, one column per name in `labels`."""

    labels: tuple[str, ...]
    values: NDArray[np.int8]


class ImageSource(Protocol):
    """Images in an order that never changes."""

    @property
    def paths(self) -> Sequence[str]:
        """The relative path or key of every image."""

    @property
    def split(self) -> NDArray[np.int8] | None:
        """The partition of every image (n,): 0 train, 1 valid, 2 test, -1 unknown; None if not known."""

    @property
    def attributes(self) -> Attributes | None:
        """The labels of every image, where they are known."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a line of how it was opened: files that were passed over, columns that were chosen."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Pixels:
        """Decode the rows start..stop; safe to call from several threads at once."""

    def take(self, rows: Sequence[int]) -> Pixels:
        """Decode the given rows in the given order; safe to call from several threads at once."""

    def describe(self) -> dict[str, Any]:
        """Return what the store records of this source: kind, name, number of images, sha256 of all paths."""
