from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.shape.figures import EFFECTS, SCALES
from latentscan.analyses.shape.parameters import ShapeParameters
from latentscan.errors import TooFewImagesError
from tests.analyses.shape.clouds import clusters, ellipsoid, filaments, heavy, swiss_roll, two
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result

ROWS = 600
TAILS, AXIS, NEIGHBOURS, DIMENSION = range(4)


def shape_of(folder: Path, x: NDArray[np.float64], name: str = "z.zarr", **parameters: Any) -> Result:
    store = build_store(folder / name, arrays={"z": x.astype(np.float32)}, chunk_rows=250)
    return analyse(store, "shape", **{"twins": 6, **parameters})


def outside(result: Result) -> list[str]:
    return [effect for effect, is_so in zip(EFFECTS, result["outside"].tolist(), strict=True) if is_so]


def more_than_tails(result: Result) -> list[str]:
    return [EFFECTS[at] for at in np.flatnonzero(result["outside"] & result["outside_matched"]).tolist()]


@pytest.mark.parametrize("components", [2, 12, 40])
def test_a_gaussian_is_one_ellipsoid(tmp_path: Path, components: int) -> None:
    result = shape_of(tmp_path, ellipsoid(ROWS, components))
    assert outside(result) == []
    assert result["found"][TAILS] == pytest.approx(1, abs=0.1)
    assert result["found"][NEIGHBOURS] == pytest.approx(0.48, abs=0.03)
    assert result["found"][DIMENSION] == pytest.approx(1, abs=0.1)


def test_false_alarms_are_rare(tmp_path: Path) -> None:
    alarms = [outside(shape_of(tmp_path, ellipsoid(120, 6, seed), f"{seed}.zarr")) for seed in range(10)]
    assert sum(map(bool, alarms)) <= 2  # 0.5 are expected


def test_heavy_tails_are_tails_alone(tmp_path: Path) -> None:
    result = shape_of(tmp_path, heavy(ROWS, 12))
    assert "tails" in outside(result)
    assert result["found"][TAILS] > 2
    assert set(more_than_tails(result)) <= {"tails"}
    assert (result["core_share"] < 0.65).all()


@pytest.mark.parametrize("apart", [6, 12])
def test_clusters_are_structure_between_images(tmp_path: Path, apart: float) -> None:
    result = shape_of(tmp_path, clusters(ROWS, 32, apart, 12))
    assert "neighbours" in more_than_tails(result)
    assert result["found"][NEIGHBOURS] > (0.53 if apart == 6 else 0.7)
    assert result["found"][AXIS] > 0.08
    assert result["found"][TAILS] == pytest.approx(1, abs=0.05)


def test_two_clusters_show_along_an_axis(tmp_path: Path) -> None:
    result = shape_of(tmp_path, two(ROWS, 32, 12))
    assert {"axis", "neighbours"} <= set(outside(result))
    assert result["found"][AXIS] == pytest.approx(0.41, abs=0.03)
    assert result.attributes["worst_axis"] == 0
    assert result["core_share"] == pytest.approx(1, abs=0.15)  # a robust fit is blind to them


def test_filaments_have_few_dimensions(tmp_path: Path) -> None:
    result = shape_of(tmp_path, filaments(ROWS, 32))
    assert set(more_than_tails(result)) >= {"neighbours", "dimension"}
    assert result["found"][DIMENSION] < 0.2
    scale = result.attributes["lowest_scale"]
    assert result["dimension"][scale] < 2 < 8 < result["gaussian_dimension"][scale].min()


def test_a_rolled_sheet_has_fewer_dimensions_in_the_frame_of_the_points(tmp_path: Path) -> None:
    result = shape_of(tmp_path, swiss_roll(ROWS, 16))
    assert {"neighbours", "dimension"} <= set(outside(result))


