"""Locations: paths on this machine, and URLs such as s3://bucket/faces, which fsspec reads and lists."""

from __future__ import annotations

import io
import os
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from latentscan.errors import LatentscanError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

DEADLINE_S = 15  # for a first answer: a client that retries takes many minutes to give up
PATIENCE_S = 300  # for later answers
TOGETHER = 64  # concurrent requests of one client
_LISTING_S = 24 * 3600.0  # for a hundred million files
_S3: dict[str, Any] = {
    "max_concurrency": 1,  # or every read of a whole file is two requests, the first one for its size
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 30,
        "max_pool_connections": TOGETHER,
        "retries": {"mode": "standard", "total_max_attempts": 3},
    },
}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _S3, "s3a": _S3, "file": {"auto_mkdir": True}}
# name:password@, where a password may hold a slash; but neither a port nor the name of an S3 resource
_PASSWORD = re.compile(r"(?!arn:)[^/@:]*:(?!\d*/)[^@]*@")
_USER = re.compile(r"[^/]*@")
_QUERY = re.compile(r"\?.*=")


def is_url(location: str | AnyPath) -> bool:
    """Return whether a location is a URL, not a path on this machine."""
    return "://" in str(location)


def as_path(location: str | AnyPath, failure: type[LatentscanError] = UsageError) -> AnyPath:
    """Return the file or folder at a location.

    Parameters
    ----------
    location
        A path on this machine, or a URL.
    failure
        Raised when the server of a URL refuses or does not answer.

    Raises
    ------
    UsageError
        If it is a URL of a kind for which nothing is installed, or one with credentials.
    """
    return RemotePath(str(location), failure) if is_url(location) else local_path(location)


def local_path(location: str | AnyPath) -> Path:
    """Return a path on this machine; a ``~`` at its beginning is the user's home."""
    return Path(os.path.expanduser(str(location)))  # noqa: PTH111 (which leaves the ~ of nobody alone)


def absolute(location: str | AnyPath) -> str:
    """Return a location that does not depend on the working directory.

    Parameters
    ----------
    location
        A path on this machine, or a URL.

    Raises
    ------
    UsageError
        If it is a URL with credentials.
    """
    if not is_url(location):
        return str(local_path(location).absolute())
    _refuse_credentials(str(location))
    return str(location)


def store_names(stores: Sequence[str]) -> list[str]:
    """Return a name for each of several stores: the last parts of its path that no other store shares.

    Parameters
    ----------
    stores
        Their locations.

    Examples
    --------
    >>> store_names(["/a/ae.zarr", "/a/vae.zarr"]), store_names(["/a/ae/z.zarr", "/a/vae/z.zarr"])
    (['ae.zarr', 'vae.zarr'], ['ae/z.zarr', 'vae/z.zarr'])
    """
    parts = [store.rstrip("/").split("/") for store in stores]
    longest = max(map(len, parts), default=0)

    def name(own: list[str]) -> str:
        for length in range(1, longest + 1):
            if [other[-length:] for other in parts].count(own[-length:]) == 1:
                return "/".join(own[-length:])
        return "/".join(own)

    return [name(own) for own in parts]


def connect(url: str, *, asynchronous: bool) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Credentials and endpoint come from the environment. Listings are not cached: other processes write, too.

    Parameters
    ----------
    url
        Such as ``s3://bucket/faces``.
    asynchronous
        For callers with an event loop of their own.

    Raises
    ------
    UsageError
        If nothing is installed for URLs of this kind, or it contains credentials.
    """
    from fsspec.core import strip_protocol  # type: ignore[import-untyped]

    _refuse_credentials(url)
    scheme, _, rest = url.partition("://")
    host = "" if scheme in _OPTIONS else rest.partition("/")[0]  # one client is for all buckets
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    try:
        file_system = _file_system(f"{scheme}://{host}", asynchronous, os.getpid(), settings)
    except (ImportError, ValueError, OSError) as error:
        remedy = 'pip install "latentscan[s3]"' if scheme in ("s3", "s3a") else error
        raise UsageError(f"{url}: nothing is installed for {scheme}:// URLs; {remedy}") from error
    return file_system, strip_protocol(url)


def _refuse_credentials(url: str) -> None:
    """Keep secrets out of everything that names a location: stores, records of jobs, messages."""
    scheme, _, rest = url.partition("://")
    user = _PASSWORD.match(rest) or (scheme in {"http", "https"} and _USER.match(rest))
    if user or _QUERY.search(rest):
        shown = rest.partition("?")[0]
        if user:
            shown = shown.rpartition("@")[2] if "@" in shown else "..."
        raise UsageError(
            f"{scheme}://{shown}: credentials (a password, a token, or a query) were given in the URL, which "
            "is saved in stores and shown in messages; leave them out, and set them in the environment "
            "(AWS_..., an SSH agent)"
        )


@lru_cache(maxsize=16)
def _file_system(
    base: str,
    asynchronous: bool,
    process: int,  # noqa: ARG001 (this and the next are parts of the cache's key)
    settings: tuple[tuple[str, str], ...],  # noqa: ARG001
) -> Any:
    """Return the client of a base URL; fsspec's own cache would have one for each thread."""
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
    """Return a line that says why a URL cannot be read or written, and what to check.

    Parameters
    ----------
    url
        The location.
    error
        What its file system raised.
    """
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
        return f"{url}: access is denied ({detail}); check the credentials in the environment (AWS_...)"
    if isinstance(error, FileNotFoundError):
        return f"{url}: {detail}; create the bucket, or correct its name"
    if isinstance(error, TimeoutError):
        detail = "it does not answer"
    return f"{url} cannot be reached: {detail}; check the network, and AWS_ENDPOINT_URL where it is set"


def refusal(error: BaseException) -> str | None:
    """Return the code of an S3 server's refusal, such as ``NoSuchBucket``; None for other errors."""
    response = getattr(error.__cause__, "response", None) or {}
    code: str | None = response.get("Error", {}).get("Code")
    return code


class RemotePath:
    """A file or folder at a URL, with the methods of a `Path` that sources and stores use.

    Every request has a deadline, and an error names the URL and the remedy.

    Parameters
    ----------
    url
        Its location.
    failure
        Raised when the server refuses or does not answer.
    """

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
        """The folder that contains it."""
        return RemotePath(self.url.rpartition("/")[0], self._failure)

    def absolute(self) -> RemotePath:
        """Return itself: a URL does not depend on the working directory."""
        return self

    def exists(self) -> bool:
        """Return whether it is a file or a folder."""
        return self._type() is not None

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return self._type() == "file"

    def is_dir(self) -> bool:
        """Return whether it is a folder: a prefix of the names of files."""
        return self._type() == "directory"

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield the files and folders in it, in no particular order."""
        for found in self._ask(self._files.ls, self._path, detail=False):
            name = found.rstrip("/").removeprefix(self._path).strip("/")
            if name:  # some tools write an empty file that stands for the folder itself
                yield self / name

    def open(self, encoding: str, newline: str) -> TextIO:
        """Read a text file, and return it as a stream.

        Parameters
        ----------
        encoding, newline
            As of `open`.
        """
        content = self._ask(self._files.cat_file, self._path, deadline=PATIENCE_S)
        return io.StringIO(content.decode(encoding), newline)

    def files(self) -> list[str]:
        """Return all files below the folder, relative to it, in no particular order."""
        found = self._ask(self._files.find, self._path, deadline=_LISTING_S)
        return [path.removeprefix(self._path).lstrip("/") for path in found]

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
