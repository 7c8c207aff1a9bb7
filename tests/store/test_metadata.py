from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from latentscan.errors import StoreError
from latentscan.store.atomic import METADATA
from latentscan.store.metadata import (
    SEAL,
    SEALED_COPY,
    change_list,
    listed_nodes,
    read_root,
    read_sealed_copy,
    root_problem,
    seal_of,
    sealed_nodes,
    with_list,
)
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESULT = Result({"mean": Variable(("component",), np.arange(3.0))}, {"images": 10})
PATH = "analyses/stats/a"


@pytest.fixture
def location(tmp_path: Path) -> Path:
    build_store(tmp_path / "z.zarr", labels=("Male",))
    Results(str(tmp_path / "z.zarr")).save(PATH, RESULT)
    return tmp_path / "z.zarr"


def change_root(location: Path, change: Callable[[dict[str, Any]], object]) -> None:
    root = json.loads((location / "zarr.json").read_text())
    change(root)
    (location / "zarr.json").write_text(json.dumps(root))


def test_the_root_holds_the_metadata_of_every_array_and_result(location: Path) -> None:
    root = read_root(str(location))
    assert root is not None
    files = {
        path.parent.relative_to(location).as_posix(): json.loads(path.read_text())
        for path in location.glob("*/**/zarr.json")
    }
    copy = files.pop("sealed_metadata")
    assert sealed_nodes(root) | listed_nodes(root) == files
    assert copy["attributes"]["root"] == with_list(root, {})


def test_nodes_are_in_the_order_that_zarr_reads(location: Path) -> None:
    for name in ("kmeans", "kmeans-centres", "axes"):
        Results(str(location)).save(f"analyses/{name}/1", RESULT)
    held = {path for path, _ in zarr.open_group(str(location), mode="r").members(None)}
    assert {f"analyses/{name}/1/mean" for name in ("kmeans", "kmeans-centres", "axes")} <= held
    assert {"commits/digest", "commits/array", "z", "label"} <= held


LIST_DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a node is no object": lambda root: nodes(root).update({PATH: 5}),
    "an array's key": lambda root: rename(nodes(root)[f"{PATH}/mean"], "storage_transformers"),
    "a path": lambda root: rename(nodes(root), "analyses"),
    "the path of a result": lambda root: rename(nodes(root), PATH),
    "the kind of list": lambda root: root["consolidated_metadata"].update(kind="inXline"),
    "the format": lambda root: root.update(zarr_format=9),
    "a value": lambda root: nodes(root)[f"{PATH}/mean"].update(shape=[4]),
}


def nodes(root: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = root["consolidated_metadata"]["metadata"]
    return found


def rename(where: dict[str, Any], key: str) -> None:
    where[f"{key[:3]}X{key[3:]}"] = where.pop(key)


@pytest.mark.parametrize("kind", LIST_DAMAGES)
def test_a_damaged_list_of_results_keeps_nobody_from_the_latents(location: Path, kind: str) -> None:
    expected = open_store(str(location)).z[:]
    change_root(location, LIST_DAMAGES[kind])
    assert root_problem(str(location)) is None
    np.testing.assert_array_equal(open_store(str(location)).z[:], expected)
    assert Results(str(location)).load(PATH) is not None
    Results(str(location)).save("analyses/pca/b", RESULT)
    assert Results(str(location)).load("analyses/pca/b") is not None


def reverse_seal(root: dict[str, Any]) -> None:
    root["attributes"][SEAL] = root["attributes"][SEAL][::-1]


SEALED_DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an attribute": lambda root: root["attributes"].update(seed=9),
    "an array": lambda root: nodes(root)["z"].update(shape=[11, 3]),
    "an array is missing": lambda root: nodes(root).pop("z"),
    "the seal": reverse_seal,
    "no seal": lambda root: root["attributes"].pop(SEAL),
    "no attributes": lambda root: root.update(attributes=None),
    "no metadata of arrays": lambda root: root.update(consolidated_metadata=None),
}


@pytest.mark.parametrize("kind", SEALED_DAMAGES)
def test_a_damaged_root_is_read_from_its_copy(location: Path, kind: str) -> None:
    whole = read_root(str(location))
    assert whole is not None
    change_root(location, SEALED_DAMAGES[kind])
    assert root_problem(str(location)) is not None
    assert read_root(str(location)) == with_list(whole, {})
    assert open_store(str(location)).schema.images == 10


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_root_that_is_no_json_is_read_from_its_copy(location: Path, content: bytes) -> None:
    (location / "zarr.json").write_bytes(content)
    assert open_store(str(location)).z.shape == (10, 3)


def test_a_copy_is_used_only_while_it_is_whole(location: Path) -> None:
    file = location / "sealed_metadata" / "zarr.json"
    assert read_sealed_copy(str(location)) is not None
    file.write_text(file.read_text().replace('"images": 10', '"images": 11'))
    assert read_sealed_copy(str(location)) is None
    (location / "zarr.json").write_bytes(b"{")
    with pytest.raises(StoreError, match=r"zarr\.json is damaged"):
        open_store(str(location))


def test_the_list_of_a_place_of_results_is_begun_again_where_it_is_damaged(tmp_path: Path) -> None:
    place = Results(str(tmp_path / "results"))
    place.save(PATH, RESULT)
    (tmp_path / "results" / "zarr.json").write_bytes(b"{")
    place.require_writable()
    place.save("analyses/pca/b", RESULT)
    place.relist(PATH)
    assert [entry.is_listed for entry in place.entries()] == [True, True]


def test_changing_the_list_leaves_what_is_sealed(location: Path) -> None:
    before = read_root(str(location))
    assert before is not None
    change_list(str(location), lambda _: {})
    after = read_root(str(location))
    assert after is not None
    assert listed_nodes(after) == {}
    assert after == with_list(before, {})
    assert after["attributes"][SEAL] == seal_of(after)


@pytest.mark.parametrize("attributes", [None, [], 5, "text"])
def test_attributes_that_are_no_object_are_damage(tmp_path: Path, attributes: object) -> None:
    build_store(tmp_path / "z.zarr")
    root = json.loads((tmp_path / "z.zarr" / METADATA).read_text())
    (tmp_path / "z.zarr" / METADATA).write_text(json.dumps({**root, "attributes": attributes}))
    assert read_root(str(tmp_path / "z.zarr")) == with_list(root, {})  # from the copy
    shutil.rmtree(tmp_path / "z.zarr" / SEALED_COPY)
    with pytest.raises(StoreError, match="its attributes are no object"):
        read_root(str(tmp_path / "z.zarr"))
