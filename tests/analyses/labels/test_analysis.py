from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import UsageError
from tests.analyses.labels.planted import along, store_of
from tests.builders import analyse, build_store, own

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result


def true_auc(apart: float) -> float:
    return math.erfc(-apart / 2) / 2  # Φ(apart / √2)


def at(result: Result, name: str) -> int:
    return int(np.flatnonzero(result["attribute"] == name)[0])


def test_a_planted_direction_is_found_with_the_auc_that_it_has(tmp_path: Path) -> None:
    z, classes = along(12_000, 6, 2.0, seed=1)
    unknown = np.where(np.arange(len(z)) % 5, classes, 0)
    store = store_of(tmp_path / "z.zarr", z, binary={"planted": classes, "partly": unknown})
    result = analyse(store, "labels", clusters=0)
    mean, count = result["mean"], result.attributes["fitted"] + result.attributes["held_out"]
    assert count == len(z)
    for name in ("planted", "partly"):
        one = at(result, name)
        low, high = result["skill_interval"][one]
        assert low <= true_auc(2.0) <= high
        assert high - low < 0.02
        assert result["component_interval"][one, 1] < low
        scores = (z - mean) @ result["direction"][one]
        assert np.linalg.norm(result["direction"][one]) == pytest.approx(1)
        assert scores.std() == pytest.approx(result["spread"][one], rel=0.03)
        # a step adds one standard deviation to the score
        assert result["step"][one] @ result["direction"][one] == pytest.approx(result["spread"][one])
    assert result["known"][at(result, "partly")] < 0.85 * result["known"][at(result, "planted")]


def test_permuted_attributes_are_chance(tmp_path: Path) -> None:
    z, classes = along(3000, 10, 3.0)
    rng = np.random.default_rng(1)
    permuted = {f"permuted {number}": rng.permutation(classes) for number in range(30)}
    numbers = {f"noise {number}": rng.standard_normal(3000) for number in range(10)}
    result = analyse(store_of(tmp_path / "z.zarr", z, binary=permuted, numbers=numbers), "labels", clusters=5)
    assert (result["p_holm"] < 0.05).sum() == 0
    binary = result["measure"] == "binary"
    low, high = result["skill_interval"][binary].T
    assert ((low <= 0.5) & (high >= 0.5)).sum() >= 26
    assert result["skill"][binary].mean() == pytest.approx(0.5, abs=0.01)
    assert np.abs(result["skill"][~binary]).max() < 0.15
    assert (result["shared_p_holm"][binary] < 0.05).sum() == 0
    assert np.abs(result["shared"][binary]).max() < 0.01


def test_a_planted_number_is_found_with_the_correlation_that_it_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((6000, 5)) @ rng.standard_normal((5, 5))
    signal = z @ rng.standard_normal(5)
    number = 1e6 + signal + signal.std() * rng.standard_normal(6000)
    number[::3] = np.nan
    result = analyse(store_of(tmp_path / "z.zarr", z, numbers={"age": number}), "labels")
    assert result["measure"].tolist() == ["continuous"]
    low, high = result["skill_interval"][0]
    assert low <= math.sqrt(0.5) <= high
    assert high - low < 0.06
    assert "agreement" not in result


