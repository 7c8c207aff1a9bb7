from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from latentscan.store.chunks import ChunkError
from latentscan.store.integrity import (
    check_block,
    check_metadata,
    check_results,
    find_leftovers,
    remove_leftover_results,
    repair_metadata,
    repair_results,
)
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from latentscan.store.writer import create_store
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Compression

LABELS = ("Male", "Young")


@pytest.fixture(autouse=True)
def _nobody_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentscan.store.integrity.SAVING_S", 0)


RESULT = Result({"mean": Variable(("component",), np.arange(3.0))}, {"images": 10})
A, B, C = "analyses/stats/a", "analyses/stats/b", "analyses/pca/c"


def build(location: Path, **options: Any) -> LatentStore:
    return build_store(location, labels=LABELS, split=True, **options)


def flip(file: Path, byte: int) -> None:
    content = bytearray(file.read_bytes())
    content[byte] ^= 4
    file.write_bytes(content)


def flip_a_bit(file: Path) -> None:
    flip(file, file.stat().st_size // 2)


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def swap(file: Path) -> None:
    other = file.parent.parent / "0" / file.name if file.parent.name.isdigit() else file.with_name("0")
    mine, theirs = file.read_bytes(), other.read_bytes()
    file.write_bytes(theirs)
    other.write_bytes(mine)


# --- blocks


@pytest.mark.parametrize("name", ["mu", "logvar", "z", "path", "attribute"])
@pytest.mark.parametrize(
    ("harm", "problem"),
    [(flip_a_bit, "damaged"), (halve, "damaged"), ("unlink", "is missing"), (swap, "not what was")],
)
@pytest.mark.parametrize("compression", ["none", "zstd", "lz4"])
def test_no_damage_is_read_as_data(
    tmp_path: Path, name: str, harm: Any, problem: str, compression: Compression
) -> None:
    store = build(tmp_path / "z.zarr", compression=compression)
    key = store.chunk_key(1, name)
    file = tmp_path / "z.zarr" / key
    file.unlink() if harm == "unlink" else harm(file)
    with pytest.raises(ChunkError) as raised:
        store.read_block(1, (name,), store.digests()[1])
    assert raised.value.chunk == key
    assert problem in raised.value.problem
    found = check_block(store, 1)
    assert found is not None
    assert [(damage.file, damage.block) for damage in found] == [(key, 1)]


@pytest.mark.parametrize(
    ("block", "byte"), [(0, -1), (2, -8)], ids=["of the checksum", "of the rows behind the last image"]
)
@pytest.mark.parametrize("name", ["mu", "status", "attribute"])
def test_a_byte_that_no_row_has_is_damage_too(tmp_path: Path, name: str, block: int, byte: int) -> None:
    store = build(tmp_path / "z.zarr", chunk_rows=7 if block == 0 else 4)
    assert check_block(store, block) == ()
    key = store.chunk_key(block, name)
    size = (tmp_path / "z.zarr" / key).stat().st_size
    flip(tmp_path / "z.zarr" / key, max(byte, -min(size, 5)))
    damages = check_block(store, block)
    assert damages is not None
    assert [damage.file for damage in damages] == [key]


@pytest.mark.parametrize("name", ["z", "path", "status"])
def test_a_byte_behind_a_chunk_is_damage(tmp_path: Path, name: str) -> None:
    store = build(tmp_path / "z.zarr")
    file = tmp_path / "z.zarr" / store.chunk_key(1, name)
    file.write_bytes(file.read_bytes() + b"\0")
    assert [damage.file for damage in check_block(store, 1) or ()] == [store.chunk_key(1, name)]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_missing_chunk_of_fill_values_is_damage(tmp_path: Path, compression: Compression) -> None:
    store = build(tmp_path / "z.zarr", rejected=range(4), compression=compression)
    key = store.chunk_key(0, "z")
    (tmp_path / "z.zarr" / key).unlink()
    assert [(damage.file, damage.problem) for damage in check_block(store, 0) or ()] == [(key, "is missing")]


def test_a_block_that_is_not_written_is_not_checked(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr", blocks=(0, 2))
    assert [check_block(store, block) for block in range(3)] == [(), None, ()]


def test_a_damaged_commit_is_damage_of_its_block(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr")
    flip_a_bit(tmp_path / "z.zarr" / store.chunk_key(1, "digest"))
    assert [(damage.file, damage.block) for damage in check_block(store, 1) or ()] == [
        ("commits/digest/c/1/0/0", 1)
    ]


# --- metadata


def empty(file: Path) -> None:
    file.write_bytes(b"")


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


GROUPS = ("z", "path", "label", "commits", "commits/digest", "commits/array", "sealed_metadata")


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        *((name, harm) for name in GROUPS for harm in (flip_a_bit, empty, "unlink")),
        *(("", harm) for harm in (flip_a_bit, empty, "unlink", make_a_folder, make_a_pipe)),
    ],
)
def test_damaged_metadata_is_named_and_restored(tmp_path: Path, name: str, harm: Any) -> None:
    build(tmp_path / "z.zarr")
    file = tmp_path / "z.zarr" / name / "zarr.json"
    key, expected = file.relative_to(tmp_path / "z.zarr").as_posix(), json.loads(file.read_text())
    file.unlink() if harm == "unlink" else harm(file)
    store = open_store(str(tmp_path / "z.zarr"))
    found = check_metadata(store)
    assert [damage.file for damage in found] == [key]
    repair_metadata(store, found)
    repair_results(store, found)
    assert json.loads(file.read_text()) == expected
    assert check_metadata(open_store(store.location)) == ()


def test_the_sealed_copy_of_another_store_is_named_and_replaced(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr")
    other = create_store(str(tmp_path / "other.zarr"), store.schema, {"seed": 1})
    key = "sealed_metadata/zarr.json"
    expected = (folder(store) / key).read_bytes()
    (folder(store) / key).write_bytes((folder(other) / key).read_bytes())
    found = check_metadata(store)
    assert [damage.file for damage in found] == [key]
    repair_metadata(store, found)
    assert (folder(store) / key).read_bytes() == expected


@pytest.mark.parametrize("path", ["commits/array", "label"])
@pytest.mark.parametrize("harm", [flip_a_bit, "unlink"])
def test_damaged_names_along_a_dimension_are_named_and_restored(tmp_path: Path, path: str, harm: Any) -> None:
    store = build(tmp_path / "z.zarr")
    file = tmp_path / "z.zarr" / path / "c" / "0"
    expected = file.read_bytes()
    file.unlink() if harm == "unlink" else harm(file)
    found = check_metadata(store)
    assert [damage.file for damage in found] == [f"{path}/c/0"]
    repair_metadata(open_store(store.location, writable=True), found)
    assert file.read_bytes() == expected


# --- results


@pytest.fixture
def analysed(tmp_path: Path) -> LatentStore:
    store = build(tmp_path / "z.zarr")
    for path in (A, B, C):
        Results(store.location).save(path, RESULT)
    Results(store.location).save_unlisted("analyses/tsne-state/d", RESULT)
    return store


def root_of(store: LatentStore) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(store) / "zarr.json").read_text())
    return found


