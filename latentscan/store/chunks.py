"""The files of a store as they are: their content, their digests, and what may be wrong with them."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from latentscan.errors import StoreError, command
from latentscan.paths import is_url, local_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from zarr.abc.store import Store

READ_ERRORS = (ValueError, RuntimeError, OSError)  # what zarr and its codecs raise on bad bytes


class ChunkError(StoreError):
    """A chunk that is missing or damaged: `chunk` is its file in the store, `problem` what is wrong."""

    def __init__(self, location: str, chunk: str, problem: str) -> None:
        super().__init__(
            f"{location}: chunk {chunk} {problem}; {command('check', store=location)} lists all damage"
        )
        self.location = location
        self.chunk = chunk
        self.problem = problem

    def __reduce__(self) -> tuple[type[ChunkError], tuple[str, str, str]]:
        return type(self), (self.location, self.chunk, self.problem)


def digest_of(values: NDArray[Any]) -> bytes:
    """Hash the content of one array of one block: SHA-224, followed by CRC-32C (big-endian), 32 bytes.

    What is hashed are the little-endian bytes in C order; of an array of texts, the UTF-8 texts joined by
    NUL. A reader compares the checksum, which costs next to nothing; `check` compares the hash too.

    Examples
    --------
    >>> digest_of(np.zeros((2, 3), np.float32)).hex()[-8:]
    '84fbecee'
    """
    return hashlib.sha224(_content(values)).digest() + checksum_of(values)


def checksum_of(values: NDArray[Any]) -> bytes:
    """Return the last four bytes of `digest_of`."""
    return int(google_crc32c.value(_content(values))).to_bytes(4, "big")


def _content(values: NDArray[Any]) -> Any:
    if values.dtype.kind in "OTU":
        return "\0".join(values.tolist()).encode()
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


def read_files(location: str, store: Store, keys: Sequence[str]) -> list[NDArray[np.uint8] | None]:
    """Read files of a store as they are, all at once; None for one that does not exist.

    zarr would copy them twice more, and do so for all threads in the one thread of its event loop.
    """
    if not is_url(location):
        folder = local_path(location)
        return [_read_file(folder / key) for key in keys]
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    async def read() -> list[NDArray[np.uint8] | None]:
        found = await asyncio.gather(*(store.get(key, default_buffer_prototype()) for key in keys))
        return [None if content is None else np.asarray(content.as_numpy_array()) for content in found]

    return sync(read())


def _read_file(file: Path) -> NDArray[np.uint8] | None:
    try:
        return np.fromfile(file, np.uint8)
    except FileNotFoundError:
        return None