def test_the_twins_have_what_a_gaussian_has(tmp_path: Path) -> None:
    result = shape_of(tmp_path, ellipsoid(ROWS, 12), twins=20)
    assert result["gaussian"].shape == (4, 20)
    assert result["gaussian"][TAILS].mean() == pytest.approx((ROWS - 1) / (ROWS + 1), abs=0.005)
    assert (result["gaussian_low"][TAILS], np.isinf(result["gaussian_low"][AXIS])) == (
        pytest.approx(1, abs=0.05),
        True,
    )
    assert result["dimension"].shape == (len(SCALES),)
    apart = result["gaussian_core_share"].mean(axis=1)
    assert result["core_share"] == pytest.approx(apart, abs=0.12)


def test_scale_and_place_change_nothing(tmp_path: Path) -> None:
    x = clusters(200, 5, 6, 4)
    one = shape_of(tmp_path, x)
    other = shape_of(tmp_path, 1e6 * x + 7, "other.zarr")
    np.testing.assert_allclose(other["found"], one["found"], rtol=0.02)  # twins are others


def test_the_sample_is_said(tmp_path: Path) -> None:
    result = shape_of(tmp_path, ellipsoid(300, 4), sample=100)
    assert (result.attributes["sampled"], result.attributes["images"]) == (100, 300)
    assert np.isnan(result["dimension"][-1])  # 128 neighbours are too many
    again = shape_of(tmp_path, ellipsoid(300, 4), "again.zarr", sample=100, seed=1)
    assert not np.array_equal(again["found"], result["found"])


def test_axes_without_width_are_left_out(tmp_path: Path) -> None:
    x = ellipsoid(200, 4)
    flat = np.hstack([x, x[:, :1], np.full((200, 1), 9.0)])
    result = shape_of(tmp_path, flat)
    assert result.attributes["axes"] == 4
    assert outside(result) == []


def test_points_that_are_all_equal_have_no_shape(tmp_path: Path) -> None:
    result = shape_of(tmp_path, np.ones((20, 3)))
    assert result.attributes["axes"] == 0
    assert np.isnan(result["found"]).all()
    assert not result["outside"].any()


def test_fewer_images_than_axes_are_never_outside_by_tails(tmp_path: Path) -> None:
    result = shape_of(tmp_path, ellipsoid(30, 60))
    assert "tails" not in outside(result)
    assert np.isnan(result["core_share"]).all()


@pytest.mark.parametrize(("rows", "parameters"), [(9, {"nearest": 2}), (12, {"nearest": 12})])
def test_too_few_images_are_refused(tmp_path: Path, rows: int, parameters: dict[str, Any]) -> None:
    with pytest.raises(TooFewImagesError, match="expected fewer nearest neighbours than the") as refused:
        shape_of(tmp_path, ellipsoid(rows, 3), **parameters)
    assert refused.value.field == "nearest"


@pytest.mark.parametrize("parameters", [{"twins": 4}, {"sample": 9}, {"nearest": 1000, "sample": 500}])
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        ShapeParameters.model_validate(parameters)


@pytest.mark.parametrize("apart", [0.0, 1e-3])
def test_near_twins_are_no_fewer_dimensions(tmp_path: Path, apart: float) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3000, 32))
    x[-300:] = x[:300] + apart * rng.standard_normal((300, 32))
    result = shape_of(tmp_path, x, sample=3000)
    assert outside(result) == []
    assert result["found"][DIMENSION] == pytest.approx(1, abs=0.05)
    assert (result.attributes["sampled"], result.attributes["repeats"]) == (2700, 300)


def test_a_smooth_cloud_has_no_repeats_whatever_its_dimensions(tmp_path: Path) -> None:
    for components in (1, 2, 8):
        result = shape_of(tmp_path, ellipsoid(ROWS, components), f"{components}.zarr")
        assert (result.attributes["sampled"], result.attributes["repeats"]) == (ROWS, 0)


def test_a_few_points_that_are_there_many_times_are_groups(tmp_path: Path) -> None:
    x = np.tile(ellipsoid(8, 4), (75, 1))
    result = shape_of(tmp_path, x)
    assert (result.attributes["sampled"], result.attributes["repeats"]) == (600, 0)
    assert "neighbours" in outside(result)
