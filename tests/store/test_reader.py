from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pytest
import xarray as xr
import zarr

from latentscan.errors import StoreError, UsageError
from latentscan.images.source import Status
from latentscan.store.chunks import ChunkError
from latentscan.store.integrity import check_block
from latentscan.store.metadata import SEAL, seal_of
from latentscan.store.reader import open_store
from latentscan.store.schema import Compression, Schema
from latentscan.store.writer import create_store, reject_not_finite, retract_blocks, write_block

if TYPE_CHECKING:
    from latentscan.store.reader import LatentStore

SCHEMA = Schema(
    images=10, components=3, latents=("mu", "logvar", "z"), chunk_rows=4, labels=("Male", "Young"), split=True
)


def block_values(schema: Schema, block: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed + block)
    rows = schema.rows(block)
    values: dict[str, Any] = {
        name: rng.standard_normal((len(rows), schema.components)).astype(np.float32)
        for name in schema.latents
    }
    values["path"] = np.array([f"ünter/{row}.jpg" for row in rows], dtype=object)
    values["status"] = np.zeros(len(rows), np.uint8)
    values["split"] = np.full(len(rows), 1, np.int8)
    values["attribute"] = np.full((len(rows), 2), (-1, block), np.int8)
    return {name: values[name] for name in schema.names}


def fill(location: Path, schema: Schema = SCHEMA, blocks: tuple[int, ...] = (0, 1, 2)) -> LatentStore:
    store = create_store(str(location), schema, {"seed": 0})
    for block in blocks:
        write_block(store, block, block_values(schema, block))
    return open_store(str(location))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = fill(tmp_path / "z.zarr")
    assert store.schema == SCHEMA
    digests = store.digests()
    for block in range(3):
        expected = block_values(SCHEMA, block)
        found = store.read_block(block, SCHEMA.names, digests[block])
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


