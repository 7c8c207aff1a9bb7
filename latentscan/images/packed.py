"""Rows that are image files inside other files: members of archives, values of tables."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from latentscan.errors import UsageError, shown
from latentscan.images.decoding import decode_bytes, decode_rows
from latentscan.images.endings import RULES, Sieve
from latentscan.images.folder import LONGEST_PATH, check_rows, describe_rows, natural_key, no_images
from latentscan.images.reopen import Reopenable
from latentscan.images.source import PIXEL_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import Attributes, Pixels

_DRIVE = re.compile(r"^[A-Za-z]:(?=[/\\])")


class Contents(Protocol):
    """What holds image files, one a row."""

    def read(self, row: int, pixel_limit: int) -> bytes:
        """Return the content of a file; raises ImageRejectedError if it cannot be read, or is too large.

        Safe to call from several threads at once.
        """


@dataclass(frozen=True)
class PackedSource(Reopenable):
    """Image files inside other files, one a row; `paths` are their names there."""

    kind: str
    name: str
    contents: Contents
    paths: Sequence[str]
    preprocessing: Preprocessing
    pixel_limit: int = PIXEL_LIMIT
    split: NDArray[np.int8] | None = None
    attributes: Attributes | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, start: int, stop: int) -> Pixels:
        """Decode the rows start..stop."""
        return self.take(range(start, stop))

    def take(self, rows: Sequence[int]) -> Pixels:
        """Decode the given rows in the given order."""
        check_rows(rows, len(self))

        def decode(row: int) -> NDArray[np.uint8]:
            data = self.contents.read(row, self.pixel_limit)
            return decode_bytes(data, self.preprocessing, self.pixel_limit)

        return decode_rows(rows, decode, self.preprocessing)

    def describe(self) -> dict[str, Any]:
        """Return the kind, the name, the number of images, a sha256 over all paths, and the pixel limit."""
        return {**describe_rows(self.kind, self.name, self.paths), "pixel_limit": self.pixel_limit}


class Members:
    """The images among the members of archives, by their paths, and some numbers that say where each is.

    Names are texts, and never paths on a disk: what would lead out of a folder is left out of them. Of
    several members with one name the last counts, as where an archive is unpacked.

    Parameters
    ----------
    numbers
        How many numbers there are of each.
    """

    def __init__(self, numbers: int) -> None:
        self._numbers = numbers
        self._rows: dict[str, int] = {}
        self._values = array("q")
        self._replaced = 0
        self._sieve = Sieve(RULES)

    def add(self, name: str, values: Sequence[int], prefix: str = "") -> None:
        """Add a member if it is an image by its name."""
        path = member_path(name)
        if path and self._sieve.takes(path):
            path = prefix + path
            if len(path) > LONGEST_PATH:
                most = f"expected at most {LONGEST_PATH:,}"
                raise UsageError(f"the name {shown(path)!r} has {len(path):,} characters; {most}")
            self._replaced += path in self._rows
            self._rows[path] = len(self._values) // self._numbers
            self._values.extend(values)

    def values(self, path: str) -> Sequence[int] | None:
        """Return the numbers of a member that was added; None for another."""
        row = self._rows.get(path)
        return None if row is None else self._values[row * self._numbers : (row + 1) * self._numbers]

    def paths(self, location: Path) -> list[str]:
        """Return the paths in natural order, as those of files in a folder.

        Raises
        ------
        NoImagesError
            If there is no image.
        """
        if not self._rows:
            raise no_images(location, "at its members", self._sieve)
        return sorted(self._rows, key=natural_key)

    def table(self, paths: Sequence[str]) -> NDArray[np.int64]:
        """Return the numbers of members, (path, number); -1 for a path that is not one of a member."""
        values = np.frombuffer(self._values, np.int64).reshape(-1, self._numbers)
        values = np.vstack([values, np.full((1, self._numbers), -1)])  # which stands for none, as the last
        return values[[self._rows.get(path, -1) for path in paths]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, in lines."""
        replaced = f"{self._replaced:,} members have the names of later ones, which count"
        return (*self._sieve.notes, replaced) if self._replaced else self._sieve.notes


def member_path(name: str) -> str:
    r"""Return the path of a member: relative, with forward slashes, and without `..`.

    Examples
    --------
    >>> member_path("./faces/1.jpg"), member_path("/etc/../1.jpg"), member_path(r"C:\faces\1.jpg")
    ('faces/1.jpg', 'etc/1.jpg', 'faces/1.jpg')
    """
    bare = _DRIVE.sub("", name.partition("\0")[0]).replace("\\", "/")
    return "/".join(part for part in bare.split("/") if part not in ("", ".", ".."))