def blobs(rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    group = rng.integers(0, 4, rows)
    return rng.standard_normal((rows, 3)) + 12 * np.eye(4, 3)[group], group


def test_clusters_that_are_an_attribute_are_told_from_those_that_are_not(tmp_path: Path) -> None:
    z, group = blobs()
    rng = np.random.default_rng(4)
    binary = {
        "cluster": np.where(group == 2, 1, -1),
        "two of them": np.where(group >= 2, 1, -1),
        "nowhere": rng.choice([1, -1], len(z)),
    }
    result = analyse(store_of(tmp_path / "z.zarr", z, binary=binary), "labels", clusters=4)
    agreement = result["agreement"]
    assert np.nanmax(agreement[at(result, "cluster")]) > 0.99
    assert 0.5 < np.nanmax(agreement[at(result, "two of them")]) < 0.7
    assert np.nanmax(np.abs(agreement[at(result, "nowhere")])) < 0.1
    share, p = result["shared"], result["shared_p_holm"]
    assert share[at(result, "cluster")] > 0.97
    assert share[at(result, "two of them")] > 0.97
    assert abs(share[at(result, "nowhere")]) < 0.01
    assert (p < 0.05).tolist() == [name != "nowhere" for name in result["attribute"]]


def test_the_partition_of_the_store_says_what_is_held_out(tmp_path: Path) -> None:
    z, classes = along(900, 4, 2.0)
    split = np.array([0, 0, 1, 2, -1] * 180)
    # what is held out has its classes exchanged: who fits on it finds something else
    exchanged = np.where(split > 0, -classes, classes)
    store = store_of(tmp_path / "z.zarr", z, binary={"planted": exchanged}, split=split)
    result = analyse(store, "labels", clusters=0)
    attributes = result.attributes
    assert (attributes["by_split"], attributes["fitted"], attributes["held_out"]) == (True, 360, 360)
    assert result["skill"][0] < 0.15
    alone = analyse(
        store_of(tmp_path / "train.zarr", z, binary={"planted": classes}, split=0 * split),
        "labels",
        clusters=0,
    )
    assert not alone.attributes["by_split"]
    assert alone["skill"][0] > 0.85


def test_attributes_of_too_few_images_are_named_and_left_out(tmp_path: Path) -> None:
    z, classes = along(800, 3, 1.0)
    rows = np.arange(800)
    result = analyse(
        store_of(
            tmp_path / "z.zarr",
            z,
            binary={"good": classes, "rare": np.where(rows < 8, 1, -1), "common": np.where(rows < 8, -1, 1)},
            numbers={"same": np.full(800, 3.0), "unknown": np.where(rows < 9, rows, np.nan)},
            texts={
                "colour": np.array(["red", "green", "blue", ""], object)[rows % 4],
                "sex": np.where(classes == 1, "f", "m"),
                "name": np.array([f"n{row}" for row in rows], object),
            },
        ),
        "labels",
        clusters=3,
    )
    names = result["attribute"].tolist()
    assert names == ["good", "colour=blue", "colour=green", "colour=red", "sex=m"]
    known = dict(zip(names, result["known"].tolist(), strict=True))
    assert known["colour=red"] == pytest.approx(0.75 * known["good"], rel=0.1)
    assert result["skill"][at(result, "sex=m")] == pytest.approx(result["skill"][at(result, "good")])
    left_out = dict(text.split(": ") for text in result.attributes["left_out"])
    assert left_out.keys() == {"rare", "common", "same", "unknown", "name"}
    assert left_out["rare"].endswith("have it")
    assert left_out["common"].endswith("lack it")


def test_few_images_held_out_are_looked_at_where_fewer_are_asked_for(tmp_path: Path) -> None:
    z, classes = along(5000, 3, 1.5)
    store = store_of(tmp_path / "z.zarr", z, binary={"planted": classes})
    result = analyse(store, "labels", clusters=0, held_out=500)
    assert 400 < result.attributes["held_out"] < 600
    low, high = result["skill_interval"][0]
    assert low <= true_auc(1.5) <= high


@pytest.mark.parametrize("chunk_rows", [7, 300])
def test_blocks_change_nothing(tmp_path: Path, chunk_rows: int) -> None:
    z, classes = along(600, 4, 1.0)
    z[5] = np.nan
    known: dict[str, Any] = {"binary": {"planted": classes}, "numbers": {"noise": np.arange(600.0) % 17}}
    one = analyse(store_of(tmp_path / "one.zarr", z, **known, chunk_rows=600), "labels", clusters=0)
    other = analyse(
        store_of(tmp_path / "other.zarr", z, **known, chunk_rows=chunk_rows), "labels", clusters=0
    )
    assert one.attributes["rejected"] == 1
    assert own(one) == own(other)
    for name, variable in one.variables.items():
        if variable.values.dtype.kind == "f":
            np.testing.assert_allclose(other[name], variable.values, rtol=1e-6, atol=1e-9, err_msg=name)
        else:
            assert other[name].tolist() == variable.values.tolist(), name


def test_fewer_images_than_clusters_leave_clusters_out(tmp_path: Path) -> None:
    z, classes = along(60, 2, 3.0)
    result = analyse(store_of(tmp_path / "z.zarr", z, binary={"a": classes}), "labels", clusters=61, fewest=4)
    assert "agreement" not in result
    assert "fewer images than 61 clusters" in result.attributes["note"]


def test_a_store_without_attributes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"knows no attributes .* attributes"):
        analyse(build_store(tmp_path / "z.zarr"), "labels")
