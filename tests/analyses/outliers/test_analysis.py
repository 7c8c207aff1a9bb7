from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import TooFewImagesError
from tests.analyses.outliers.clouds import gaussian, permuted
from tests.builders import analyse, assert_same_bits, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result

PLANTED = np.arange(100, 110)


def found_in(path: Path, z: NDArray[np.float32], rows: int = 500, **parameters: Any) -> Result:
    store = build_store(path / f"{rows}.zarr", arrays={"z": z}, chunk_rows=rows)
    return analyse(store, "outliers", **parameters)


def listed(result: Result, name: str) -> NDArray[np.int64]:
    found: NDArray[np.int64] = result["listed_image"][result["list"].tolist().index(name)]
    return found


@pytest.mark.parametrize(
    ("rows", "components", "sample"), [(1500, 24, 20_000), (3000, 8, 600), (1500, 2, 500)]
)
def test_a_gaussian_cloud_is_not_accused(tmp_path: Path, rows: int, components: int, sample: int) -> None:
    for seed in range(3):
        result = found_in(tmp_path / str(seed), gaussian(rows, components, seed), sample=sample)
        assert result["beyond"].tolist() == [0] * 6
        assert result.attributes["duplicate_images"] == 0
        assert result.attributes["duplicates_expected"] <= 0.01


