from __future__ import annotations

import hashlib
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from latentscan.store.chunks import (
    ChunkError,
    DecodingError,
    checksum_of,
    decode_chunk,
    digest_of,
    longest_file,
    read_files,
)
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from zarr.core.metadata import ArrayV3Metadata

CODECS: dict[str, Any] = {
    "none": (Crc32cCodec(),),
    "zstd": (ZstdCodec(level=3), Crc32cCodec()),
    "lz4": (BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=4), Crc32cCodec()),
}


def test_a_digest_hashes_little_endian_bytes_in_c_order() -> None:
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    content = values.astype("<f4").tobytes()
    expected = hashlib.sha224(content).digest() + google_crc32c.value(content).to_bytes(4, "big")
    assert digest_of(values) == digest_of(np.asfortranarray(values)) == expected
    assert checksum_of(values) == expected[-4:]


def test_a_digest_of_texts_hashes_them_joined_by_nul() -> None:
    texts = np.array(["ünter/1.jpg", "2.jpg"], dtype=object)
    assert digest_of(texts)[:28] == hashlib.sha224("ünter/1.jpg\0002.jpg".encode()).digest()


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr")
    key = store.chunk_key(1, "z")
    found, absent = read_files(store.location, store.group.store, [key, "z/c/9/0"], [2**20] * 2)
    assert found is not None
    assert found.tobytes() == (tmp_path / "z.zarr" / key).read_bytes()
    assert absent is None


def test_an_error_of_a_chunk_comes_back_from_another_process_as_it_was() -> None:
    error = ChunkError("s3://bucket/z.zarr", "z/c/0/0", "is missing")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(copy), copy.chunk, copy.problem) == (str(error), "z/c/0/0", "is missing")
    assert "latentscan check --store s3://bucket/z.zarr" in copy.spelled("command line")


def chunk_of(folder: Path, dtype: Any, codecs: Any) -> tuple[bytes, ArrayV3Metadata]:
    array = zarr.create_array(str(folder), shape=(3,), chunks=(4,), dtype=dtype, compressors=codecs)
    array[:] = np.array(["a", "ünter", ""], object) if dtype is str else np.arange(3).astype(dtype)
    return (folder / "c" / "0").read_bytes(), array.metadata  # type: ignore[return-value]


def as_array(content: bytes) -> Any:
    return np.frombuffer(content, np.uint8)


def checked(content: bytes) -> bytes:
    return content + int(google_crc32c.value(content)).to_bytes(4, "little")


@pytest.mark.parametrize("codecs", [*CODECS.values(), None])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool", str])
def test_a_chunk_is_decoded_as_zarr_does(tmp_path: Path, dtype: Any, codecs: Any) -> None:
    content, metadata = chunk_of(tmp_path, dtype, codecs)
    expected = np.asarray(zarr.open_array(str(tmp_path), mode="r")[:])
    found = decode_chunk(as_array(content), metadata)
    assert (len(found), found.dtype) == (4, expected.dtype)
    np.testing.assert_array_equal(found[:3], expected)
    assert len(content) <= longest_file(metadata)


CLAIMS: dict[str, tuple[str, Any, bytes]] = {
    "of texts": ("none", str, b"\xff\xff\xff\xf0" + bytes(200)),
    "of one text": ("none", str, (4).to_bytes(4, "little") + b"\xff\xff\xff\x7f" + bytes(40)),
    "of bytes behind Zstandard": ("zstd", "float32", b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + bytes(20)),
    "of texts behind Zstandard": ("zstd", str, b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + bytes(20)),
    "of nothing behind Zstandard": ("zstd", "float32", b"\x28\xb5\x2f\xfd\x00\x58" + bytes(20)),
    "of bytes behind Blosc": ("lz4", "float32", b"\x02\x01\x33\x04" + b"\xff\xff\xff\x7f" * 3),
    "of no codec": ("lz4", "float32", b"\x02"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_number_in_a_chunk_takes_memory(tmp_path: Path, claim: str) -> None:
    compression, dtype, content = CLAIMS[claim]
    _, metadata = chunk_of(tmp_path, dtype, CODECS[compression])
    tracemalloc.start()
    with pytest.raises(DecodingError):
        decode_chunk(as_array(checked(content)), metadata)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("claim", ["of nothing behind Zstandard", "of no codec"])
def test_a_header_that_claims_nothing_is_said(tmp_path: Path, claim: str) -> None:
    compression, dtype, content = CLAIMS[claim]
    _, metadata = chunk_of(tmp_path, dtype, CODECS[compression])
    with pytest.raises(DecodingError, match="its header does not say how much it holds"):
        decode_chunk(as_array(checked(content)), metadata)


@pytest.mark.parametrize("dtype", ["float32", str])
@pytest.mark.parametrize("codecs", CODECS)
def test_a_byte_more_or_less_is_no_chunk(tmp_path: Path, dtype: Any, codecs: str) -> None:
    content, metadata = chunk_of(tmp_path, dtype, CODECS[codecs])
    for changed in (content[:-1], content + b"\0", content[:3], b"", checked(content[:-5])):
        with pytest.raises((ValueError, RuntimeError)):
            decode_chunk(as_array(changed), metadata)


def test_codecs_that_latentscan_does_not_write_are_refused(tmp_path: Path) -> None:
    from zarr.codecs import GzipCodec

    content, metadata = chunk_of(tmp_path, "float32", (GzipCodec(),))
    with pytest.raises(DecodingError, match="gzip"):
        decode_chunk(as_array(content), metadata)
