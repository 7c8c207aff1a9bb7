from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from latentscan.analyses.neighbours.index import EXACT_ROWS, Index, build_index
from latentscan.errors import UsageError
from latentscan.execution.context import Execution
from latentscan.execution.executor import Stopped
from tests.analyses.neighbours.clouds import K, Rows, brute_force, cloud


@pytest.fixture(scope="module")
def cells(many: Rows) -> Index:
    return build_index(many, K, 0, Execution())


@pytest.mark.parametrize("method", ["exact", "ivf"])
def test_what_is_found_does_not_depend_on_the_batch(cells: Index, method: str) -> None:
    index = cells if method == "ivf" else replace(cells, probes=0)
    assert index.method == method
    queries = cloud(1100)
    whole = index.search(queries, K)
    for size in (1, 19, 20, 333, 512, 1000):
        for start in (0, 7, 700):
            part = slice(start, start + size)
            for found, expected in zip(index.search(queries[part], K), whole, strict=True):
                assert found.tobytes() == expected[part].tobytes()


def test_where_cells_hold_too_few_the_search_is_exact(many: Rows, cells: Index) -> None:
    assert cells.probes > 1
    narrow = replace(cells, probes=1)
    queries = many[:40]
    distances = brute_force(many, queries, 2000)[0]
    np.testing.assert_allclose(narrow.search(queries, 2000)[1], distances, rtol=1e-4, atol=1e-3)
    assert (narrow.search(queries, 50)[1] > distances[:, :50] * 1.001).any()  # and this one is not


def test_noise_without_structure_is_searched_exactly() -> None:
    rows = np.random.default_rng(0).standard_normal((EXACT_ROWS + 1, 48)).astype(np.float32)
    index = build_index(rows, K, 0, Execution())
    assert (index.method, index.recall) == ("exact", 1.0)


def test_many_rows_that_are_all_equal() -> None:
    index = build_index(np.ones((EXACT_ROWS + 1, 3), np.float32), K, 0, Execution())
    assert (index.search(np.zeros((1, 3), np.float32), K)[1] == np.float32(3**0.5)).all()


def test_a_search_can_be_stopped(cells: Index) -> None:
    with pytest.raises(Stopped):
        cells.search(cloud(10), K, stopped=lambda: True)


def test_more_neighbours_than_rows() -> None:
    with pytest.raises(UsageError, match="6 neighbours were asked of 5 rows"):
        build_index(cloud(5), 3, 0, Execution()).search(cloud(2), 6)
