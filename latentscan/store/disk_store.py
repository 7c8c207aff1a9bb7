"""A Zarr store in a folder of this machine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from latentscan.store.files import FILE_BYTES_LIMIT, put_first, read_file, require_file, write_file

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

METADATA_BYTES_LIMIT = 2**28


class DiskStore(LocalStore):
    """Zarr's store of files, which reads regular files alone, and writes each whole or not at all."""

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a key; None where it does not exist."""
        file = self.root / key
        try:
            if byte_range is not None:
                require_file(file.stat().st_mode)
                return super().get_sync(key, prototype=prototype, byte_range=byte_range)
            limit = METADATA_BYTES_LIMIT if file.suffix == ".json" else FILE_BYTES_LIMIT
            content = read_file(file, limit)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        return (prototype or default_buffer_prototype()).buffer.from_array_like(content)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a key; None where it does not exist."""
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a key."""
        self._check_writable()
        write_file(self.root / key, value.as_buffer_like())

    async def set(self, key: str, value: Buffer) -> None:
        """Write a key."""
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a key unless it exists already, in one step."""
        self._check_writable()
        with suppress(FileExistsError):
            await asyncio.to_thread(write_file, self.root / key, value.as_buffer_like(), put=put_first)
