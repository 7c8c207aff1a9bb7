"""Attributes of every kind in a store, and the axes of latents: schema, writer and reader together."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from latentscan.errors import StoreError, UsageError
from latentscan.store.integrity import check_block, check_metadata, repair_metadata
from latentscan.store.reader import open_store
from latentscan.store.schema import shape_record
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore


MORE: dict[str, tuple[str, ...]] = {
    "integer_labels": ("age",),
    "float_labels": ("weight",),
    "text_labels": ("kind", "note"),
}
EXPECTED: dict[str, Any] = {
    "Male": [1 if row % 3 == 0 else -1 for row in range(10)],
    "age": [row if row % 4 else -(2**63) for row in range(10)],
    "weight": [row / 4 if row % 3 else np.nan for row in range(10)],
    "kind": ["xy"[row % 2] for row in range(10)],
    "note": [f"ü{row}" if row % 3 else "" for row in range(10)],
}


def labelled_store(location: Path, compression: Any = "none") -> LatentStore:
    return build_store(location, labels=("Male",), more_labels=MORE, compression=compression)


@pytest.mark.parametrize("compression", ["none", "zstd", "lz4"])
def test_attributes_of_every_kind_are_read_as_they_were_written(tmp_path: Path, compression: str) -> None:
    store = labelled_store(tmp_path / "z.zarr", compression)
    assert store.format_version == 3
    for label, expected in EXPECTED.items():
        values = store.read_attribute(label)
        np.testing.assert_array_equal(values, np.array(expected, values.dtype))
    assert [store.schema.place_of(label) for label in EXPECTED] == [
        *(("binary", 0), ("integer", 0), ("float", 0), ("text", 0), ("text", 1))
    ]
    with pytest.raises(UsageError, match="no attribute 'size'; the store has Male, age, weight, kind, note"):
        store.read_attribute("size")
    assert all(check_block(store, block) == () for block in range(store.schema.blocks))
    assert check_metadata(store) == ()


def test_xarray_reads_attributes_of_every_kind(tmp_path: Path) -> None:
    labelled_store(tmp_path / "z.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xr.open_zarr(tmp_path / "z.zarr").load()
    assert found["attribute_integer"].dims == ("image", "label_integer")
    age = found["attribute_integer"].sel(label_integer="age").values
    np.testing.assert_array_equal(age, [np.nan, 1, 2, 3, np.nan, 5, 6, 7, np.nan, 9])
    np.testing.assert_array_equal(found["attribute_float"].sel(label_float="weight"), EXPECTED["weight"])
    for label in ("kind", "note"):
        assert found["attribute_text"].sel(label_text=label).values.tolist() == EXPECTED[label]


def test_attributes_of_blocks_that_are_not_written_are_missing(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", more_labels=MORE, blocks=[1])
    np.testing.assert_array_equal(store.read_attribute("age"), [-(2**63)] * 5 + [5, 6, 7] + [-(2**63)] * 2)
    assert store.read_attribute("kind").tolist() == [""] * 4 + list("xyxy") + [""] * 2


@pytest.mark.parametrize("name", ["attribute_integer", "attribute_float", "attribute_text", "label_text"])
def test_damage_to_them_is_found(tmp_path: Path, name: str) -> None:
    store = labelled_store(tmp_path / "z.zarr")
    chunk = tmp_path / "z.zarr" / name / "c" / "0"
    file = next(path for path in (chunk, chunk / "0") if path.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    damages = [*(check_block(store, 0) or ()), *check_metadata(store)]
    assert [damage.file.partition("/")[0] for damage in damages] == [name]
    if name == "label_text":
        repair_metadata(open_store(str(tmp_path / "z.zarr"), writable=True), damages)
        assert check_metadata(store) == ()


def test_a_store_without_them_is_what_older_versions_write(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", labels=("Male",))
    assert store.format_version == 2
    assert list(store.attributes["schema"]) == [
        *("images", "components", "latents", "chunk_rows", "labels", "split", "compression")
    ]


@pytest.mark.parametrize(("shape", "recorded"), [((3,), None), ((1, 3), [1, 3])])
def test_the_axes_of_a_latent_are_recorded_where_they_are_several(
    tmp_path: Path, shape: tuple[int, ...], recorded: list[int] | None
) -> None:
    store = build_store(tmp_path / "z.zarr", provenance=shape_record(shape) or {"seed": 0})
    assert store.attributes.get("latent_shape") == recorded
    assert store.latent_shape == shape


@pytest.mark.parametrize("stored", [[2, 2], [-1, -3], "3", [1.0, 3], [[3]], None])
def test_axes_that_do_not_fit_are_damage(tmp_path: Path, stored: Any) -> None:
    store = build_store(tmp_path / "z.zarr", provenance={"latent_shape": stored})
    with pytest.raises(StoreError, match=r"latent_shape .* is damaged"):
        store.latent_shape  # noqa: B018
