from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from latentscan.errors import StoreError, UsageError
from latentscan.images.source import Status
from latentscan.scan.check import check_store
from latentscan.store import atomic, writer
from latentscan.store.reader import open_store
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, reject_not_finite, retract_blocks, write_block
from tests.builders import block_values, build_store, random_latents

if TYPE_CHECKING:
    from pathlib import Path

LATENTS = random_latents(10, 3, ("mu", "logvar", "z"), seed=0)
SCHEMA = Schema(10, 3, ("mu", "logvar", "z"), chunk_rows=4, labels=("Male", "Young"), split=True)


def test_a_block_is_committed_by_its_digest(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", blocks=(0, 2))
    assert store.committed().tolist() == [True, False, True]
    retract_blocks(store.location, (2,))
    assert store.committed().tolist() == [True, False, False]


def test_the_commit_record_is_in_a_group_of_its_own(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=7, chunk_rows=3)
    plain = zarr.open_group(str(tmp_path / "z.zarr"), mode="r", use_consolidated=False)
    digest = plain["commits/digest"]
    assert isinstance(digest, zarr.Array)
    assert digest.shape == (3, len(store.schema.names), 32)
    assert digest.chunks == (1, len(store.schema.names), 32)
    assert np.asarray(plain["commits/array"]).tolist() == list(store.schema.names)
    assert not {"digest", "array"} & set(plain.array_keys())


def test_rejected_rows_are_written_though_they_equal_the_fill_value(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", rejected=range(4))
    assert (tmp_path / "z.zarr" / "z" / "c" / "0" / "0").exists()
    found = store.read_block(0, ("z", "status"), store.digests()[0])
    assert np.isnan(found["z"]).all()
    assert set(found["status"]) == {Status.DAMAGED}


def test_a_row_with_one_infinity_is_rejected_whole_and_no_other() -> None:
    values = block_values(SCHEMA, 0, LATENTS)
    values["mu"][2, 1] = np.inf
    others = values["z"][[0, 1, 3]].copy()
    reject_not_finite(values)
    assert values["status"].tolist() == [0, 0, Status.NOT_FINITE, 0]
    assert np.isnan(values["z"][2]).all()
    np.testing.assert_array_equal(values["z"][[0, 1, 3]], others)


def test_an_array_of_another_shape_is_not_written(tmp_path: Path) -> None:
    store = create_store(str(tmp_path / "z.zarr"), SCHEMA, {})
    values = block_values(SCHEMA, 0, LATENTS)
    values["z"] = values["z"][:3]
    with pytest.raises(UsageError, match=r"'z' .* got \(3, 3\), expected shape \(4, 3\)"):
        write_block(store, 0, values)
    assert not store.committed().any()


def test_a_store_is_resumed_only_as_it_was_begun(tmp_path: Path) -> None:
    location = str(tmp_path / "z.zarr")
    create_store(location, SCHEMA, {"seed": 0, "versions": {"numpy": "1"}})
    create_store(location, SCHEMA, {"seed": 0, "versions": {"numpy": "2"}})
    with pytest.raises(UsageError, match="seed = 0, now it is 1"):
        create_store(location, SCHEMA, {"seed": 1})
    with pytest.raises(UsageError, match="chunk_rows = 4, now it is 5"):
        create_store(location, Schema(10, 3, SCHEMA.latents, 5, SCHEMA.labels, split=True), {"seed": 0})


def test_a_store_of_an_earlier_version_goes_on_without_the_record_of_the_training(tmp_path: Path) -> None:
    begun = build_store(tmp_path / "z", blocks=(0,), provenance={"encoder": {"name": "a", "sha256": "0"}})
    now = {"encoder": {"name": "a", "sha256": "0", "training": {"kind": "ae", "seed": 3}}}
    again = create_store(str(tmp_path / "z"), begun.schema, now)
    assert "training" not in again.attributes["encoder"]
    with pytest.raises(UsageError, match=r"begun with encoder.sha256 = 0, now it is 1"):
        create_store(str(tmp_path / "z"), begun.schema, {"encoder": {**now["encoder"], "sha256": "1"}})


def test_a_store_that_is_resumed_by_another_command_is_the_same(tmp_path: Path) -> None:
    location, root = str(tmp_path / "z.zarr"), tmp_path / "z.zarr" / "zarr.json"
    create_store(location, SCHEMA, {"seed": 0}, resume_command="latentscan encode --model a")
    before = root.read_bytes()
    again = create_store(location, SCHEMA, {"seed": 0}, resume_command="latentscan encode --model ./a")
    assert again.resume_command == "latentscan encode --model a"
    assert root.read_bytes() == before


def test_a_location_that_holds_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"photo\.jpg"):
        create_store(str(tmp_path), SCHEMA, {})
    with pytest.raises(UsageError, match="is a file"):
        create_store(str(tmp_path / "photo.jpg"), SCHEMA, {})
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_an_interrupted_creation_is_begun_again(tmp_path: Path) -> None:
    location = tmp_path / "z.zarr"
    create_store(str(location), SCHEMA, {"seed": 0})
    (location / "zarr.json").rename(location / "zarr.0123456789abcdef.partial")
    with pytest.raises(StoreError):
        open_store(str(location))
    store = build_store(location, labels=SCHEMA.labels, split=True)
    assert store.committed().all()


@pytest.mark.parametrize("place", ["disk", "url"])
def test_of_two_that_create_a_store_at_once_the_second_damages_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    location = str(tmp_path / "z.zarr") if place == "disk" else f"memory://{tmp_path.name}/z.zarr"
    other = Schema(10, 3, SCHEMA.latents, chunk_rows=5, labels=("Old", "Smiling", "Hat"), split=True)
    publish = atomic.publish

    def second(*arguments: Any) -> Any:
        monkeypatch.undo()
        store = create_store(location, SCHEMA, {"seed": 0})
        write_block(store, 0, block_values(SCHEMA, 0, LATENTS))
        return publish(*arguments)

    monkeypatch.setattr(writer, "publish", second)
    with pytest.raises(UsageError, match="chunk_rows = 4, now it is 5"):
        create_store(location, other, {"seed": 0})
    found = check_store(open_store(location))
    assert (found.damages, found.unwritten) == ((), (1, 2))


def test_other_attributes_are_called_so(tmp_path: Path) -> None:
    create_store(str(tmp_path / "z"), SCHEMA, {})
    with pytest.raises(UsageError, match=r"begun with attributes of integers = \[\], now it is \['shape'\]"):
        create_store(str(tmp_path / "z"), replace(SCHEMA, integer_labels=("shape",)), {})
