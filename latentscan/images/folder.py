"""Rows that are image files below one folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.decoding import decode_bytes, decode_image, decode_rows
from latentscan.images.endings import EXTENSIONS, RULES, Sieve
from latentscan.images.fetch import fetch, whole
from latentscan.images.reopen import Reopenable
from latentscan.images.source import PIXEL_LIMIT
from latentscan.paths import RemotePath
from latentscan.progress import PLAIN_EVERY_S, SILENT, remark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.endings import Rules
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import Attributes, Pixels
    from latentscan.paths import AnyPath
    from latentscan.progress import Progress

_DIGITS = re.compile("([0-9]+)")
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|\Z)|\0")  # on any system
LONGEST_PATH = 4096  # characters; of no system's files are there longer ones
_SURROGATE = re.compile("[\ud800-\udfff]")  # what Python makes of bytes in a file name that are no UTF-8


class NoImagesError(ParameterError):
    """A location where nothing is an image by its name."""


@dataclass(frozen=True)
class FileSource(Reopenable):
    """Image files, one a row: `paths` are relative to `root`, with forward slashes."""

    kind: str
    name: str
    root: AnyPath
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
        if isinstance(self.root, RemotePath):
            return self._take_remote(self.root.url, rows)
        root = self.root

        def decode(row: int) -> NDArray[np.uint8]:
            return decode_image(_file(root, self.paths[row]), self.preprocessing, self.pixel_limit)

        return decode_rows(rows, decode, self.preprocessing)

    def describe(self) -> dict[str, Any]:
        """Return the kind, the name, the number of images, a sha256 over all paths, and the pixel limit."""
        return {**describe_rows(self.kind, self.name, self.paths), "pixel_limit": self.pixel_limit}

    def _take_remote(self, root: str, rows: Sequence[int]) -> Pixels:
        fetched = fetch(root, [self.paths[row] for row in rows])

        def decode(_: int) -> NDArray[np.uint8]:
            data = whole(root, *next(fetched), self.pixel_limit)
            return decode_bytes(data, self.preprocessing, self.pixel_limit)

        return decode_rows(rows, decode, self.preprocessing)


def describe_rows(kind: str, name: str, paths: Sequence[str]) -> dict[str, Any]:
    """Return what identifies a source: the sha256 is over all paths, joined by newlines."""
    digest = hashlib.sha256()
    for row, path in enumerate(paths):
        digest.update(f"\n{path}".encode() if row else path.encode())
    return {"kind": kind, "name": name, "images": len(paths), "sha256": digest.hexdigest()}


def check_rows(rows: Sequence[int], images: int) -> None:
    """Refuse rows outside 0..images, so that a negative one never counts from the end.

    Raises
    ------
    IndexError
        A row is outside.
    """
    if len(rows) and not (min(rows) >= 0 and max(rows) < images):
        msg = f"rows {min(rows)}..{max(rows)} of a source of {images} images"
        raise IndexError(msg)


def natural_key(path: str) -> tuple[object, ...]:
    """Sort img2 before img10, letters without regard to case, and what is still equal by its characters.

    Examples
    --------
    >>> sorted(["img10.jpg", "b/1.png", "IMG2.jpg", "img2.jpg"], key=natural_key)
    ['b/1.png', 'IMG2.jpg', 'img2.jpg', 'img10.jpg']
    """
    return tuple((_name_key(name), name) for name in path.split("/"))


def relative_path(text: str, where: str) -> str:
    """Normalise a path of a list to forward slashes without `.` parts.

    Raises
    ------
    UsageError
        It is empty, absolute, endless, or has a `..`; the message begins with `where`.
    """
    path = "/".join(part for part in text.split("/") if part not in ("", "."))
    if len(text) > LONGEST_PATH:
        msg = f"{where}: {shown(text)!r} has {len(text):,} characters; expected at most {LONGEST_PATH:,}"
        raise UsageError(msg)
    if not path or _OUTSIDE.search(text):
        msg = f"{where}: {shown(text)!r} is no path below the root; expected a relative path without '..'"
        raise UsageError(msg)
    return path


def list_image_files(root: AnyPath, sieve: Sieve | None = None, *, progress: Progress = SILENT) -> list[str]:
    """List the image files below a folder, relative to it, in natural order.

    Linked folders are followed, but no folder is listed twice: one that several ways lead to is listed where
    the fewest links lead, and of those where it comes first. A dangling link to a file is listed, and becomes
    a missing row.

    Parameters
    ----------
    root
        The folder.
    sieve
        Decides which files are images, and counts the others; one by the usual rules if None.
    progress
        Hears how far a long listing is.

    Raises
    ------
    UsageError
        A folder cannot be listed, or a name is no valid Unicode.
    """
    sieve = Sieve() if sieve is None else sieve
    seen = _Seen(root, progress)
    if isinstance(root, RemotePath):
        listed = list(filter(sieve.takes, map(seen.one, root.files())))
        for path in listed:
            if len(path) > LONGEST_PATH:
                msg = f"{root}: the name {shown(path)!r} has {len(path):,} characters; rename it"
                raise UsageError(msg)
        return sorted(listed, key=natural_key)
    try:
        paths = sorted(_walk(str(root), sieve, seen), key=natural_key)
    except OSError as error:
        msg = f"{error.filename}: this folder cannot be listed ({error.strerror}); make it readable"
        raise UsageError(msg) from error
    for path in paths:
        if _SURROGATE.search(path):
            msg = f"{root}: the file name {path!r} is no valid Unicode; rename it"
            raise UsageError(msg)
    return paths


def open_folder(
    root: AnyPath,
    preprocessing: Preprocessing,
    pixel_limit: int = PIXEL_LIMIT,
    rules: Rules = RULES,
    *,
    progress: Progress = SILENT,
) -> FileSource:
    """Open all image files below a folder.

    Raises
    ------
    NoImagesError
        There are none.
    """
    sieve = Sieve(rules)
    paths = list_image_files(root, sieve, progress=progress)
    if not paths:
        raise no_images(root, "in it and its folders", sieve)
    name = root.absolute().name
    return FileSource("folder", name, root, paths, preprocessing, pixel_limit, notes=sieve.notes)


def no_images(location: AnyPath, where: str, sieve: Sieve) -> NoImagesError:
    """Return the error that nothing at a location is an image, with what is there instead."""
    found = "".join(f"; {note}" for note in sieve.notes)
    looked = f"looked {where} for {', '.join(EXTENSIONS)}"
    return NoImagesError(f"no images; {looked}{found}", field="images", value=location)


def _file(root: Path, path: str) -> Path:
    """Return the file of a path, in whatever normal form of Unicode the disk has its name."""
    forms = () if path.isascii() else (path, normalize("NFC", path), normalize("NFD", path))
    return next((root / form for form in forms if os.path.lexists(root / form)), root / path)


class _Seen:
    """Counts the files that a listing has seen, and says how many where it takes long."""

    def __init__(self, root: AnyPath, progress: Progress) -> None:
        self._root, self._progress = root, progress
        self._files, self._next = 0, time.monotonic() + PLAIN_EVERY_S

    def one(self, path: str) -> str:
        """Count a file, and return it."""
        self.more(1)
        return path

    def more(self, files: int) -> None:
        """Count files."""
        self._files += files
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_S
            remark(self._progress, f"{self._root}: listing its files, {self._files:,} so far")


def _walk(root: str, sieve: Sieve, seen: _Seen) -> Iterator[str]:
    """Yield the image files below a folder, in no particular order, and no folder twice.

    Each round begins where links lead that the round before has found: none lead to the first.
    """
    reached: set[tuple[int, int]] = set()
    folders = [(root, "")]
    while folders:
        links: list[tuple[str, str]] = []
        for begin in sorted(folders, key=lambda found: natural_key(found[1])):
            waiting = [begin]
            while waiting:
                folder, prefix = waiting.pop()
                stat = os.stat(folder)  # noqa: PTH116 - paths as text: Paths of many files would cost more
                if (stat.st_dev, stat.st_ino) in reached:
                    continue
                reached.add((stat.st_dev, stat.st_ino))
                entries = _entries(folder)
                seen.more(len(entries))
                for entry in entries:
                    if _is_folder(entry):
                        if not sieve.hides(entry.name):
                            inner = (entry.path, f"{prefix}{entry.name}/")
                            (links if entry.is_symlink() else waiting).append(inner)
                    elif (entry.is_symlink() or entry.is_file()) and sieve.takes_name(entry.name):
                        yield prefix + entry.name
        folders = links


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scan:
        return list(scan)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def _name_key(name: str) -> list[str | int]:
    # Text stands at even places and numbers at odd ones, so keys always compare.
    parts: list[str | int] = list(_DIGITS.split(name.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts
