"""Regular files, opened for reading: no pipe is waited for, and no device read for ever."""

from __future__ import annotations

import errno
import os
import stat
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader
    from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularFileError(OSError):
    """What is to be read is a folder, a pipe, a socket or a device."""


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading.

    Raises
    ------
    NotRegularFileError
        If it is something else than a file; what, is its `strerror`.
    OSError
        If it cannot be opened.
    """
    descriptor, _ = _open(path)
    return open(descriptor, "rb")  # noqa: PTH123 (it is open already)


def read_regular(path: Path, check: Callable[[int], None]) -> bytes:
    """Read the whole of a file, of which no more is read than it holds when it is opened.

    Parameters
    ----------
    path
        The file.
    check
        Called with its size, bytes, before it is read; raises if that is too much.

    Raises
    ------
    NotRegularFileError
        If it is something else than a file.
    OSError
        If it cannot be opened or read.
    """
    descriptor, size = _open(path)
    try:
        check(size)
        content = os.read(descriptor, size)
        while len(content) < size and (more := os.read(descriptor, size - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


class ShareableFile:
    """A file that is open for reading, whose parts several threads read at once.

    Raises
    ------
    NotRegularFileError
        If it is something else than a file.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor, self.size = _open(path)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, length: int) -> bytes:
        """Read bytes of it: fewer than `length` at its end alone."""
        length = min(length, self.size - start)
        if length <= 0:
            return b""
        content = os.pread(self._descriptor, length, start)
        while len(content) < length and (
            more := os.pread(self._descriptor, length - len(content), start + len(content))
        ):
            content += more
        return content


def _open(path: Path) -> tuple[int, int]:
    """Return the descriptor of a file, and its size.

    The kind is that of what was opened: nothing can take the file's place between a look and the opening.
    """
    try:
        # without waiting for the other end of a pipe, and without getting hold of a terminal
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # sockets, and devices without a driver, cannot even be opened
            raise NotRegularFileError(errno.ENXIO, "a socket or a device, not a file", str(path)) from None
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return descriptor, found.st_size
    os.close(descriptor)
    kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
    raise NotRegularFileError(errno.EINVAL, f"{kind}, not a file", str(path))
