from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats as scipy_stats

from latentscan.analyses.axes import AxesParameters
from latentscan.errors import StoreError
from tests.builders import analyse, build_store, own

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

NORMAL, PEAKS, CONSTANT, OFF, OUTLIER = range(5)
REJECTED = 17


def latents(rows: int = 3000) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    z = rng.standard_normal((rows, 5))
    z[:, PEAKS] += np.where(rng.random(rows) < 0.5, -3, 3)
    z[:, CONSTANT] = 0.1
    z[:, OFF] += 300
    z[123, OUTLIER] = 25
    z[REJECTED] = np.nan
    return {"z": z.astype(np.float32), "mu": (z / 2).astype(np.float32)}


def store_of(
    folder: Path, chunk_rows: int, arrays: dict[str, NDArray[np.float32]] | None = None
) -> LatentStore:
    return build_store(folder / f"{chunk_rows}.zarr", arrays=arrays or latents(), chunk_rows=chunk_rows)


def test_moments_and_counts_are_those_of_numpy_and_scipy(tmp_path: Path) -> None:
    dataset = analyse(store_of(tmp_path, 100), "axes").to_dataset()
    for name, array in latents().items():
        good = np.delete(array, REJECTED, axis=0).astype(np.float64)
        found = dataset.sel(array=name)
        np.testing.assert_allclose(found["mean"], good.mean(axis=0))
        np.testing.assert_allclose(found["variance"], good.var(axis=0), rtol=1e-9)
        varying = [NORMAL, PEAKS, OFF, OUTLIER]
        skewness = scipy_stats.skew(good[:, varying])
        np.testing.assert_allclose(found["skewness"][varying], skewness, rtol=1e-9)
        kurtosis = scipy_stats.kurtosis(good[:, varying])
        np.testing.assert_allclose(found["kurtosis"][varying], kurtosis, rtol=1e-9)
        assert found["lowest"].values.tolist() == good.min(axis=0).tolist()
        assert found["highest"].values.tolist() == good.max(axis=0).tolist()
        for component in range(5):
            counts = found["histogram"][component].values
            width, start = float(found["bin_width"][component]), float(found["bin_start"][component])
            edges = start + width * np.arange(len(counts) + 1)
            assert counts.tolist() == np.histogram(good[:, component], edges)[0].tolist()


def test_what_is_far_from_gaussian_is_found(tmp_path: Path) -> None:
    store = store_of(tmp_path, 1000)
    result = analyse(store, "axes")
    for far, distance in zip(result["far"], result["distance"], strict=True):
        assert np.flatnonzero(far).tolist() == [PEAKS]
        assert distance[PEAKS] > 0.25
        assert distance[[NORMAL, OFF]].max() < 2.5 * result.attributes["sampling_floor"]
        assert np.isnan(distance[CONSTANT])
    # one image 25 standard deviations away changes little of the whole
    low = analyse(store, "axes", far=0.05)
    assert np.flatnonzero(low["far"][0]).tolist() == [PEAKS, OUTLIER]


def test_few_images_do_not_make_everything_far(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    result = analyse(store_of(tmp_path, 10, {"z": rng.standard_normal((40, 300)).astype(np.float32)}), "axes")
    assert (result["distance"] > AxesParameters().far).sum() > 100
    assert not result["far"].any()
    assert result.attributes["far_distance"] > AxesParameters().far


def test_bins_too_wide_for_the_shape_are_marked(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((3000, 3))
    z[:, 1] += 1e6
    result = analyse(store_of(tmp_path, 1000, {"z": z.astype(np.float32)}), "axes")
    assert result["coarse"].tolist() == [[False, True, False]]


@pytest.mark.parametrize("chunk_rows", [3, 64, 5000])
def test_blocks_change_no_count(tmp_path: Path, chunk_rows: int) -> None:
    arrays = {name: array[:200] for name, array in latents().items()}
    expected = analyse(store_of(tmp_path, 100, arrays), "axes")
    found = analyse(store_of(tmp_path, chunk_rows, arrays), "axes")
    assert own(found) == own(expected)
    for name, variable in expected.variables.items():
        if name in ("mean", "variance", "skewness", "kurtosis", "distance"):
            np.testing.assert_allclose(found[name], variable.values, rtol=1e-9, atol=1e-9)
        else:
            assert found[name].tolist() == variable.values.tolist()


def test_nothing_but_rejected_images(tmp_path: Path) -> None:
    store = store_of(tmp_path, 4, {"z": np.full((5, 2), np.nan, np.float32)})
    with pytest.raises(StoreError, match="all 5 images were rejected"):
        analyse(store, "axes")


@pytest.mark.parametrize("parameters", [{"far": 0}, {"far": -1}, {"farther": 1}])
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        AxesParameters.model_validate(parameters)
    assert [problem["loc"] for problem in refused.value.errors()] == [tuple(parameters)]
