"""What is known of images, a column each: attributes, the partition, clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.images.source import MISSING
from latentscan.store.schema import ATTRIBUTE_ARRAYS, LABEL_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from latentscan.images.source import Kind
    from latentscan.scan.snapshot import Snapshot

    Rows = NDArray[np.int64]

MOST_CATEGORIES = 1000
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Column:
    """What is known of each image, (n,).

    Parameters
    ----------
    title
        What a reader calls it.
    group
        The store that it is of, or that it is an attribute.
    values
        Numbers, NaN where there is none; or the places of texts in `names`, −1 where there is none.
    names
        The texts of a categorical column.
    """

    title: str
    group: str
    values: NDArray[Any]
    names: tuple[str, ...] = ()


def read_at(snapshot: Snapshot, name: str, rows: Rows) -> NDArray[Any]:
    """Read an array of a store at some rows, ascending."""
    if not len(rows):
        return np.zeros(0, object)
    length = snapshot.schema.chunk_rows
    blocks, starts = np.unique(rows // length, return_index=True)
    parts = [
        snapshot.read_block(block, (name,))[name][part - block * length]
        for block, part in zip(blocks.tolist(), np.split(rows, starts[1:]), strict=True)
    ]
    return np.concatenate(parts)


def cluster_column(k: int, labels: NDArray[Any]) -> Column:
    """Return the cluster of each image, (n,), of a model of `k` clusters."""
    return Column(f"cluster of {k}", "", _codes(labels), tuple(f"cluster {number}" for number in range(k)))


def _codes(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.int8 if values.max(initial=0) < 128 else np.int16)


def known_columns(snapshot: Snapshot, rows: Rows) -> Iterator[Column]:
    """Yield the partition and the attributes of the images."""
    schema = snapshot.schema
    if schema.split:
        yield Column("split", "attributes", read_at(snapshot, "split", rows).astype(np.int8), SPLITS)
    for kind, field in LABEL_FIELDS.items():
        labels: tuple[str, ...] = getattr(schema, field)
        if labels:
            values = read_at(snapshot, ATTRIBUTE_ARRAYS[kind], rows)
            for at, label in enumerate(labels):
                column = attribute_column(snapshot, kind, label, values[:, at])
                if column is not None:
                    yield column


def attribute_column(snapshot: Snapshot, kind: Kind, label: str, values: NDArray[Any]) -> Column | None:
    """Return an attribute; None of texts that are nearly all different."""
    if kind == "binary":
        codes = np.select([values < 0, values > 0], [0, 1], -1).astype(np.int8)
        return Column(label, "attributes", codes, ("no", "yes"))
    if kind == "text":
        names = snapshot.store.categories(label) or tuple(sorted({str(value) for value in values} - {""}))
        if len(names) > MOST_CATEGORIES:
            return None
        place = {name: at for at, name in enumerate(names)}
        return Column(label, "attributes", _codes(np.array([place.get(str(v), -1) for v in values])), names)
    numbers = np.where(values == MISSING[kind], np.nan, values.astype(np.float64))
    return Column(label, "attributes", numbers.astype(np.float32))
