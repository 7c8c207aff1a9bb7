"""The files of a store as they are: their content, their digests, and what may be wrong with them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from latentscan.errors import StoreError, command
from latentscan.paths import is_url, local_path
from latentscan.store.claims import HEADER_BYTES, blosc_size, zstd_size
from latentscan.store.files import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from zarr.abc.store import Store
    from zarr.core.metadata import ArrayV3Metadata

TEXTS_BYTES_LIMIT = 2**31  # of a chunk of texts
_TEXT_BYTES = 4 + 4096  # the longest path, and its length
_FEW_TEXTS_BYTES = 2**20  # may be long
_CODEC_BYTES = 1024  # what codecs add to a chunk at most, beside a small part of it
_CHECKSUM_BYTES = 4
READ_ERRORS = (ValueError, RuntimeError, OSError)  # what zarr and its codecs raise on bad bytes


def unreadable(error: Exception) -> str:
    """Return what is wrong with a chunk, in words, from the error of reading or decoding it."""
    if isinstance(error, OSError) and error.errno != errno.EFBIG:
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, OSError):
        return f"is damaged: {error.strerror}"
    return f"is damaged: {error if isinstance(error, DecodingError) else 'it cannot be decoded'}"


class DecodingError(ValueError):
    """What is wrong with the bytes of a chunk."""


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
        return "\0".join(values.ravel().tolist()).encode()
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


def read_files(
    location: str, store: Store, keys: Sequence[str], limits: Sequence[int]
) -> list[NDArray[np.uint8] | None]:
    """Read files of a store as they are, all at once; None for one that does not exist.

    zarr would copy them twice more, and do so for all threads in the one thread of its event loop.

    Parameters
    ----------
    location, store
        The store.
    keys
        The files.
    limits
        How many bytes each may have; a longer one on a disk is not read.

    Raises
    ------
    OSError
        If a file cannot be read, or is too long.
    """
    if not is_url(location):
        folder = local_path(location)
        return [_read_file(folder / key, limit) for key, limit in zip(keys, limits, strict=True)]
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    async def read() -> list[NDArray[np.uint8] | None]:
        found = await asyncio.gather(*(store.get(key, default_buffer_prototype()) for key in keys))
        return [None if content is None else np.asarray(content.as_numpy_array()) for content in found]

    return sync(read())


def _read_file(file: Path, limit: int) -> NDArray[np.uint8] | None:
    try:
        return read_file(file, limit)
    except (FileNotFoundError, NotADirectoryError):
        return None


def longest_file(metadata: ArrayV3Metadata) -> int:
    """Return how many bytes the file of a chunk may have."""
    size = _bytes_of(metadata)
    if [codec.to_dict()["name"] for codec in metadata.codecs] == ["bytes", "crc32c"]:
        return size + _CHECKSUM_BYTES
    return size + size // 128 + _CODEC_BYTES  # what is compressed may become a little longer


def decode_chunk(content: NDArray[np.uint8], metadata: ArrayV3Metadata) -> NDArray[Any]:
    """Decode the file of a chunk, whole, with its padding.

    No number in the file decides how much memory is taken before it is compared with the size of a chunk.

    Parameters
    ----------
    content
        The file.
    metadata
        That of the array; with codecs that latentscan writes.

    Raises
    ------
    ValueError
        If it is damaged, or has other codecs.
    """
    expected = _bytes_of(metadata)
    for codec in reversed(metadata.codecs[1:]):
        content = _decode_bytes(content, codec, expected)
    first: dict[str, Any] = metadata.codecs[0].to_dict()
    shape = metadata.chunks
    if first["name"] == "vlen-utf8":
        return np.asarray(_texts(content, math.prod(shape)), np.dtypes.StringDType()).reshape(shape)
    if first["name"] != "bytes" or len(content) != expected:
        raise DecodingError(f"it is {len(content):,} bytes long, expected {expected:,}")
    dtype = metadata.dtype.to_native_dtype()
    is_big = first.get("configuration", {}).get("endian") == "big"
    return content.view(dtype.newbyteorder(">" if is_big else "<")).reshape(shape)


def _decode_bytes(content: NDArray[np.uint8], codec: Any, expected: int) -> NDArray[np.uint8]:
    """Undo a codec that makes bytes of bytes, of which there should be as many as expected afterwards."""
    name = codec.to_dict()["name"]
    if name == "crc32c":
        if len(content) < _CHECKSUM_BYTES:
            raise DecodingError("it is cut short")
        stored, content = content[-_CHECKSUM_BYTES:].tobytes(), content[:-_CHECKSUM_BYTES]
        if int(google_crc32c.value(content)).to_bytes(_CHECKSUM_BYTES, "little") != stored:
            raise DecodingError("its checksum differs")
        return content
    if name not in ("zstd", "blosc"):
        raise DecodingError(f"its codec is {name}")
    header = content[:HEADER_BYTES].tobytes()
    claimed = zstd_size(header) if name == "zstd" else blosc_size(header, len(content))
    if claimed is None:
        raise DecodingError("its header does not say how much it holds")
    if claimed > expected:
        raise DecodingError(f"it claims {claimed:,} bytes, expected at most {expected:,}")
    import numcodecs.blosc  # type: ignore[import-untyped]
    import numcodecs.zstd  # type: ignore[import-untyped]

    decompress = numcodecs.zstd.decompress if name == "zstd" else numcodecs.blosc.decompress
    return np.frombuffer(decompress(np.ascontiguousarray(content)), np.uint8)


def _bytes_of(metadata: ArrayV3Metadata) -> int:
    """Return how many bytes a chunk takes before it is compressed; of texts, the most that is accepted."""
    count, dtype = math.prod(metadata.chunks), metadata.dtype.to_native_dtype()
    if dtype.kind in "OT":
        return min(max(count * _TEXT_BYTES, _FEW_TEXTS_BYTES), TEXTS_BYTES_LIMIT)
    return count * dtype.itemsize


def _texts(content: NDArray[np.uint8], count: int) -> list[str]:
    """Read texts, each behind its length, which follow their number; all numbers take four bytes."""
    data, texts, at = content.tobytes(), [], 4
    if int.from_bytes(data[:4], "little") != count or len(data) < 4 * (1 + count):
        raise DecodingError(f"it does not hold {count:,} texts")
    for _ in range(count):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise DecodingError("a text is cut short")
        texts.append(data[start:at].decode())
    if at != len(data):
        raise DecodingError("there is something behind the last text")
    return texts
