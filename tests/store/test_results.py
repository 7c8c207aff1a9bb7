from __future__ import annotations

import errno
import json
import shutil
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr

from latentscan.errors import UsageError
from latentscan.store import results as results_module
from latentscan.store.disk_store import DiskStore
from latentscan.store.integrity import check_results
from latentscan.store.metadata import change_list
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = Result(
    {
        "array": Variable(("array",), np.array(["mu", "z"])),
        "first": Variable(("array",), np.array(["a", "b"])),
        "mean": Variable(("array", "component"), np.arange(6.0).reshape(2, 3), {"units": "nat"}),
        "within": Variable((), np.array(7)),
        "nothing": Variable(("component",), np.zeros(3)),
    },
    {"images": 10, "interval": [-3.0, 5.0], "coordinates": "first"},
)
A, B = "analyses/stats/a", "analyses/stats/b"


@pytest.fixture
def location(tmp_path: Path) -> str:
    return build_store(tmp_path / "z.zarr").location


@pytest.fixture
def results(location: str) -> Results:
    return Results(location)


def listed(location: str) -> set[str]:
    return {entry.path for entry in Results(location).entries() if entry.is_listed}


def assert_equal(found: Result | None, expected: Result = RESULT) -> None:
    assert found is not None
    assert found.attributes == expected.attributes
    assert found.variables.keys() == expected.variables.keys()
    for name, variable in expected.variables.items():
        assert found.variables[name].dims == variable.dims
        assert found.variables[name].attributes == variable.attributes
        assert found[name].dtype.kind == variable.values.dtype.kind or found[name].dtype.kind in "TO"
        assert found[name].tolist() == variable.values.tolist()


def test_a_result_is_read_as_it_was_saved(results: Results) -> None:
    assert results.load(A) is None
    results.save(A, RESULT)
    assert_equal(results.load(A))


def test_values_lie_in_memory_as_they_do_when_they_are_read(results: Results) -> None:
    """Sums over another order of memory round otherwise, and a cached result would say something else."""
    turned = Result({"axes": Variable(("axis", "component"), np.arange(6.0).reshape(3, 2).T)}, {})
    results.save("probe/turned", turned)
    read = results.load("probe/turned")
    assert read is not None
    assert turned["axes"].strides == read["axes"].strides
    assert turned["axes"].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert Variable((), np.array(7)).values.shape == ()


def test_a_result_is_a_dataset_and_back() -> None:
    dataset = RESULT.to_dataset()
    assert set(dataset.coords) == {"array", "first"}
    assert_equal(Result.from_dataset(dataset))


def test_a_dataset_that_xarray_read_is_the_result_that_was_saved(results: Results) -> None:
    results.save(A, RESULT)
    with xr.open_zarr(results.location, group=A) as dataset:
        found = Result.from_dataset(dataset)
    own = {name: value for name, value in found.attributes.items() if name in RESULT.attributes}
    assert_equal(Result(found.variables, own))


def test_xarray_reads_results_of_many_analyses_without_a_warning(results: Results) -> None:
    names = ["tsne", "kmeans", "kmeans-centres", "axes", "tsne-neighbours", "kmeans", "stats", "kmeans-x"]
    paths = [f"analyses/{name}/{number}" for number, name in enumerate(names)]
    for path in paths:
        results.save(path, RESULT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(results.location).load()
        tree = xr.open_datatree(results.location, engine="zarr")
        for path in paths:
            expected = RESULT.to_dataset()
            xr.testing.assert_equal(xr.open_zarr(results.location, group=path).load(), expected)
            xr.testing.assert_equal(tree[path].to_dataset(), expected)
    assert listed(results.location) == set(paths)


def test_results_that_are_saved_at_once_are_all_listed(results: Results) -> None:
    paths = [f"analyses/stats/{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda path: results.save(path, RESULT), paths))
    assert listed(results.location) == set(paths)


def test_a_result_that_is_saved_several_times_at_once_is_whole(results: Results) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: results.save(A, RESULT), range(12)))
    assert_equal(results.load(A))


