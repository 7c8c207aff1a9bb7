"""A source of images with what a table says of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from latentscan.errors import UsageError, shown
from latentscan.images.joining import join, rows_of
from latentscan.images.reopen import Reopenable
from latentscan.images.source import Attribute, Attributes
from latentscan.images.table_file import check_labels, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.source import ImageSource, Pixels
    from latentscan.paths import AnyPath


class LabelledSource(Reopenable):
    """Images with attributes of a table besides their own; where a label is in both, it is the table's.

    Parameters
    ----------
    source
        The images.
    table
        What is known of them, an image a row.
    notes
        What to say of the table, a line each, after what is to be said of the images.
    """

    def __init__(self, source: ImageSource, table: Attributes, notes: tuple[str, ...]) -> None:
        self.source, self.notes = source, (*source.notes, *notes)
        own = source.attributes.columns if source.attributes is not None else ()
        named = {column.label for column in table.columns}
        own_columns = tuple(column for column in own if column.label not in named)
        self.attributes: Attributes | None = Attributes((*own_columns, *table.columns))
        self._hash = sha256_of(table)

    @property
    def paths(self) -> Sequence[str]:
        """The relative path or key of every image."""
        return self.source.paths

    @property
    def split(self) -> NDArray[np.int8] | None:
        """The partition of every image."""
        return self.source.split

    def __len__(self) -> int:
        return len(self.source)

    def read(self, start: int, stop: int) -> Pixels:
        """Decode the rows start..stop."""
        return self.source.read(start, stop)

    def take(self, rows: Sequence[int]) -> Pixels:
        """Decode the given rows in the given order."""
        return self.source.take(rows)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the images, and a sha256 over their attributes out of the table."""
        return {**self.source.describe(), "attributes_sha256": self._hash}


def label(source: ImageSource, file: AnyPath) -> LabelledSource:
    """Return a source with what a table says of its images.

    Parameters
    ----------
    source
        The images.
    file
        The table.

    Raises
    ------
    UsageError
        As `open_attributes`.
    """
    attributes, notes = open_attributes(file, source.paths)
    return LabelledSource(source, attributes, notes)


def open_attributes(file: AnyPath, paths: Sequence[str]) -> tuple[Attributes, tuple[str, ...]]:
    """Read what a table says of images, and what to say of the table.

    Parameters
    ----------
    file
        The table.
    paths
        Those of the images.

    Raises
    ------
    UsageError
        If it is no table, or not one of these images; see `join`.
    """
    table = read_table(file)
    found = join(table, paths)
    columns = tuple(
        column if column.label else replace(column, label=f"column {number}")
        for number, column in enumerate(table.columns, 1)
    )
    named = dict(zip(map(id, table.columns), columns, strict=True))
    chosen = [named[id(column)] for column in table.without(found.column)]
    if not chosen:
        raise UsageError(f"{file}: has no column besides the paths of the images")
    check_labels([column.label for column in chosen], str(file))
    notes = [f"{found.note}. {_in_words(chosen)}"]
    if table.left_out:
        names = ", ".join(map(shown, table.left_out[:5]))
        notes.append(
            f"{file}: {len(table.left_out):,} columns are no numbers or texts, and left out: {names}"
        )
    return Attributes(tuple(rows_of(column, found.rows) for column in chosen)), tuple(notes)


def sha256_of(attributes: Attributes) -> str:
    """Hash the labels, the kinds and the values of attributes."""
    digest = hashlib.sha256()
    for column in attributes.columns:
        digest.update(f"{column.label}\0{column.kind}\0".encode())
        if column.kind == "text":
            digest.update("\0".join(column.values.tolist()).encode("utf-8", "replace"))
        else:
            digest.update(column.values.astype(column.values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _in_words(columns: Sequence[Attribute]) -> str:
    counts: dict[str, int] = {}
    for column in columns:
        kind = "categorical" if column.categories else column.kind
        counts[kind] = counts.get(kind, 0) + 1
    return "Attributes: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
