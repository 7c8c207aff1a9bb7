from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.analysis import Request
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.kmeans.gap import GAP, GapParameters
from latentscan.execution.threaded import ThreadedExecutor
from tests.analyses.kmeans import planted
from tests.analyses.quick import compute
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result

ROWS = 4000


def gap_of(folder: Path, z: Any, **settings: Any) -> Result:
    store = build_store(folder / "z.zarr", arrays={"z": z.astype(np.float32)}, chunk_rows=700)
    return compute(Request(GAP, GapParameters()), OneStore.open({"store": store}), **settings)


@pytest.mark.parametrize(
    ("cloud", "verdict", "counts"),
    [
        (planted.two, "about", (2, 2)),
        (planted.clusters(5, 12), "about", (5, 5)),
        (planted.clusters(12, 6), "about", (12, 14)),
        (planted.clusters(12, 8), "about", (12, 14)),
        (planted.clusters(12, 12), "about", (12, 14)),
        (planted.gaussian, "nothing", None),
        (planted.correlated, "nothing", None),
        (planted.shell, "nothing", None),
        (planted.heavy_tails, "nothing", None),
        (planted.filaments, "no natural k", None),
        (planted.swiss_roll(0.1), "no natural k", None),
        (planted.swiss_roll(1.0), "no natural k", None),
    ],
    ids=[
        "two 12 apart",
        "five",
        "twelve 6 apart",
        "twelve 8 apart",
        "twelve 12 apart",
        "Gaussian",
        "correlated",
        "shell",
        "heavy tails",
        "filaments",
        "swiss roll",
        "swiss roll in noise",
    ],
)
def test_what_is_known_of_a_cloud_is_found(
    tmp_path: Path, cloud: Any, verdict: str, counts: tuple[int, int] | None
) -> None:
    found = gap_of(tmp_path, cloud(np.random.default_rng(1), ROWS))
    assert found.attributes["verdict"] == verdict
    if counts:
        assert counts[0] <= found.attributes["best"] <= counts[1]
        assert found.attributes["range"][0] <= found.attributes["best"] <= found.attributes["range"][1]
    assert found["gap"][0].tolist() == [0.0] * 5
    assert found["k"][0] == 1


def test_about_the_largest_gap_every_k_is_evaluated(tmp_path: Path) -> None:
    found = gap_of(tmp_path, planted.clusters(27, 14)(np.random.default_rng(0), ROWS))
    best = found.attributes["best"]
    assert 24 <= best <= 30
    assert {best - 1, best, best + 1} <= set(found["k"].tolist())


def test_of_gaussian_rows_it_is_0_but_for_chance_in_many_components(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1500, 60)) @ rng.standard_normal((60, 60))
    found = gap_of(tmp_path, z)
    standard_error = found["gap_std"] / np.sqrt(5)
    assert (np.abs(found["gap_mean"]) <= 4 * standard_error + 1e-12).all()
    assert found["gap_std"].max() < 0.02


def test_scale_and_place_of_a_cloud_do_not_matter(tmp_path: Path) -> None:
    z = planted.clusters(3, 12)(np.random.default_rng(0), 600)
    (tmp_path / "other").mkdir()
    one = gap_of(tmp_path, z)
    small = gap_of(tmp_path / "other", z * 2.0**-90)
    assert one["gap"].tolist() == small["gap"].tolist()
    assert one.attributes["best"] == 3


def test_one_row_far_out_is_left_out(tmp_path: Path) -> None:
    z = planted.clusters(4, 12)(np.random.default_rng(0), 900)
    z[77] = 1e5
    found = gap_of(tmp_path, z)
    assert found["left_out"].tolist() == [77]
    assert (found.attributes["verdict"], found.attributes["best"]) == ("about", 4)
    assert found.attributes["rows"] == 899 // 5


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 11, 60])
def test_few_rows_leave_it_undecided(tmp_path: Path, rows: int) -> None:
    found = gap_of(tmp_path, planted.gaussian(np.random.default_rng(0), rows))
    assert found.attributes["verdict"] == "undecided"
    assert found.attributes["missing"] == "more images"
    assert np.isfinite(found["gap"]).all()


def test_points_that_repeat_have_a_finite_gap(tmp_path: Path) -> None:
    three = np.repeat(planted.gaussian(np.random.default_rng(0), 3), 400, axis=0)
    found = gap_of(tmp_path, three)
    assert np.isfinite(found["gap"]).all()
    assert found["gap"].max() > 5


def test_threads_do_not_change_it(tmp_path: Path) -> None:
    z = planted.clusters(4, 6)(np.random.default_rng(0), 900)
    bits = []
    for threads in (1, 2):
        (tmp_path / str(threads)).mkdir()
        found = gap_of(tmp_path / str(threads), z, executor=ThreadedExecutor(threads))
        bits.append(found["gap"].tobytes())
    assert bits[0] == bits[1]
