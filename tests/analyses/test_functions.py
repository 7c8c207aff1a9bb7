from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latentscan.analyses.functions import call, evaluate
from latentscan.analyses.stats import STATS, stats
from latentscan.errors import ParameterError, UsageError
from tests.builders import analyse, assert_same_bits, build_store

if TYPE_CHECKING:
    from pathlib import Path


def test_a_function_returns_the_result_as_a_dataset(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    dataset = stats(store, upper=10, progress=False)
    assert dataset.identical(analyse(store, "stats", upper=10).to_dataset())
    assert dataset.attrs["parameters"]["upper"] == 10
    assert call(STATS, {"store": store.location}, {"upper": 10}, {"progress": False}).identical(dataset)


def test_options_do_not_change_a_result(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    found = evaluate(STATS, {"store": store}, {}, {"progress": False})
    elsewhere = evaluate(
        STATS,
        {"store": store},
        {},
        {"results": str(tmp_path / "results.zarr"), "force": True, "allow_partial": True, "progress": False},
    )
    assert_same_bits(found, elsewhere)
    assert found.attributes == elsewhere.attributes


@pytest.mark.parametrize("given", [{"width": 0}, {"upper": -1}, {"colour": "red"}])
def test_an_error_names_the_parameter(tmp_path: Path, given: dict[str, Any]) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    with pytest.raises(ParameterError) as refused:
        call(STATS, {"store": store}, given, {})
    assert refused.value.field == next(iter(given))
    assert str(refused.value).startswith(refused.value.field)


def test_an_error_names_each_of_several_parameters(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    with pytest.raises(UsageError, match=r"upper=-1: .*; threshold=-2: "):
        call(STATS, {"store": store}, {"upper": -1, "threshold": -2}, {})


def test_an_unknown_option_is_no_parameter(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    with pytest.raises(TypeError, match="unexpected keyword argument 'workers'"):
        stats(store, workers=2)  # type: ignore[call-arg]