def test_xarray_reads_it_without_a_warning(tmp_path: Path) -> None:
    fill(tmp_path / "z.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(tmp_path / "z.zarr")
    assert dict(dataset.sizes)["image"] == 10
    assert dataset["mu"].dims == ("image", "component")
    assert dataset["mu"].chunks == ((4, 4, 2), (3,))
    assert set(dataset.coords) >= {"path", "status", "split", "label", "array"}
    assert dataset["attribute"].sel(label="Male").values.tolist() == [-1] * 10
    assert str(dataset["path"].values[4]) == "ünter/4.jpg"


def test_the_digest_hashes_the_raw_rows(tmp_path: Path) -> None:
    store = fill(tmp_path / "z.zarr")
    plain = zarr.open_group(str(tmp_path / "z.zarr"), mode="r")
    rows = np.asarray(plain["z"][4:8])  # type: ignore[index]
    number = store.schema.names.index("z")
    content = rows.astype("<f4").tobytes()
    expected = hashlib.sha224(content).digest() + google_crc32c.value(content).to_bytes(4, "big")
    assert store.digests()[1, number].tobytes() == expected
    texts = "\0".join(f"ünter/{row}.jpg" for row in range(4, 8)).encode()
    number = store.schema.names.index("path")
    assert store.digests()[1, number].tobytes()[:28] == hashlib.sha224(texts).digest()


def test_a_block_is_there_only_when_its_digest_is(tmp_path: Path) -> None:
    store = fill(tmp_path / "z.zarr", blocks=(0, 2))
    assert store.committed().tolist() == [True, False, True]
    assert check_block(store, 1) is None
    retract_blocks(store.location, (2,))
    assert store.committed().tolist() == [True, False, False]


def test_rejected_rows_are_written_though_they_equal_the_fill_value(tmp_path: Path) -> None:
    store = create_store(str(tmp_path / "z.zarr"), SCHEMA, {})
    values = block_values(SCHEMA, 0)
    values["status"][:] = Status.DAMAGED
    reject_not_finite(values)
    write_block(store, 0, values)
    assert (tmp_path / "z.zarr" / "z" / "c" / "0" / "0").exists()
    found = store.read_block(0, ("z", "status"), store.digests()[0])
    assert np.isnan(found["z"]).all()
    assert set(found["status"]) == {Status.DAMAGED}


def test_a_row_with_one_infinity_is_rejected_whole_and_no_other() -> None:
    values = block_values(SCHEMA, 0)
    values["mu"][2, 1] = np.inf
    kept = values["z"][[0, 1, 3]].copy()
    reject_not_finite(values)
    assert values["status"].tolist() == [0, 0, Status.NOT_FINITE, 0]
    assert np.isnan(values["z"][2]).all()
    np.testing.assert_array_equal(values["z"][[0, 1, 3]], kept)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def swap(file: Path) -> None:
    other = file.parent.parent / "0" / file.name if file.parent.name.isdigit() else file.with_name("0")
    mine, theirs = file.read_bytes(), other.read_bytes()
    file.write_bytes(theirs)
    other.write_bytes(mine)


@pytest.mark.parametrize("name", ["mu", "logvar", "z", "path", "attribute"])
@pytest.mark.parametrize(
    ("harm", "problem"),
    [(flip_a_bit, "damaged"), (halve, "damaged"), (Path.unlink, "is missing"), (swap, "not what was")],
)
@pytest.mark.parametrize("compression", ["none", "zstd", "lz4"])
def test_no_damage_is_read_as_data(
    tmp_path: Path, name: str, harm: Any, problem: str, compression: Compression
) -> None:
    schema = Schema(10, 3, ("mu", "logvar", "z"), 4, ("Male", "Young"), split=True, compression=compression)
    store = fill(tmp_path / "z.zarr", schema)
    key = store.chunk_key(1, name)
    harm(tmp_path / "z.zarr" / key)
    with pytest.raises(ChunkError, match=f"{key} .*{problem}"):
        store.read_block(1, (name,), store.digests()[1])
    found = check_block(store, 1)
    assert found is not None
    assert [damage.file for damage in found] == [key]


def test_a_damaged_commit_record_is_an_error(tmp_path: Path) -> None:
    store = fill(tmp_path / "z.zarr")
    flip_a_bit(tmp_path / "z.zarr" / store.chunk_key(1, "digest"))
    with pytest.raises(ChunkError, match="digest/c/1/0/0"):
        store.digests()


def test_a_store_is_resumed_only_as_it_was_begun(tmp_path: Path) -> None:
    location = str(tmp_path / "z.zarr")
    create_store(location, SCHEMA, {"seed": 0, "versions": {"numpy": "1"}})
    create_store(location, SCHEMA, {"seed": 0, "versions": {"numpy": "2"}})
    with pytest.raises(UsageError, match="seed = 0, now it is 1"):
        create_store(location, SCHEMA, {"seed": 1})
    with pytest.raises(UsageError, match="chunk_rows = 4, now it is 5"):
        create_store(location, Schema(10, 3, SCHEMA.latents, 5, SCHEMA.labels, split=True), {"seed": 0})


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"photo\.jpg"):
        create_store(str(tmp_path), SCHEMA, {})
    with pytest.raises(UsageError, match="is a file"):
        create_store(str(tmp_path / "photo.jpg"), SCHEMA, {})
    with pytest.raises(StoreError, match="no latent store"):
        open_store(str(tmp_path))
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(StoreError, match="no latent store"):
        open_store(str(tmp_path / "other.zarr"))
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_an_interrupted_creation_is_begun_again(tmp_path: Path) -> None:
    location = tmp_path / "z.zarr"
    create_store(str(location), SCHEMA, {"seed": 0})
    (location / "zarr.json").unlink()
    with pytest.raises(StoreError):
        open_store(str(location))
    store = fill(location)
    assert store.committed().all()


def test_a_newer_format_is_not_read(tmp_path: Path) -> None:
    location = tmp_path / "z.zarr"
    fill(location)
    root = json.loads((location / "zarr.json").read_text())
    root["attributes"]["format_version"] = 99
    root["attributes"][SEAL] = seal_of(root)
    (location / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(StoreError, match="format version is 99"):
        open_store(str(location))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"components": 0}, "components is 0"),
        ({"chunk_rows": -1}, "chunk_rows is -1"),
        ({"latents": ()}, "expected some of"),
        ({"latents": ("x",)}, "expected some of"),
        ({"compression": "rar"}, "rar"),
    ],
)
def test_impossible_schemas(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Schema(**{"images": 1, "components": 1, "latents": ("z",), **change})


def test_an_array_of_another_shape_is_not_written(tmp_path: Path) -> None:
    store = create_store(str(tmp_path / "z.zarr"), SCHEMA, {})
    values = block_values(SCHEMA, 0)
    values["z"] = values["z"][:3]
    with pytest.raises(UsageError, match=r"'z' .* got \(3, 3\), expected shape \(4, 3\)"):
        write_block(store, 0, values)
    assert not store.committed().any()