def folder(store: LatentStore) -> Path:
    from pathlib import Path

    return Path(store.location)


def edit_root(store: LatentStore, change: Callable[[dict[str, Any]], object]) -> None:
    root = root_of(store)
    change(root["consolidated_metadata"]["metadata"])
    (folder(store) / "zarr.json").write_text(json.dumps(root))


def test_whole_results_are_no_damage(analysed: LatentStore) -> None:
    assert check_results(analysed) == ()


@pytest.mark.parametrize("file", ["mean/c/0", "mean/zarr.json", "zarr.json"])
@pytest.mark.parametrize("harm", [flip_a_bit, empty, "unlink"])
def test_a_damaged_result_is_named_and_removed(analysed: LatentStore, file: str, harm: Any) -> None:
    damaged = folder(analysed) / A / file
    damaged.unlink() if harm == "unlink" else harm(damaged)
    found = check_results(analysed)
    assert [damage.file for damage in found] == [A]
    assert repair_results(analysed, found) == [A]
    assert check_results(analysed) == ()
    assert [entry.path for entry in Results(analysed.location).entries() if entry.is_listed] == [C, B]
    assert not (folder(analysed) / A).exists()
    assert set(zarr.open_group(analysed.location, mode="r")["analyses/stats"].keys()) == {"b"}  # type: ignore[union-attr]


