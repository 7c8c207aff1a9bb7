"""What compressed chunks claim to hold: compared with a limit before any memory is taken for it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

CHUNK_BYTES_LIMIT = 1 << 30
_CODEC_BYTES = 4096
_METADATA_BYTES_LIMIT = 1 << 28
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_NUMCODECS = "numcodecs."
_COMPRESSORS = {
    f"{prefix}{name}" for prefix in ("", _NUMCODECS) for name in ("zstd", "gzip", "zlib", "blosc", "lz4")
}
_OF_ONE_SIZE = {f"{prefix}{name}" for prefix in ("", _NUMCODECS) for name in ("shuffle", "delta")}
_OF_ONE_SIZE |= {"bytes", "crc32c", "transpose", "sharding_indexed"}
_ZSTD = b"\x28\xb5\x2f\xfd"
HEADER_BYTES = 18  # of the longest header that says how much follows
_BLOSC_HEADER = 16
_ZSTD_BLOCK = 1 << 17  # bytes that a block holds at most
_DEFLATE_RATIO = 1032  # of what was compressed to what it takes, at most


def guarded(store: Store) -> Any:
    """Return a store to read from, which refuses a chunk that claims to hold more than `chunk_bytes`.

    The attributes are set once the array is opened. Raises ValueError for such a file.
    """
    from zarr.storage import WrapperStore

    class Guarded(WrapperStore):  # type: ignore[type-arg]
        chunk_bytes = CHUNK_BYTES_LIMIT
        compressor: str | None = None

        async def get(
            self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
        ) -> Buffer | None:
            found = await super().get(key, prototype, byte_range)
            if found is not None:
                is_metadata = key.endswith(_METADATA)
                limit = _METADATA_BYTES_LIMIT if is_metadata else _with_codecs(self.chunk_bytes)
                claimed = len(found) if is_metadata else claim(found.to_bytes(), limit, self.compressor)
                if claimed > limit:
                    raise ValueError(f"{key} claims {claimed:,} bytes; expected at most {limit:,}")
            return found

    return Guarded(store)


def _with_codecs(chunk_bytes: int) -> int:
    """Return how many bytes a chunk may have between two codecs: checksums, an index of inner chunks."""
    return chunk_bytes + chunk_bytes // 8 + _CODEC_BYTES


def bounded_compressor(array: zarr.Array[Any]) -> str | None:
    """Return the codec that compresses the chunks of an array, one whose claims are known; None without one.

    Raises
    ------
    ValueError
        If another codec may make more of a chunk than can be known before; the message is its name.
    """
    names, of_index = _codecs(array)
    compressors = [name for name in names if name in _COMPRESSORS]
    unknown = [name for name in names if name not in _COMPRESSORS | _OF_ONE_SIZE]
    unknown += [name for name in of_index if name not in ("bytes", "crc32c")]
    # what follows the compressor would hide its header; a checksum comes behind it
    followed = compressors and [name for name in names if name != "crc32c"][-1] not in compressors
    if unknown or followed or len(compressors) > 1:
        raise ValueError(", ".join(unknown or (names if followed else compressors)))
    if not compressors:
        return None
    compressor = compressors[0].removeprefix(_NUMCODECS)
    if "sharding_indexed" in names and compressor in ("blosc", "lz4"):  # an index has no header like theirs
        raise ValueError(f"{compressor} in shards")
    return compressor


def _codecs(array: zarr.Array[Any]) -> tuple[list[str], list[str]]:
    """Return the names of an array's codecs, in the order of writing, and those of the index of shards."""
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        found = (*(metadata.filters or ()), metadata.compressor)
        return [codec.codec_id for codec in found if codec is not None], []
    names, of_index = [], []
    codecs = [codec.to_dict() for codec in metadata.codecs]
    while codecs:
        codec = codecs.pop(0)
        names.append(codec["name"])
        if codec["name"] == "sharding_indexed":
            of_index += [each["name"] for each in codec["configuration"]["index_codecs"]]
            codecs = [*codec["configuration"]["codecs"], *codecs]
    return names, of_index


def claim(content: bytes, limit: int, compressor: str | None) -> int:
    """Return how many bytes a compressed chunk claims to hold, or may hold at most; its own for other bytes.

    What does not say so itself is looked at until it is beyond the limit.

    Examples
    --------
    >>> claim(bytes(100), 200, None), claim(zlib.compress(bytes(999)), 0, "zlib")
    (100, 999)
    """
    if compressor == "zstd" and content[:4] == _ZSTD:
        return _zstd_claim(content)
    if compressor == "blosc" and len(content) >= _BLOSC_HEADER:
        return int.from_bytes(content[4:8], "little")
    if compressor == "lz4":
        return int.from_bytes(content[:4], "little")
    if compressor in ("gzip", "zlib") and len(content) * _DEFLATE_RATIO > limit:
        return _deflate_claim(content, limit)
    return len(content)


def zstd_size(header: bytes) -> int | None:
    """Return how many bytes a Zstandard frame says it holds, from its beginning; None where it does not.

    References
    ----------
    RFC 8878, 3.1.1.
    """
    start, length = _zstd_field(header)
    if header[:4] != _ZSTD or not length or len(header) < start + length:
        return None
    return int.from_bytes(header[start : start + length], "little") + (256 if length == 2 else 0)


def blosc_size(header: bytes, length: int) -> int | None:
    """Return how many bytes a Blosc buffer says it holds, from its beginning.

    None where its own length is another than it says.
    """
    if len(header) < _BLOSC_HEADER or int.from_bytes(header[12:16], "little") != length:
        return None
    return int.from_bytes(header[4:8], "little")


def _zstd_field(header: bytes) -> tuple[int, int]:
    """Return where the size stands in the header of a frame, and its length, which may be 0."""
    descriptor = header[4] if len(header) > 4 else 0
    single = descriptor >> 5 & 1
    return 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3], (single, 2, 4, 8)[descriptor >> 6]


def _zstd_claim(content: bytes) -> int:
    """Return the size in the header of a frame, or what its blocks can hold."""
    size = zstd_size(content[:HEADER_BYTES])
    if size is not None:
        return size
    start, _ = _zstd_field(content[:HEADER_BYTES])
    blocks = 0
    is_last = False
    while not is_last and start + 3 <= len(content):
        header = int.from_bytes(content[start : start + 3], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        start += 3 + (1 if kind == 1 else size)  # a byte that is repeated, or so many bytes
        blocks += 1
    return blocks * _ZSTD_BLOCK


def _deflate_claim(content: bytes, limit: int) -> int:
    """Return what was compressed takes, by decompressing it a piece at a time."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    held, left = 0, content
    try:
        while left and not decompressor.eof and held <= limit:
            held += len(decompressor.decompress(left, 1 << 20))
            left = decompressor.unconsumed_tail
    except zlib.error:  # no such stream after all, or a damaged one
        return len(content)
    return held
