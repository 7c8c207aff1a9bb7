"""Stores at URLs: zarr's store on fsspec, with deadlines, atomic creation and conditional replacement.

File systems' methods with an underscore are fsspec's documented interface for callers with an event loop, and
zarr's own FsspecStore calls them too. Its ObjectStore (on obstore) is marked experimental; it opens neither
``memory://`` nor the URLs of other fsspec packages: it would be a second way besides this one.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from zarr.core.sync import sync
from zarr.storage import FsspecStore

from latentscan.errors import StoreError
from latentscan.paths import DEADLINE_S, PATIENCE_S, connect, explain, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
_to_close: dict[int, Any] = {}  # by identity, since clients with the same settings are equal


class RemoteStore(FsspecStore):
    """A Zarr store at a URL.

    A server that refuses or does not answer raises a StoreError, so that nobody takes its chunks for missing
    or damaged. The first answer must come before a deadline.
    """

    _answered = False

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a key; None where it does not exist."""
        async with self._asking():
            return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer, byte_range: tuple[int, int] | None = None) -> None:
        """Write a key."""
        async with self._asking():
            await super().set(key, value, byte_range)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a key unless it exists already, in one step where the server can."""
        async with self._asking():
            await self._pipe(key, value, mode="create")

    async def delete(self, key: str) -> None:
        """Remove a key."""
        async with self._asking():
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Remove all keys below a prefix."""
        async with self._asking():
            await super().delete_dir(prefix)

    async def exists(self, key: str) -> bool:
        """Check whether a key exists."""
        async with self._asking():
            return await super().exists(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names right below a prefix."""
        async with self._asking():
            try:
                names = [name async for name in super().list_dir(prefix)]
            except NotADirectoryError:
                return
        for name in names:
            if name:  # some tools make an empty file to stand for the folder itself
                yield name

    async def version(self, key: str) -> str | None:
        """Return the ETag of a key; empty where the server has none, None where the key does not exist."""
        async with self._asking():
            try:
                info: dict[str, Any] = await self.fs._info(self._place(key))  # noqa: SLF001 (as FsspecStore does)
            except FileNotFoundError:
                return None
        return str(info.get("ETag", ""))

    async def replace(self, key: str, value: Buffer, version: str | None) -> bool:
        """Write a key unless its version has changed, and return whether it was written.

        Where the server has no versions, of two processes that write at once the last one counts.
        """
        async with self._asking():
            if version is None:
                return await self._pipe(key, value, mode="create")
            return await self._pipe(key, value, **({"IfMatch": version} if version else {}))

    async def _pipe(self, key: str, value: Buffer, **condition: Any) -> bool:
        place, content = self._place(key), value.to_bytes()
        try:
            await self.fs._pipe_file(place, content, **condition)  # noqa: SLF001 (as FsspecStore does)
        except FileExistsError:
            return False
        except OSError as error:
            if refusal(error) in _CHANGED:
                return False
            if not condition or error.errno != errno.ENOSYS:
                raise
            await self.fs._pipe_file(place, content)  # noqa: SLF001 (the server knows no conditions)
        return True

    def _place(self, key: str) -> str:
        return f"{self.path}/{key}"

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE_S if self._answered else DEADLINE_S):
                yield
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(explain(f"{self._url}/{self.path}", error)) from error
        self._answered = True

    @property
    def _url(self) -> str:
        return f"{self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]}:/"


def remote_store(url: str, *, read_only: bool) -> RemoteStore:
    """Return the zarr store object of a URL.

    Raises
    ------
    UsageError
        If nothing is installed for URLs of this kind.
    """
    file_system, path = connect(url, asynchronous=True)
    if id(file_system) not in _to_close:
        _to_close[id(file_system)] = file_system
        atexit.register(_close, file_system)
    return RemoteStore(file_system, read_only=read_only, path=path)


def _close(file_system: Any) -> None:
    """Close the connections of an S3 client, which does not do so itself in an event loop of others."""
    client = getattr(file_system, "_s3", None)
    if client is not None:
        sync(client.close(), timeout=1)
