"""Arrays of images that claim more than they hold, and damaged ones."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numcodecs  # type: ignore[import-untyped]
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from latentscan.encoding.sources import open_source
from latentscan.errors import UsageError
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status
from latentscan.store.claims import claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = Preprocessing(crop="none", size=9)
VALUES = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), dtype=np.uint8)


@pytest.fixture
def array(tmp_path: Path) -> Path:
    zarr.create_array(str(tmp_path / "a.zarr"), data=VALUES, chunks=(2, 9, 9, 3))
    return tmp_path / "a.zarr"


def change(array: Path, edit: Callable[[Any], Any]) -> None:
    metadata = json.loads((array / "zarr.json").read_text())
    edit(metadata)
    (array / "zarr.json").write_text(json.dumps(metadata))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_whole_arrays_are_read(tmp_path: Path, zarr_format: Any) -> None:
    for name, options in (("a", {}), ("b", {"compressors": None}), ("c", {"chunks": (3, 9, 9, 3)})):
        zarr.create_array(str(tmp_path / name), data=VALUES, zarr_format=zarr_format, **options)
        np.testing.assert_array_equal(open_source(tmp_path / name, SMALL).read(0, 4).values, VALUES)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda metadata: metadata["codecs"][1].update(name="zst0"),
            "the metadata of this Zarr array cannot be",
        ),
        (lambda metadata: metadata.pop("chunk_grid"), "the metadata of this Zarr array cannot be read"),
        (
            lambda metadata: metadata.update(data_type="uint9"),
            "the metadata of this Zarr array cannot be read",
        ),
        (lambda metadata: metadata.update(data_type="int16"), "expected uint8, uint16 or floats of shape"),
        (lambda metadata: metadata["shape"].__setitem__(0, 10**15), "expected at most 1,000,000,000 images"),
        (lambda metadata: metadata["shape"].__setitem__(1, 10**9), "of at most 64,000,000 pixels"),
        (
            lambda metadata: metadata["chunk_grid"]["configuration"].update(chunk_shape=[10**8, 9, 9, 3]),
            "its chunks take 24,300,000,000 bytes each; expected at most 1,073,741,824",
        ),
    ],
)
def test_arrays_that_cannot_be_are_refused(array: Path, edit: Any, message: str) -> None:
    change(array, edit)
    with pytest.raises(UsageError, match=r"a\.zarr") as refused:
        open_source(array, SMALL)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\0", b"[" * 100_000, b'{"zarr_format": ' + b"9" * 5000 + b"}"]
)
def test_metadata_that_is_none_is_refused(array: Path, content: bytes) -> None:
    (array / "zarr.json").write_bytes(content)
    with pytest.raises(UsageError, match="the metadata of this Zarr array cannot be read"):
        open_source(array, SMALL)


def gzipped(size: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=31)
    return compressor.compress(bytes(size)) + compressor.flush()


BOMBS = {
    "a header that claims 30 GB": b"\x28\xb5\x2f\xfd\xe0" + (30 << 30).to_bytes(8, "little") + b"\1\0\0",
    "Zstandard": numcodecs.zstd.compress(bytes(64 << 20), 1),
    "blocks without a size": b"\x28\xb5\x2f\xfd\0\x48" + (b"\2\0\x10\0" * 999) + b"\3\0\x10\0",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_chunk_that_claims_more_than_it_may_hold_costs_its_own_rows(array: Path, bomb: bytes) -> None:
    (array / "c/1/0/0/0").write_bytes(bomb)
    pixels = open_source(array, SMALL).read(0, 4)
    assert list(pixels.status) == [0, 0, Status.DAMAGED, Status.DAMAGED]
    assert "expected at most 4,642" in pixels.reasons[2]
    np.testing.assert_array_equal(pixels.values[:2], VALUES[:2])


@pytest.mark.parametrize("content", [b"", b"no chunk", bytes(50)])
def test_a_damaged_chunk_costs_its_own_rows(array: Path, content: bytes) -> None:
    (array / "c/0/0/0/0").write_bytes(content)
    assert list(open_source(array, SMALL).read(0, 4).status) == [Status.DAMAGED, Status.DAMAGED, 0, 0]


def test_what_was_compressed_claims_what_it_holds() -> None:
    content = np.random.default_rng(0).bytes(70_000)
    assert claim(numcodecs.zstd.compress(content, 3), 1, "zstd") == 70_000
    assert claim(zlib.compress(content), 1, "zlib") == 70_000
    assert claim(numcodecs.blosc.compress(content, b"lz4", 5), 1, "blosc") == 70_000
    assert claim(numcodecs.lz4.compress(content), 1, "lz4") == 70_000
    assert claim(content, 1, None) == 70_000


BOUNDED: dict[str, tuple[int, dict[str, Any], bytes]] = {
    "zstd": (2, {"compressors": numcodecs.Zstd()}, numcodecs.Zstd().encode(bytes(64 << 20))),
    "zlib": (2, {"compressors": numcodecs.Zlib()}, zlib.compress(bytes(64 << 20))),
    "gzip": (3, {"compressors": GzipCodec()}, gzipped(64 << 20)),
    "blosc": (2, {"compressors": numcodecs.Blosc()}, numcodecs.Blosc().encode(bytes(64 << 20))),
    "blosc and a checksum": (
        3,
        {"compressors": (BloscCodec(), Crc32cCodec())},
        numcodecs.Blosc().encode(bytes(64 << 20)),
    ),
    "lz4": (2, {"compressors": numcodecs.LZ4()}, numcodecs.LZ4().encode(bytes(64 << 20))),
    "filters": (
        2,
        {"filters": [numcodecs.Delta("u1"), numcodecs.Shuffle(1)], "compressors": numcodecs.LZ4()},
        numcodecs.LZ4().encode(bytes(64 << 20)),
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_chunk_of_each_codec_is_read_and_a_bomb_of_it_is_not(tmp_path: Path, name: str) -> None:
    zarr_format, options, bomb = BOUNDED[name]
    layout: dict[str, Any] = {"chunks": (2, 9, 9, 3), "zarr_format": zarr_format, **options}
    zarr.create_array(str(tmp_path / "a"), data=VALUES, **layout)
    np.testing.assert_array_equal(open_source(tmp_path / "a", SMALL).read(0, 4).values, VALUES)
    (tmp_path / "a" / ("1.0.0.0" if zarr_format == 2 else "c/1/0/0/0")).write_bytes(bomb)
    pixels = open_source(tmp_path / "a", SMALL).read(0, 4)
    assert list(pixels.status) == [0, 0, Status.DAMAGED, Status.DAMAGED]
    assert "expected at most 4,642" in pixels.reasons[2]


def test_shards_are_read(tmp_path: Path) -> None:
    options: dict[str, Any] = {"chunks": (1, 9, 9, 3), "shards": (2, 9, 9, 3)}
    several: tuple[tuple[str, Any], ...] = (("a", "auto"), ("b", None), ("c", GzipCodec()))
    for name, compressors in several:
        zarr.create_array(str(tmp_path / name), data=VALUES, **options, compressors=compressors)
        for start, stop in ((0, 4), (1, 2)):
            found = open_source(tmp_path / name, SMALL).read(start, stop).values
            np.testing.assert_array_equal(found, VALUES[start:stop])


UNBOUNDED: dict[str, tuple[int, dict[str, Any]]] = {
    "bz2": (2, {"compressors": numcodecs.BZ2()}),
    "lzma": (2, {"compressors": numcodecs.LZMA()}),
    "zlib, zstd": (2, {"filters": [numcodecs.Zlib()], "compressors": numcodecs.Zstd()}),
    "gzip, zstd": (3, {"compressors": (GzipCodec(), ZstdCodec())}),
    "blosc in shards": (3, {"compressors": BloscCodec(), "shards": (4, 9, 9, 3)}),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_codecs_that_may_make_anything_of_a_chunk_are_refused(tmp_path: Path, name: str) -> None:
    zarr_format, options = UNBOUNDED[name]
    layout: dict[str, Any] = {"chunks": (2, 9, 9, 3), "zarr_format": zarr_format, **options}
    zarr.create_array(str(tmp_path / "a"), data=VALUES, **layout)
    with pytest.raises(UsageError, match=f"its codec is {name}; store it with zstd or none"):
        open_source(tmp_path / "a", SMALL)
