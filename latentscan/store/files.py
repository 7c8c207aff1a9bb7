"""Files of a store on a disk: read only where they are files of a possible size, written whole or not at all.

A file is written under another name, which ends in ``.partial``, and its writer holds a lock on it meanwhile.
The system lets go of the lock when the writer ends, however it ends: what is locked by nobody is litter.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from latentscan.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

T = TypeVar("T")

UNFINISHED = ".partial"  # the ending of a file that is being written, by whoever
FILE_BYTES_LIMIT = 2**34  # of any file, where nothing else says how long it may be
YOUNG_S = 3600.0  # no file takes longer to write
_ATTEMPTS = 5
_SHORT_OF = {  # what a process or a machine may be short of: it says nothing about a file
    errno.EMFILE: "let it open more (ulimit -n)",
    errno.ENFILE: "wait until other programs have closed some",
    errno.ENOMEM: "wait until other programs have ended",
}


def read_file(file: Path, limit: int = FILE_BYTES_LIMIT) -> NDArray[np.uint8]:
    """Read a whole file; one that a disk or a network fails to read is tried once more.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is longer than `limit` bytes.
    StoreError
        If the machine can open no file now: it must not be taken for damage.
    """
    return _tried_twice(partial(_read_once, file, limit))


def _tried_twice(function: Callable[[], T]) -> T:
    """Call a function, and once more where a disk or a network failed."""
    try:
        return function()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return function()


def _read_once(file: Path, limit: int) -> NDArray[np.uint8]:
    try:
        # a pipe would wait for a writer otherwise
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb", buffering=0) as stream:  # noqa: PTH123 (it is open already)
            status = os.fstat(descriptor)
            require_file(status.st_mode)
            _require_size(status.st_size, limit)
            return _read_all(stream, status.st_size)
    except OSError as error:
        _require_means(error, file)
        raise OSError(error.errno, error.strerror, str(file)) from error


def _require_means(error: OSError, file: Path) -> None:
    """Raise StoreError if a file could not be opened because the machine can open none now."""
    if error.errno in _SHORT_OF:
        raise StoreError(
            f"{file} cannot be read now: {error.strerror}; {_SHORT_OF[error.errno]}, and repeat the command"
        ) from error


def _unlisted(error: OSError) -> None:
    """Raise the error of a folder that cannot be listed, unless it is gone, or not for this user to see."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
        _require_means(error, Path(error.filename))
        raise error


def write_file(file: Path, content: Any, *, put: Any = os.replace) -> None:
    """Write a whole file, or nothing.

    Parameters
    ----------
    file
        Its folders are made where they do not exist. A folder in its place is removed.
    content
        Its bytes.
    put
        Moves the finished file to its place.

    Raises
    ------
    OSError
        If it cannot be written; the error names the file.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        unfinished = file.with_suffix(f".{uuid.uuid4().hex}{UNFINISHED}")
        try:
            _make_folder(file.parent)
            with _locked(unfinished) as stream:
                view = memoryview(content).cast("B")
                while view:
                    view = view[stream.write(view) :]
                put(unfinished, file)
        except BaseException as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            if not isinstance(error, OSError) or isinstance(error, FileExistsError):
                raise
            if isinstance(error, IsADirectoryError) and attempt < _ATTEMPTS:
                with suppress(FileNotFoundError):  # another writer is faster
                    shutil.rmtree(file)
            # else somebody removed the folder, or took the file for litter before it was locked
            elif not isinstance(error, FileNotFoundError) or attempt == _ATTEMPTS:
                raise OSError(error.errno, error.strerror, str(file)) from error
        else:
            return


def abandoned(folder: Path, *, depth: int | None = None) -> Iterator[Path]:
    """Yield the unfinished files below a folder whose writers have ended.

    Parameters
    ----------
    folder
        Where to look; nothing is there if it does not exist.
    depth
        How many levels of folders below it are looked through; all if None.

    Raises
    ------
    StoreError
        If the machine can open no file now.
    OSError
        If a folder cannot be listed that exists and is open to this user.
    """
    for parent, folders, files in os.walk(folder, onerror=_unlisted):
        if depth is not None and len(Path(parent).relative_to(folder).parts) >= depth:
            folders.clear()
        for name in files:
            if name.endswith(UNFINISHED) and _is_abandoned(file := Path(parent, name)):
                yield file


def remove_abandoned(folder: Path, *, depth: int | None = None) -> None:
    """Remove the unfinished files below a folder whose writers have ended, as far as that is allowed."""
    for file in abandoned(folder, depth=depth):
        with suppress(OSError):
            _tried_twice(file.unlink)


def require_file(mode: int) -> None:
    """Check that the mode of a file says that it is a regular one.

    Raises
    ------
    OSError
        If it does not.
    """
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def _require_size(size: int, limit: int) -> None:
    if size > limit:
        raise OSError(errno.EFBIG, f"it is {size:,} bytes long, expected at most {limit:,}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # which says of `put` that the file to write exists
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def put_first(unfinished: Path, file: Path) -> None:
    """Move a file to a place where none is yet."""
    os.link(unfinished, file)
    unfinished.unlink()


@contextmanager
def _locked(unfinished: Path) -> Iterator[Any]:
    """Create a file, and lock it while it is written, where the system can."""
    with unfinished.open("xb", buffering=0) as stream:
        with suppress(OSError):
            _lock(stream.fileno())
        yield stream


def _is_abandoned(file: Path) -> bool:
    try:
        flags = os.O_RDWR | getattr(os, "O_NONBLOCK", 0)
        descriptor = _tried_twice(partial(os.open, file, flags))
    except OSError as error:
        _require_means(error, file)
        return False
    try:
        _tried_twice(partial(_lock, descriptor))
    except BlockingIOError:
        return False
    except OSError:  # nothing can be locked there
        return time.time() - os.fstat(descriptor).st_mtime > YOUNG_S
    finally:
        os.close(descriptor)
    return True


def _lock(descriptor: int) -> None:
    """Lock a file, or raise BlockingIOError where another has locked it."""
    if sys.platform == "win32":
        raise OSError(errno.ENOSYS, "no locks of this kind")
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_all(stream: Any, size: int) -> NDArray[np.uint8]:
    content = np.empty(size, np.uint8)
    view, count = memoryview(content.data), 0
    while count < size and (read := stream.readinto(view[count:])):
        count += read
    return content[:count]
