"""Rows that are image files below one folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.decoding import decode_bytes, decode_image, decode_rows
from latentscan.images.fetch import fetch, whole
from latentscan.images.reopen import Reopenable
from latentscan.images.source import PIXEL_LIMIT
from latentscan.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import Attributes, Pixels
    from latentscan.paths import AnyPath

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff")
_DIGITS = re.compile("([0-9]+)")
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|\Z)|\0")  # on any system
_LONGEST_PATH = 4096  # characters; of no system's files are there longer ones
_SURROGATE = re.compile("[\ud800-\udfff]")  # what Python makes of bytes in a file name that are no UTF-8


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
            return decode_image(root / self.paths[row], self.preprocessing, self.pixel_limit)

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
    if len(text) > _LONGEST_PATH:
        msg = f"{where}: {shown(text)!r} has {len(text):,} characters; expected at most {_LONGEST_PATH:,}"
        raise UsageError(msg)
    if not path or _OUTSIDE.search(text):
        msg = f"{where}: {shown(text)!r} is no path below the root; expected a relative path without '..'"
        raise UsageError(msg)
    return path


def list_image_files(root: AnyPath) -> list[str]:
    """List the image files below a folder, relative to it, in natural order.

    Hidden files and folders are left out. Linked folders are followed, but no folder is listed twice: one
    that several ways lead to is listed where the fewest links lead, and of those where it comes first. A
    dangling link to a file is listed, and becomes a missing row.

    Raises
    ------
    UsageError
        A folder cannot be listed, or a name is no valid Unicode.
    """
    if isinstance(root, RemotePath):
        listed = list(filter(_is_listed, root.files()))
        for path in listed:
            if len(path) > _LONGEST_PATH:
                msg = f"{root}: the name {shown(path)!r} has {len(path):,} characters; rename it"
                raise UsageError(msg)
        return sorted(listed, key=natural_key)
    try:
        paths = sorted(_walk(str(root)), key=natural_key)
    except OSError as error:
        msg = f"{error.filename}: this folder cannot be listed ({error.strerror}); make it readable"
        raise UsageError(msg) from error
    for path in paths:
        if _SURROGATE.search(path):
            msg = f"{root}: the file name {path!r} is no valid Unicode; rename it"
            raise UsageError(msg)
    return paths


def open_folder(root: AnyPath, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT) -> FileSource:
    """Open all image files below a folder.

    Raises
    ------
    UsageError
        There are none.
    """
    paths = list_image_files(root)
    if not paths:
        raise ParameterError(
            f"no images; looked in it and its folders for {', '.join(EXTENSIONS)}", field="images", value=root
        )
    return FileSource("folder", root.absolute().name, root, paths, preprocessing, pixel_limit)


def _walk(root: str) -> Iterator[str]:
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
                for entry in _entries(folder):
                    if _is_folder(entry):
                        inner = (entry.path, f"{prefix}{entry.name}/")
                        (links if entry.is_symlink() else waiting).append(inner)
                    elif entry.name.lower().endswith(EXTENSIONS) and (entry.is_symlink() or entry.is_file()):
                        yield prefix + entry.name
        folders = links


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scan:
        return [entry for entry in scan if not entry.name.startswith(".")]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def _is_listed(path: str) -> bool:
    hidden = path.startswith(".") or "/." in path
    return path.lower().endswith(EXTENSIONS) and not hidden


def _name_key(name: str) -> list[str | int]:
    # Text stands at even places and numbers at odd ones, so keys always compare.
    parts: list[str | int] = list(_DIGITS.split(name.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts
