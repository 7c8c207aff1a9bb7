from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from latentscan.errors import UsageError
from latentscan.store.reader import open_store
from latentscan.store.results import (
    Result,
    Variable,
    list_results,
    load_result,
    require_place,
    result_path,
    save_result,
)
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, write_block

RESULT = Result(
    {
        "array": Variable(("array",), np.array(["mu", "z"])),
        "mean": Variable(("array", "component"), np.arange(6.0).reshape(2, 3), {"units": "nat"}),
        "within": Variable((), np.array(7)),
        "nothing": Variable(("component",), np.zeros(3)),
    },
    {"images": 10, "interval": [-3.0, 5.0]},
)


@pytest.fixture
def location(tmp_path: Path) -> str:
    create_store(str(tmp_path / "z.zarr"), Schema(2, 1, ("z",), 1), {})
    return str(tmp_path / "z.zarr")


def assert_equal(found: Result | None) -> None:
    assert found is not None
    assert found.attributes == RESULT.attributes
    assert found.variables.keys() == RESULT.variables.keys()
    for name, variable in RESULT.variables.items():
        assert found.variables[name].dims == variable.dims
        assert found.variables[name].attributes == variable.attributes
        assert found[name].tolist() == variable.values.tolist()


def test_a_result_is_read_as_it_was_saved(location: str) -> None:
    assert load_result(location, "analyses/stats/a") is None
    save_result(location, "analyses/stats/a", RESULT)
    assert_equal(load_result(location, "analyses/stats/a"))


def test_xarray_reads_store_and_results_without_a_warning(location: str) -> None:
    save_result(location, "analyses/stats/a", RESULT)
    save_result(location, "analyses/stats/b", RESULT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key in "ab":
            dataset = xr.open_zarr(location, group=f"analyses/stats/{key}")
            xr.testing.assert_equal(dataset.load(), RESULT.to_dataset())
        assert "z" in xr.open_zarr(location)


def test_results_of_many_analyses_are_all_read_in_whatever_order_they_were_kept(location: str) -> None:
    names = ["tsne", "kmeans", "kmeans-centres", "axes", "tsne-neighbours", "kmeans", "stats", "kmeans-x"]
    paths = [f"analyses/{name}/{number}" for number, name in enumerate(names)]
    for path in paths:
        save_result(location, path, RESULT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(location).load()
        for path in paths:
            xr.testing.assert_equal(xr.open_zarr(location, group=path).load(), RESULT.to_dataset())
        held = {path for path, node in zarr.open_group(location, mode="r").members(None)}
    assert set(paths) <= held
    assert [path for _, path in list_results(location)] == sorted(paths, key=lambda path: path.split("/"))


def test_results_that_are_kept_at_once_are_all_listed(location: str) -> None:
    paths = [f"analyses/stats/{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda path: save_result(location, path, RESULT), paths))
    assert {path for _, path in list_results(location)} == set(paths)


def test_a_result_that_is_kept_again_at_once_is_whole(location: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: save_result(location, "analyses/stats/a", RESULT), range(12)))
    assert_equal(load_result(location, "analyses/stats/a"))


def test_what_an_older_result_left_is_removed(location: str) -> None:
    longer = Result({**RESULT.variables, "more": Variable((), np.array(1))}, RESULT.attributes)
    save_result(location, "analyses/stats/a", longer)
    save_result(location, "analyses/stats/a", RESULT)
    assert_equal(load_result(location, "analyses/stats/a"))


def test_results_may_live_in_a_place_of_their_own(tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "results.zarr")
    save_result(elsewhere, "analyses/stats/a", RESULT)
    assert_equal(load_result(elsewhere, "analyses/stats/a"))
    xr.open_zarr(elsewhere, group="analyses/stats/a").load()


def test_results_go_into_no_group_of_something_else(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "user.zarr")).create_array("temp", shape=(3,), dtype="f4")
    with pytest.raises(UsageError, match="temp"):
        require_place(str(tmp_path / "user.zarr"))
    require_place(str(tmp_path / "new" / "results.zarr"))
    save_result(str(tmp_path / "results.zarr"), "analyses/stats/a", RESULT)
    require_place(str(tmp_path / "results.zarr"))


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"node_type": "neither", "zarr_format": 3}'])
def test_damaged_metadata_of_a_result_makes_it_absent(location: str, content: bytes) -> None:
    save_result(location, "analyses/stats/a", RESULT)
    (Path(location) / "analyses" / "stats" / "a" / "zarr.json").write_bytes(content)
    assert load_result(location, "analyses/stats/a") is None
    save_result(location, "analyses/stats/a", RESULT)
    assert_equal(load_result(location, "analyses/stats/a"))


def test_the_key_depends_on_parameters_and_on_the_data(location: str) -> None:
    store = open_store(location)
    first = result_path("stats", (1,), {"width": 0.5}, store.digests())
    assert first == result_path("stats", (1,), {"width": 0.5}, open_store(location).digests())
    assert first != result_path("stats", (1,), {"width": 1.0}, store.digests())
    assert first != result_path("stats", (2,), {"width": 0.5}, store.digests())
    writable = create_store(location, Schema(2, 1, ("z",), 1), {})
    values = {"z": np.ones((1, 1), np.float32), "path": np.array(["a"], object), "status": np.zeros(1, "u1")}
    write_block(writable, 0, values)
    assert first != result_path("stats", (1,), {"width": 0.5}, store.digests())