@pytest.mark.parametrize("other", ["saves", "removes"])
def test_the_list_has_what_another_process_left_meanwhile(
    results: Results, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    def late(location: str, change: Callable[..., Any]) -> None:
        monkeypatch.undo()
        if other == "saves":
            time.sleep(0.002)  # a result is of another millisecond
            results.save(A, RESULT)
        else:
            results.remove(A)
        change_list(location, change)

    monkeypatch.setattr(results_module, "change_list", late)
    results.save(A, RESULT)
    assert check_results(open_store(results.location)) == ()
    assert listed(results.location) == ({A} if other == "saves" else set())


def test_a_result_that_replaces_another_leaves_nothing_of_it(results: Results) -> None:
    longer = Result({**RESULT.variables, "more": Variable((), np.array(1))}, RESULT.attributes)
    results.save(A, longer)
    results.save(A, RESULT)
    assert_equal(results.load(A))
    assert "more" not in xr.open_zarr(results.location, group=A)


def test_equal_results_have_equal_hashes_whenever_they_are_saved(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(days=1)

    results.save(A, RESULT)
    monkeypatch.setattr(results_module, "datetime", Later)
    results.save(B, RESULT)
    first, second = (zarr.open_group(results.location, path=path, mode="r").attrs for path in (A, B))
    assert first["content_sha256"] == second["content_sha256"]
    assert first["created"] != second["created"]


def test_a_place_of_results_needs_no_latents(tmp_path: Path) -> None:
    elsewhere = Results(str(tmp_path / "results.zarr"))
    elsewhere.save(A, RESULT)
    assert_equal(elsewhere.load(A))
    assert listed(elsewhere.location) == {A}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(elsewhere.location, group=A).load()


def test_results_go_into_no_group_of_something_else(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "user.zarr")).create_array("temp", shape=(3,), dtype="f4")
    with pytest.raises(UsageError, match="temp"):
        Results(str(tmp_path / "user.zarr")).require_writable()
    Results(str(tmp_path / "new" / "results.zarr")).require_writable()
    place = Results(str(tmp_path / "results.zarr"))
    place.save(A, RESULT)
    place.require_writable()


# --- what is not served


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"node_type": "neither", "zarr_format": 3}', b"[" * 10**5]
)
def test_damaged_metadata_of_a_result_makes_it_absent(results: Results, content: bytes) -> None:
    results.save(A, RESULT)
    (Path(results.location) / A / "zarr.json").write_bytes(content)
    assert results.load(A) is None
    results.save(A, RESULT)
    assert_equal(results.load(A))


def flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a value": lambda group: flip(group / "mean/c/0/0", 5),
    "a checksum": lambda group: flip(group / "mean/c/0/0", -1),
    "a chunk is missing": lambda group: (group / "mean/c/0/0").unlink(),
    "metadata of a variable is missing": lambda group: (group / "mean/zarr.json").unlink(),
    "a variable is missing": lambda group: shutil.rmtree(group / "within"),
    "an attribute": lambda group: _replace(group, "zarr.json", '"images": 10', '"images": 11'),
    "a shape": lambda group: _replace(group, "mean/zarr.json", "2", "99999999999"),
}


def _replace(group: Path, name: str, old: str, new: str) -> None:
    text = (group / name).read_text()
    assert old in text
    (group / name).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_result_is_not_served(results: Results, kind: str) -> None:
    results.save(A, RESULT)
    DAMAGES[kind](Path(results.location) / A)
    assert results.load(A) is None
    (entry,) = results.entries()
    assert not entry.is_intact
    assert entry.problem
    results.save(A, RESULT)
    assert_equal(results.load(A))


@pytest.mark.parametrize("name", ["analysis", "key"])
def test_a_result_is_served_under_its_own_key_alone(results: Results, name: str) -> None:
    identity = {"analysis": "stats", "key": "a", "parameters": {"width": 0.5}, "requires": ["0f"]}
    right = Result(RESULT.variables, {**RESULT.attributes, **identity})
    results.save(A, right)
    assert_equal(results.load(A), right)
    moved = A.replace("/a", "/b") if name == "key" else A.replace("stats", "axes")
    (Path(results.location) / moved).parent.mkdir(exist_ok=True)
    shutil.copytree(Path(results.location) / A, Path(results.location) / moved)
    assert results.load(moved) is None
    problems = {entry.path: entry.problem for entry in results.entries()}
    assert problems[A] == ""
    assert name in problems[moved]


# --- the list


def test_an_entry_says_all_of_a_result(results: Results) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    results.save(A, RESULT)
    (entry,) = results.entries()
    assert (entry.path, entry.analysis, entry.key) == (A, "stats", "a")
    assert entry.attributes == RESULT.attributes
    assert entry.created is not None
    assert before <= entry.created <= datetime.now(UTC)
    files = [path for path in (Path(results.location) / A).rglob("*") if path.is_file()]
    assert entry.bytes == sum(path.stat().st_size for path in files)
    assert (entry.is_intact, entry.is_listed, entry.is_state) == (True, True, False)


