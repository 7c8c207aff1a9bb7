"""Rows that are image files below one folder."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.errors import ParameterError, UsageError
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
        It is empty, absolute, or has a `..`; the message begins with `where`.
    """
    path = "/".join(part for part in text.split("/") if part not in ("", "."))
    if not path or _OUTSIDE.search(text):
        msg = f"{where}: {text!r} is no path below the root; expected a relative path without '..'"
        raise UsageError(msg)
    return path


def list_image_files(root: AnyPath) -> list[str]:
    """List the image files below a folder, relative to it, in natural order.

    Hidden files and folders are left out. Linked folders are followed unless they lead back to a folder
    that contains them; a dangling link to a file is listed, and becomes a missing row.

    Raises
    ------
    UsageError
        A folder cannot be listed, or a name is no valid Unicode.
    """
    if isinstance(root, RemotePath):
        return sorted(filter(_is_listed, root.files()), key=natural_key)
    try:
        paths = list(_walk(str(root), "", frozenset()))
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


def _walk(folder: str, prefix: str, parents: frozenset[tuple[int, int]]) -> Iterator[str]:
    stat = os.stat(folder)  # noqa: PTH116 - paths as text: a Path for each of many files would cost more
    identity = (stat.st_dev, stat.st_ino)
    if identity in parents:
        return
    with os.scandir(folder) as scan:
        entries = [entry for entry in scan if not entry.name.startswith(".")]
    for entry in sorted(entries, key=lambda entry: (_name_key(entry.name), entry.name)):
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", parents | {identity})
        elif entry.name.lower().endswith(EXTENSIONS) and (entry.is_file() or entry.is_symlink()):
            yield prefix + entry.name


def _is_listed(path: str) -> bool:
    hidden = path.startswith(".") or "/." in path
    return path.lower().endswith(EXTENSIONS) and not hidden


def _name_key(name: str) -> list[str | int]:
    # Text stands at even places and numbers at odd ones, so keys always compare.
    parts: list[str | int] = list(_DIGITS.split(name.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts
