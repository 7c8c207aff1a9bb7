from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from latentscan.store.chunks import ChunkError, checksum_of, digest_of, read_files
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path


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
    found, absent = read_files(store.location, store.group.store, [key, "z/c/9/0"])
    assert found is not None
    assert found.tobytes() == (tmp_path / "z.zarr" / key).read_bytes()
    assert absent is None


def test_an_error_of_a_chunk_comes_back_from_another_process_as_it_was() -> None:
    error = ChunkError("s3://bucket/z.zarr", "z/c/0/0", "is missing")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(copy), copy.chunk, copy.problem) == (str(error), "z/c/0/0", "is missing")
    assert "latentscan check --store s3://bucket/z.zarr" in copy.spelled("command line")
