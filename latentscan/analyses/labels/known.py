"""What is known of the images as numbers: a column for each attribute that has a meaning as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentscan.errors import UsageError, parameter
from latentscan.store.schema import ATTRIBUTE_ARRAYS, CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from latentscan.images.source import Kind
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.schema import Schema

    Floats = NDArray[np.float64]

Measure = Literal["binary", "continuous"]
MOST_CATEGORIES = 50  # of a text; more are names
TEXT_BYTES = 8  # of a text in an array, beside the text itself


@dataclass(frozen=True)
class Known:
    """An attribute as a number.

    Parameters
    ----------
    name
        Its label; of one category of a text, with that behind an equals sign.
    measure
        Whether it is yes or no, or a number.
    kind, column
        Where its values are in the store.
    category
        The text that is yes, where it is one of a text.
    """

    name: str
    measure: Measure
    kind: Kind
    column: int
    category: str = ""

    def values(self, arrays: Mapping[str, NDArray[Any]]) -> Floats:
        """Return its values (n,): 0 and 1, or numbers; NaN where it is not known."""
        raw = arrays[ATTRIBUTE_ARRAYS[self.kind]][:, self.column]
        if self.kind == "binary":
            return np.select([raw > 0, raw < 0], [1.0, 0.0], np.nan)
        if self.kind == "text":
            return np.where(raw == "", np.nan, (raw == self.category).astype(np.float64))
        exact = raw.astype(np.float64)
        if self.kind == "integer":
            exact[raw == np.iinfo(np.int64).min] = np.nan
        exact[~np.isfinite(exact)] = np.nan
        return exact


def known_of(snapshot: Snapshot) -> tuple[tuple[Known, ...], tuple[str, ...]]:
    """Return the attributes of a store as numbers, and the labels of those that are none.

    Raises
    ------
    UsageError
        If the store has no attributes.
    """
    schema, found, left_out = snapshot.schema, [], []
    for kind, labels in schema.labelled.items():
        for column, label in enumerate(labels):
            if kind != "text":
                found.append(Known(label, "binary" if kind == "binary" else "continuous", kind, column))
                continue
            texts = snapshot.store.attributes.get(CATEGORIES, {}).get(label, ())
            if 2 <= len(texts) <= MOST_CATEGORIES:
                own = texts if len(texts) > 2 else texts[1:]  # of two, the one is the other's absence
                found += [Known(f"{label}={text}", "binary", kind, column, text) for text in own]
            else:
                left_out.append(label)
    if not found and not left_out:
        raise UsageError(
            f"{snapshot.location} knows no attributes of its images; write it anew with "
            f"{parameter('attributes')}, a table with a column of paths and one for each attribute"
        )
    return tuple(found), tuple(left_out)


def arrays_of(schema: Schema) -> tuple[str, ...]:
    """Return the arrays of a store that hold attributes."""
    return tuple(ATTRIBUTE_ARRAYS[kind] for kind in schema.labelled)


def row_bytes(schema: Schema) -> int:
    """Return the bytes of the attributes of an image."""
    sizes: dict[Kind, int] = {"binary": 1, "integer": 8, "float": 8, "text": TEXT_BYTES}
    return sum(sizes[kind] * len(labels) for kind, labels in schema.labelled.items())


def matrix_of(known: tuple[Known, ...], arrays: Mapping[str, NDArray[Any]], rows: int) -> Floats:
    """Return the values of attributes, (n, attribute), NaN where one is not known."""
    values = np.empty((rows, len(known)))
    for at, one in enumerate(known):
        values[:, at] = one.values(arrays)
    return values
