"""An ordered source of images: row i is image i for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Kind = Literal["binary", "integer", "float", "text"]  # of an attribute
DTYPES: dict[Kind, Any] = {"binary": np.int8, "integer": np.int64, "float": np.float64, "text": object}
MISSING: dict[Kind, Any] = {"binary": 0, "integer": -(2**63), "float": np.nan, "text": ""}

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
    """Decoded rows of a source: `values` (n, height, width, channels), `status` (n,) uint8.

    Values are bytes, or float32 where the source has more than 8 bits: there 1 is what 255 is of bytes. A
    rejected row is zero in `values`; `reasons` says why, by position in this batch.
    """

    values: NDArray[Any]
    status: NDArray[np.uint8]
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attribute:
    """One thing that is known of the images.

    Parameters
    ----------
    label
        Its name.
    kind
        Of its values: binary ones are 1 and -1.
    values
        (image,), of the type that `DTYPES` has for the kind; where unknown, what `MISSING` has for it.
    categories
        The texts that occur, in order, where they are few and come again and again; else empty.
    """

    label: str
    kind: Kind
    values: NDArray[Any]
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attributes:
    """What is known of the images, one column a label."""

    columns: tuple[Attribute, ...]

    @classmethod
    def binary(cls, labels: Sequence[str], values: NDArray[np.int8]) -> Self:
        """Return binary attributes, whose values are (image, label): 1, -1, or 0 where unknown."""
        named = zip(labels, values.T, strict=True)
        return cls(tuple(Attribute(label, "binary", column) for label, column in named))

    def labels(self, kind: Kind) -> tuple[str, ...]:
        """Return the labels of the attributes of a kind."""
        return tuple(column.label for column in self.columns if column.kind == kind)

    def values(self, kind: Kind, rows: slice = slice(None)) -> NDArray[Any]:
        """Return the values of all attributes of a kind, (image, label)."""
        return np.stack([column.values[rows] for column in self.columns if column.kind == kind], axis=1)

    def of_rows(self, rows: slice) -> dict[Kind, NDArray[Any]]:
        """Return the values of some images, (image, label) by kind."""
        return {kind: self.values(kind, rows) for kind in DTYPES if self.labels(kind)}

    @property
    def categories(self) -> dict[str, list[str]]:
        """The texts that occur, by the label of each categorical attribute."""
        return {column.label: list(column.categories) for column in self.columns if column.categories}


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
        """What is known of every image."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a line: files that were passed over, columns that were chosen."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Pixels:
        """Decode the rows start..stop; safe to call from several threads at once."""

    def take(self, rows: Sequence[int]) -> Pixels:
        """Decode the given rows in the given order; safe to call from several threads at once."""

    def describe(self) -> dict[str, Any]:
        """Return what the store records of this source: kind, name, number of images, sha256 of all paths."""
