"""Image files at URLs: fetched many at once, and rejected one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.errors import LatentscanError
from latentscan.images.decoding import check_bytes
from latentscan.images.source import ImageRejectedError, Status
from latentscan.paths import TOGETHER, connect, explain, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FIRST_BYTES = 1 << 20  # what is read of a file before its size is known: of most images, all
# refusals that are not about one file: going on would reject all the images that follow
_OF_EVERYTHING = {
    *("NoSuchBucket", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity"),
    *("RequestTimeTooSkewed", "SignatureDoesNotMatch"),
}


def fetch(root: str, paths: Sequence[str]) -> Iterator[tuple[str, bytes | Exception]]:
    """Read the beginnings of files below the URL of a folder, many at once; `whole` makes files of them."""
    files, folder = connect(root, asynchronous=False)
    for start in range(0, len(paths), TOGETHER):
        keys = [f"{folder}/{path}" for path in paths[start : start + TOGETHER]]
        ends = [_FIRST_BYTES] * len(keys)
        for key, found in zip(keys, files.cat_ranges(keys, [0] * len(keys), ends), strict=True):
            # of an empty file, a server says that it has no such part
            yield key, b"" if isinstance(found, OSError) and "not satisfiable" in str(found) else found


def whole(root: str, key: str, beginning: bytes | Exception, pixel_limit: int) -> bytes:
    """Return the whole of an image file of which the beginning was fetched.

    Raises
    ------
    ImageRejectedError
        If it is missing, must not be read, or is larger than any image of `pixel_limit` pixels.
    LatentscanError
        If the server cannot be reached, or refuses everything.
    """
    if isinstance(beginning, Exception):
        raise _rejection(root, beginning) from beginning
    if len(beginning) < _FIRST_BYTES:
        return beginning
    files, _ = connect(root, asynchronous=False)
    try:
        size = files.info(key)["size"]
        check_bytes(size, pixel_limit)
        content: bytes = files.cat_file(key)
    except ImageRejectedError:
        raise
    except Exception as error:
        raise _rejection(root, error) from error
    return content


def _rejection(root: str, error: Exception) -> Exception:
    if refusal(error) not in _OF_EVERYTHING:
        if isinstance(error, FileNotFoundError):
            return ImageRejectedError(Status.MISSING, "the file is not there")
        if isinstance(error, PermissionError):
            return ImageRejectedError(Status.UNREADABLE, "cannot be read: Permission denied")
    return LatentscanError(explain(root, error))
