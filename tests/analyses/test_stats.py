from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from latentscan.analyses.stats import StatsParameters
from latentscan.errors import StoreError
from latentscan.report import stats as view
from latentscan.store.writer import retract_blocks
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore


def latents(rows: int = 700) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    mu = rng.standard_normal((rows, 9)).astype(np.float32)
    logvar = (3 * rng.standard_normal((rows, 9)) - 6).astype(np.float32)
    z = (mu + np.exp(logvar / 2) * rng.standard_normal((rows, 9))).astype(np.float32)
    z[17, 3] = np.nan
    return {"mu": mu, "logvar": logvar, "z": z}


def store_of(folder: Path, chunk_rows: int, rows: int = 700) -> LatentStore:
    return build_store(folder / f"{chunk_rows}.zarr", arrays=latents(rows), chunk_rows=chunk_rows)


@pytest.mark.parametrize(("chunk_rows", "rows"), [(1, 150), (64, 700), (5000, 700)])
def test_blocks_do_not_change_the_statistics(tmp_path: Path, chunk_rows: int, rows: int) -> None:
    expected = analyse(store_of(tmp_path, 100, rows), "stats")
    found = analyse(store_of(tmp_path, chunk_rows, rows), "stats")
    for name, variable in expected.variables.items():
        if variable.values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], variable.values, rtol=1e-9, atol=1e-12)
        else:
            assert found[name].tolist() == variable.values.tolist()


def test_a_store_of_z_alone_has_what_needs_no_other_array(tmp_path: Path) -> None:
    z = latents()["z"]
    alone = analyse(build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=64), "stats")
    whole = analyse(store_of(tmp_path, 64), "stats")
    assert alone["array"].tolist() == ["z"]
    assert {"kl", "logvar_mean", "deviation_max", "difference_max"} & alone.variables.keys() == set()
    at = whole["array"].tolist().index("z")
    assert alone["variance"][0].tobytes() == whole["variance"][at].tobytes()
    assert alone["radius_quantile"][0].tobytes() == whole["radius_quantile"][at].tobytes()


def test_completing_a_store_makes_another_result(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    whole = analyse(store, "stats")
    retract_blocks(store.location, (2,))
    with pytest.raises(StoreError, match=r"6 of 7 blocks"):
        analyse(store, "stats")
    part = analyse(store, "stats", allow_partial=True)
    with pytest.raises(StoreError):
        analyse(store, "stats")  # the partial result does not stand in for the whole
    assert (part.attributes["images"], part.attributes["unwritten"]) == (600, 100)
    assert (whole.attributes["images"], whole.attributes["unwritten"]) == (700, 0)


def test_nothing_but_rejected_images(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", arrays={"z": np.full((5, 2), np.nan, np.float32)})
    with pytest.raises(StoreError, match="all 5 images were rejected"):
        analyse(store, "stats")


def test_a_variance_that_overflows_leaves_its_number_out(tmp_path: Path) -> None:
    logvar = np.full((4, 2), 1000, np.float32)
    arrays = {"mu": 0 * logvar, "logvar": logvar, "z": 0 * logvar}
    found = analyse(build_store(tmp_path / "z.zarr", arrays=arrays), "stats")
    assert np.isinf(found["kl"]).all()
    assert view.to_json(found)["kl"]["mean_unscaled"] is None


@pytest.mark.parametrize(
    "parameters",
    [{"width": 0}, {"interval": (5, -3)}, {"ranges": [(1, 1)]}, {"upper": 0.1}, {"colour": "red"}],
)
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        StatsParameters.model_validate(parameters)
    (problem,) = refused.value.errors()
    assert problem["loc"][0] == ("width" if "upper" in parameters else next(iter(parameters)))


def test_the_moments_are_those_of_numpy(tmp_path: Path) -> None:
    dataset = analyse(store_of(tmp_path, 100), "stats").to_dataset()
    assert dataset["variance"].dims == ("array", "component")
    good = np.delete(latents()["z"], 17, axis=0).astype(np.float64)
    np.testing.assert_allclose(dataset["variance"].sel(array="z"), good.var(axis=0))
