"""Files and folders at URLs such as s3://bucket/faces, read through fsspec."""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from latentscan.errors import LatentscanError, UsageError
from latentscan.images.decoding import ImageRejectedError, check_bytes
from latentscan.images.source import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

DEADLINE_S = 15  # for the first answer: a client that tries again and again takes many minutes to give up
PATIENCE_S = 300  # for the answers after it
_LISTING_S = 24 * 3600.0  # of a hundred million files
_TOGETHER = 64  # files that are asked for at once
_FIRST_BYTES = 1 << 20  # what is read of a file before its size is known: of most images, all
_S3: dict[str, Any] = {
    "max_concurrency": 1,  # or every read of a whole file is two requests, the first one for its size
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 30,
        "max_pool_connections": _TOGETHER,
        "retries": {"mode": "standard", "total_max_attempts": 3},
    },
}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _S3, "s3a": _S3, "file": {"auto_mkdir": True}}
# refusals that are not about one file: going on would reject all the images that follow
_OF_EVERYTHING = {
    *("NoSuchBucket", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity"),
    *("RequestTimeTooSkewed", "SignatureDoesNotMatch"),
}


def is_url(location: str | AnyPath) -> bool:
    """Tell a URL from a path on this machine."""
    return "://" in str(location)


def as_path(location: str | AnyPath, failure: type[LatentscanError] = UsageError) -> AnyPath:
    """Give the file or folder at a location; `failure` is raised when the server of a URL refuses.

    Raises
    ------
    UsageError
        If it is a URL of a kind for which nothing is installed.
    """
    return RemotePath(str(location), failure) if is_url(location) else Path(str(location))


def absolute(location: str | AnyPath) -> str:
    """Name a location so that it means the same whatever the working directory is."""
    return str(location) if is_url(location) else os.path.abspath(str(location))  # noqa: PTH100 (keeps links)


def connect(url: str, *, asynchronous: bool) -> tuple[Any, str]:
    """Give the file system that a URL is in, and the path there.

    Credentials and the endpoint are those of the environment. Listings are never remembered, since other
    processes write too. `asynchronous` is for callers who have an event loop of their own.

    Raises
    ------
    UsageError
        If nothing is installed for URLs of this kind.
    """
    from fsspec.core import strip_protocol  # type: ignore[import-untyped]

    scheme, _, rest = url.partition("://")
    host = "" if scheme in _OPTIONS else rest.partition("/")[0]  # one client is for all buckets
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    try:
        file_system = _file_system(f"{scheme}://{host}", asynchronous, os.getpid(), settings)
    except (ImportError, ValueError) as error:
        remedy = 'pip install "latentscan[s3]"' if scheme in ("s3", "s3a") else error
        raise UsageError(f"{url}: nothing is installed for {scheme}:// URLs; {remedy}") from error
    return file_system, strip_protocol(url)


@lru_cache(maxsize=16)
def _file_system(
    base: str,
    asynchronous: bool,
    process: int,  # noqa: ARG001 (this and the next are parts of the cache's key)
    settings: tuple[tuple[str, str], ...],  # noqa: ARG001
) -> Any:
    """Make a client; fsspec's own cache would make one for each thread."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.asyn_wrapper import (  # type: ignore[import-untyped]
        AsyncFileSystemWrapper,
    )

    options = _OPTIONS.get(base.partition("://")[0], {})
    found, _ = url_to_fs(
        base, asynchronous=asynchronous, use_listings_cache=False, skip_instance_cache=True, **options
    )
    return (
        AsyncFileSystemWrapper(found, asynchronous=True) if asynchronous and not found.async_impl else found
    )


def explain(url: str, error: BaseException) -> str:
    """Say in a line why a URL cannot be read or written, and what to look at."""
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
        return f"{url}: access is denied ({detail}); check the credentials in the environment (AWS_...)"
    if isinstance(error, FileNotFoundError):
        return f"{url}: {detail}; create the bucket, or correct its name"
    if isinstance(error, TimeoutError):
        detail = "it does not answer"
    return f"{url} cannot be reached: {detail}; check the network, and AWS_ENDPOINT_URL where it is set"


def refusal(error: BaseException) -> str | None:
    """Give the code by which an S3 server names what it refuses."""
    response = getattr(error.__cause__, "response", None) or {}
    code: str | None = response.get("Error", {}).get("Code")
    return code


class RemotePath:
    """A file or folder at a URL, with those methods of a `Path` that sources and stores use."""

    def __init__(self, url: str, failure: type[LatentscanError] = UsageError) -> None:
        self._failure = failure
        self.url = url.rstrip("/")
        self._files, self._path = connect(self.url, asynchronous=False)
        self.name = PurePosixPath(self._path).name
        self.suffix = PurePosixPath(self._path).suffix

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url}/{name}", self._failure)

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str, type[LatentscanError]]]:
        return RemotePath, (self.url, self._failure)

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in."""
        return RemotePath(self.url.rpartition("/")[0], self._failure)

    def absolute(self) -> RemotePath:
        """Give itself: a URL has no working directory."""
        return self

    def exists(self) -> bool:
        """Tell whether anything is there."""
        return self._type() is not None

    def is_file(self) -> bool:
        """Tell whether a file is there."""
        return self._type() == "file"

    def is_dir(self) -> bool:
        """Tell whether it is a folder, or the beginning of the names of files."""
        return self._type() == "directory"

    def iterdir(self) -> Iterator[RemotePath]:
        """Give what is in the folder."""
        for found in self._ask(self._files.ls, self._path, detail=False):
            name = found.rstrip("/").removeprefix(self._path).strip("/")
            if name:  # some tools make an empty file to stand for the folder itself
                yield self / name

    def open(self, encoding: str, newline: str) -> TextIO:
        """Open a text file for reading."""
        content = self._ask(self._files.cat_file, self._path, deadline=PATIENCE_S)
        return io.StringIO(content.decode(encoding), newline)

    def files(self) -> list[str]:
        """List all files below the folder, relative to it, in no particular order."""
        found = self._ask(self._files.find, self._path, deadline=_LISTING_S)
        return [path.removeprefix(self._path).lstrip("/") for path in found]

    def fetch(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | Exception]]:
        """Read the beginnings of files below the folder, many at once; `whole` makes files of them."""
        for start in range(0, len(paths), _TOGETHER):
            keys = [f"{self._path}/{path}" for path in paths[start : start + _TOGETHER]]
            ends = [_FIRST_BYTES] * len(keys)
            for key, found in zip(keys, self._files.cat_ranges(keys, [0] * len(keys), ends), strict=True):
                # of an empty file, a server says that it has no such part
                yield key, b"" if isinstance(found, OSError) and "not satisfiable" in str(found) else found

    def whole(self, key: str, beginning: bytes | Exception, pixel_limit: int) -> bytes:
        """Give the whole of an image file of which the beginning was read.

        Raises
        ------
        ImageRejectedError
            If it is missing, must not be read, or is larger than any image of `pixel_limit` pixels.
        LatentscanError
            If the server cannot be reached, or refuses everything.
        """
        if isinstance(beginning, Exception):
            raise self._rejection(beginning) from beginning
        if len(beginning) < _FIRST_BYTES:
            return beginning
        try:
            size = self._files.info(key)["size"]
            check_bytes(size, pixel_limit)
            content: bytes = self._files.cat_file(key)
        except ImageRejectedError:
            raise
        except Exception as error:
            raise self._rejection(error) from error
        return content

    def _rejection(self, error: Exception) -> Exception:
        if refusal(error) not in _OF_EVERYTHING:
            if isinstance(error, FileNotFoundError):
                return ImageRejectedError(Status.MISSING, "the file is not there")
            if isinstance(error, PermissionError):
                return ImageRejectedError(Status.UNREADABLE, "cannot be read: Permission denied")
        return LatentscanError(explain(self.url, error))

    def _type(self) -> str | None:
        try:
            kind: str = self._ask(self._files.info, self._path)["type"]
        except FileNotFoundError:
            return None
        return kind

    def _ask(
        self, function: Callable[..., Any], *args: Any, deadline: float | None = None, **options: Any
    ) -> Any:
        if self._files.async_impl:
            options["timeout"] = deadline or DEADLINE_S
        try:
            return function(*args, **options)
        except FileNotFoundError as error:
            if refusal(error) == "NoSuchBucket":
                raise self._failure(explain(self.url, error)) from error
            raise
        except Exception as error:
            raise self._failure(explain(self.url, error)) from error


AnyPath: TypeAlias = Path | RemotePath