def test_limits_of_few_images_hardly_depend_on_the_seed(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", arrays={"z": gaussian(600, 12)}, chunk_rows=600)
    results = [analyse(store, "outliers", seed=seed) for seed in range(8)]
    density = results[0]["list"].tolist().index("density")
    logs = np.log([result["limit"][density] for result in results])
    assert logs.std() < 0.13  # 0.23 from the tail of one twin
    assert logs.mean() == pytest.approx(-1.0, abs=0.15)


def test_gaps_at_the_ends_of_a_line_are_no_outliers(tmp_path: Path) -> None:
    for seed in range(3):
        assert not found_in(tmp_path / str(seed), gaussian(3000, 1, seed))["beyond"].any()


@pytest.mark.parametrize("sample", [20_000, 400])
def test_planted_outliers_are_found_though_their_radii_are_like_any(tmp_path: Path, sample: int) -> None:
    z = permuted(gaussian(1500, 24), PLANTED)
    result = found_in(tmp_path, z, sample=sample)
    beyond = dict(zip(result["list"].tolist(), result["beyond"].tolist(), strict=True))
    assert (beyond["score"], beyond["largest_radius"], beyond["smallest_radius"]) == (len(PLANTED), 0, 0)
    assert set(listed(result, "score")[: len(PLANTED)].tolist()) == set(PLANTED.tolist())
    assert np.flatnonzero(result["score"] > 1).tolist() == PLANTED.tolist()


def test_an_image_between_clusters_is_found_by_its_density(tmp_path: Path) -> None:
    z = gaussian(1200, 6, seed=1)
    z[:600] += 200
    z[7] = z[:600].mean(axis=0) / 2 + z[600:].mean(axis=0) / 2
    result = found_in(tmp_path, z)
    assert listed(result, "density")[0] == 7
    assert np.flatnonzero(result["score"] > 1).tolist() == [7]


def test_an_image_alone_in_the_plane_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    centres = 12 * np.array([[0, 1], [1, -1], [-1, -1]])
    z = (centres[rng.integers(0, 3, 3000)] + rng.standard_normal((3000, 2))).astype(np.float32)
    z[7] = (0, -4)
    result = found_in(tmp_path, z)
    limits = dict(zip(result["list"].tolist(), result["limit"].tolist(), strict=True))
    assert limits["neighbour_distance"] < np.ptp(z)
    assert np.flatnonzero(result["score"] > 1).tolist() == [7]


@pytest.mark.parametrize("sample", [20_000, 300])
def test_near_duplicates_are_grouped_wherever_they_are(tmp_path: Path, sample: int) -> None:
    z = gaussian(1200, 12)
    z[[5, 700, 1100]] = z[5] + np.array([[0], [1e-5], [-2e-5]], np.float32)
    z[900] = z[40]
    for rows in (1200, 77):
        result = found_in(tmp_path, z, rows, sample=sample)
        assert result["duplicate_image"].tolist() == [5, 700, 1100, 40, 900]
        assert result["duplicate_group"].tolist() == [0, 0, 0, 1, 1]
        assert result["duplicate_image_path"][1] == "ünter/700.jpg"
        assert result["duplicate_distance"][[0, 3, 4]].tolist() == [0, 0, 0]
        assert 0 < result["duplicate_distance"][1] < result.attributes["duplicate_distance"]


@pytest.mark.parametrize("sample", [20_000, 1000])
def test_pairs_far_nearer_than_chance_has_any_are_near_duplicates(tmp_path: Path, sample: int) -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((3000, 32))
    usual = np.median(np.partition(np.linalg.norm(z[:200, None] - z, axis=2), 10)[:, 10])
    away = rng.standard_normal((300, 32))
    z[-300:] = z[:300] + 0.006 * usual * away / np.linalg.norm(away, axis=1)[:, None]
    result = found_in(tmp_path, z.astype(np.float32), sample=sample)
    assert result.attributes["duplicate_share"] == pytest.approx(0.01)
    assert result["duplicate_image"].tolist() == np.arange(3000).reshape(10, 300)[[0, -1]].T.ravel().tolist()
    assert np.bincount(result["duplicate_group"]).tolist() == [2] * 300


def test_what_is_near_depends_on_the_pairs_that_chance_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    of_two = rng.standard_normal((3000, 2))
    partly = rng.standard_normal((3000, 32))
    partly[1500:, 2:] = 0
    for name, z in (("two", of_two), ("partly", partly)):
        result = found_in(tmp_path / name, z.astype(np.float32))
        assert result.attributes["duplicates_expected"] == pytest.approx(0.01)
        assert result.attributes["duplicate_share"] < 1e-3
        assert result.attributes["duplicate_images"] == 0
        wider = found_in(tmp_path / f"{name}, wider", z.astype(np.float32), duplicate=0.01)
        pairs = wider.attributes["duplicate_images"] / 2
        assert 0.3 < pairs / wider.attributes["duplicates_expected"] < 2


def test_rows_that_are_all_there_many_times_are_groups(tmp_path: Path) -> None:
    z = np.tile(gaussian(60, 4), (20, 1))
    result = found_in(tmp_path, z)
    assert result.attributes["duplicate_distance"] == 0
    assert (result.attributes["duplicate_groups"], result.attributes["duplicate_images"]) == (60, 1200)


def test_a_smooth_line_has_the_near_pairs_that_are_expected(tmp_path: Path) -> None:
    z = np.random.default_rng(0).uniform(0, 1, (4000, 1)).astype(np.float32)
    result = found_in(tmp_path, z, duplicate=0.01)
    near = result.attributes["duplicate_distance"]
    pairs = np.sum(
        np.searchsorted(np.sort(z[:, 0]), np.sort(z[:, 0]) + near, side="right") - 1 - np.arange(4000)
    )
    assert result.attributes["dimension"] == pytest.approx(1, abs=0.1)
    assert result.attributes["duplicates_expected"] == pytest.approx(pairs, rel=0.2)
    assert result.attributes["duplicate_images"] > pairs


def test_what_is_shown_is_exact_though_neighbours_are_sought_in_a_sample(tmp_path: Path) -> None:
    z = permuted(gaussian(1500, 6), PLANTED)
    some, all_ = (found_in(tmp_path / name, z, sample=size) for name, size in (("a", 200), ("b", 20_000)))
    shown = some["shown_image"]
    assert not np.array_equal(some["neighbour_distance"], all_["neighbour_distance"])
    np.testing.assert_allclose(some["shown_neighbour_distance"], all_["neighbour_distance"][shown], rtol=1e-5)
    np.testing.assert_allclose(some["shown_density"], all_["density"][shown], rtol=1e-5)
    apart = np.linalg.norm(z[shown][:, None].astype(float) - z[None].astype(float), axis=2)
    apart[np.arange(len(shown)), shown] = np.inf
    assert some["shown_nearest_image"].tolist() == apart.argmin(axis=1).tolist()
    assert some["shown_nearest_image_path"][0] == f"ünter/{some['shown_nearest_image'][0]}.jpg"


def test_figures_do_not_depend_on_blocks(tmp_path: Path) -> None:
    z = permuted(gaussian(700, 5), PLANTED)
    assert_same_bits(found_in(tmp_path, z, 700, sample=100), found_in(tmp_path, z, 61, sample=100))


def test_a_rejected_image_has_no_figures(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=60, rejected=(4,))
    result = analyse(store, "outliers", array="z")
    assert np.flatnonzero(np.isnan(result["radius"])).tolist() == [4]
    assert np.isfinite(np.delete(result["score"], 4)).all()


def test_one_image_has_no_neighbours(tmp_path: Path) -> None:
    with pytest.raises(TooFewImagesError):
        found_in(tmp_path, gaussian(1, 3))