def test_entries_are_those_of_the_folders_whatever_the_list_says(results: Results) -> None:
    root = Path(results.location) / "zarr.json"
    before = root.read_bytes()
    for path in (B, A, "analyses/axes/c"):
        results.save(path, RESULT)
    root.write_bytes(before)
    (Path(results.location) / "analyses" / ".DS_Store").write_bytes(b"")
    (Path(results.location) / "analyses" / "stats" / "interrupted" / "mean").mkdir(parents=True)
    entries = results.entries()
    assert [(entry.path, entry.is_listed) for entry in entries] == [
        ("analyses/axes/c", False),
        (A, False),
        (B, False),
    ]


def test_no_results_are_no_entries(results: Results, tmp_path: Path) -> None:
    assert results.entries() == []
    assert Results(str(tmp_path / "absent.zarr")).entries() == []


def test_a_result_that_was_never_listed_is_listed_when_asked(results: Results) -> None:
    root = Path(results.location) / "zarr.json"
    before = root.read_bytes()
    results.save(A, RESULT)
    whole = json.loads(root.read_bytes())
    root.write_bytes(before)
    results.relist(A)
    assert json.loads(root.read_bytes()) == whole
    changed = root.stat().st_mtime_ns
    results.relist(A)
    results.relist("analyses/stats/absent")
    assert root.stat().st_mtime_ns == changed


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(30, "Read-only file system")])
def test_what_cannot_be_listed_is_read_all_the_same(
    results: Results, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    root = Path(results.location) / "zarr.json"
    before = root.read_bytes()
    results.save(A, RESULT)
    root.write_bytes(before)

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("latentscan.store.atomic.write_json", refuse)
    results.relist(A)
    assert root.read_bytes() == before


def test_a_state_is_not_listed(results: Results) -> None:
    results.save_unlisted(A, RESULT)
    assert_equal(results.load(A))
    results.relist(A)
    assert listed(results.location) == set()
    (entry,) = results.entries()
    assert (entry.is_intact, entry.is_listed, entry.is_state) == (True, False, True)


def test_a_state_in_the_place_of_another_is_not_served(results: Results) -> None:
    one, other = "analyses/tsne-state/a", "analyses/tsne-state/b"
    results.save_unlisted(one, RESULT)
    (Path(results.location) / one).rename(Path(results.location) / other)
    assert results.load(other) is None
    assert [entry.problem for entry in results.entries()] == [f"is another state, of {one}"]
    results.remove(other)
    assert not (Path(results.location) / "analyses" / "tsne-state").exists()


def test_an_array_that_declares_more_than_its_file_holds_takes_no_memory(results: Results) -> None:
    results.save(A, RESULT)
    metadata = Path(results.location) / A / "mean" / "zarr.json"
    node = json.loads(metadata.read_text())
    node["shape"] = node["chunk_grid"]["configuration"]["chunk_shape"] = [10**9, 10**9]
    metadata.write_text(json.dumps(node))
    tracemalloc.start()
    assert results.load(A) is None
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_result_is_removed_from_the_list_and_the_disk(results: Results) -> None:
    results.save(A, RESULT)
    results.save(B, RESULT)
    results.remove(A)
    results.remove(A)
    assert listed(results.location) == {B}
    assert not (Path(results.location) / A).exists()
    assert_equal(results.load(B))
    results.save_unlisted(A, RESULT)
    results.remove(A)
    assert not (Path(results.location) / A).exists()


def test_what_cannot_be_removed_is_said(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    results.save(A, RESULT)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr("latentscan.store.atomic.write_json", refuse)
    with pytest.raises(UsageError, match="read-only"):
        results.remove(A)
    assert_equal(results.load(A))


@pytest.mark.parametrize("removed", [0, 1, 4])
def test_an_interrupted_removal_is_found_and_done_again(
    results: Results, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    results.save(A, RESULT)
    delete_dir, calls = DiskStore.delete_dir, []

    async def full(store: DiskStore, prefix: str) -> None:
        calls.append(prefix)
        if len(calls) > removed:
            raise OSError(errno.ENOSPC, "No space left on device")
        await delete_dir(store, prefix)

    monkeypatch.setattr(DiskStore, "delete_dir", full)
    with pytest.raises(OSError, match="No space"):
        results.remove(A)
    monkeypatch.undo()
    assert [damage.file for damage in check_results(open_store(results.location))] == [A]
    for entry in results.entries():
        results.remove(entry.path)
    assert not (Path(results.location) / A).exists()