def test_swapped_results_are_named_and_removed(analysed: LatentStore) -> None:
    results = Results(analysed.location)
    for key, values in (("a", np.zeros(3)), ("b", np.ones(3))):
        own = {"analysis": "stats", "key": key}
        results.save(f"analyses/stats/{key}", Result({"mean": Variable(("component",), values)}, own))
    (folder(analysed) / A).rename(folder(analysed) / "t")
    (folder(analysed) / B).rename(folder(analysed) / A)
    (folder(analysed) / "t").rename(folder(analysed) / B)
    found = check_results(analysed)
    assert {damage.file for damage in found} == {A, B}
    assert repair_results(analysed, found) == [A, B]
    assert check_results(analysed) == ()


LIST_DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a node is no object": lambda nodes: nodes.update({A: 5}),
    "an attribute": lambda nodes: nodes[A]["attributes"].update(images=11),
    "an array is missing": lambda nodes: nodes.pop(f"{A}/mean"),
    "a key of an array": lambda nodes: nodes[f"{A}/mean"].update(shXpe=[3]),
    "a result that does not exist": lambda nodes: nodes.update({"analyses/pca/x": nodes[A]}),
    "a node that belongs nowhere": lambda nodes: nodes.update({"anXlyses": nodes["analyses"]}),
}


@pytest.mark.parametrize("kind", LIST_DAMAGES)
def test_a_damaged_list_is_named_and_written_again(analysed: LatentStore, kind: str) -> None:
    before = root_of(analysed)
    edit_root(analysed, LIST_DAMAGES[kind])
    found = check_results(analysed)
    assert [damage.file for damage in found] == ["zarr.json"]
    assert repair_results(analysed, found) == []
    assert root_of(analysed) == before
    assert check_results(analysed) == ()


def test_a_result_that_is_listed_a_moment_later_is_no_damage(
    analysed: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = root_of(analysed)
    edit_root(analysed, lambda nodes: (nodes.pop(A), nodes.pop(f"{A}/mean")))

    def sleep(_: float) -> None:
        (folder(analysed) / "zarr.json").write_text(json.dumps(before))

    monkeypatch.setattr("latentscan.store.integrity.time.sleep", sleep)
    assert check_results(analysed) == ()


def test_a_result_that_was_never_listed_is_named_and_listed(analysed: LatentStore) -> None:
    before = root_of(analysed)
    edit_root(analysed, lambda nodes: (nodes.pop(A), nodes.pop(f"{A}/mean")))
    found = check_results(analysed)
    assert [damage.file for damage in found] == [A]
    assert repair_results(analysed, found) == []
    assert root_of(analysed) == before


@pytest.mark.parametrize("group", ["analyses", "analyses/pca"])
def test_damaged_groups_of_results_are_named_and_written_again(analysed: LatentStore, group: str) -> None:
    flip(folder(analysed) / group / "zarr.json", 0)
    found = check_results(analysed)
    assert [damage.file for damage in found] == [f"{group}/zarr.json"]
    repair_results(analysed, found)
    assert check_results(analysed) == ()


def test_a_root_that_is_lost_is_written_again_with_its_list(analysed: LatentStore) -> None:
    before = root_of(analysed)
    (folder(analysed) / "zarr.json").write_bytes(b"{")
    store = open_store(analysed.location)
    found = check_metadata(store) + check_results(store)
    assert [damage.file for damage in found] == ["zarr.json"]
    repair_results(store, found)
    assert root_of(analysed) == before


def test_what_an_interrupted_save_leaves_is_no_damage(
    analysed: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished = folder(analysed) / "analyses" / "stats" / "e"
    shutil.copytree(folder(analysed) / A / "mean", unfinished / "mean")
    assert check_results(analysed) == ()
    assert find_leftovers(analysed) == ()  # somebody may be saving it
    monkeypatch.setattr("latentscan.store.integrity.PUBLISHING_S", -1)
    assert find_leftovers(analysed) == ("analyses/stats/e",)
    remove_leftover_results(analysed.location, find_leftovers(analysed))
    assert not unfinished.exists()
    assert check_results(analysed) == ()
