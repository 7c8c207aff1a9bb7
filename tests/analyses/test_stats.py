from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from latentscan.analyses.cache import Run
from latentscan.analyses.stats import StatsParameters, stats
from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.report.stats_json import stats_json
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

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


def store_of(
    folder: Path, chunk_rows: int, names: tuple[str, ...] = ("mu", "logvar", "z"), rows: int = 700
) -> LatentStore:
    arrays = latents(rows)
    for name in names:
        np.save(folder / f"{name}.npy", arrays[name])
    location = str(folder / f"{'-'.join(names)}-{chunk_rows}.zarr")
    ingest({name: folder / f"{name}.npy" for name in names}, location, chunk_rows=chunk_rows)
    return open_store(location)


def test_threads_do_not_change_a_bit(tmp_path: Path) -> None:
    store = store_of(tmp_path, 31)
    one, two = (stats(store, run=Run(force=True, executor=ThreadedExecutor(count))) for count in (1, 2))
    assert one.variables.keys() == two.variables.keys()
    for name, variable in one.variables.items():
        assert variable.values.tobytes() == two[name].tobytes()


@pytest.mark.parametrize(("chunk_rows", "rows"), [(1, 150), (64, 700), (5000, 700)])
def test_blocks_do_not_change_the_statistics(tmp_path: Path, chunk_rows: int, rows: int) -> None:
    expected = stats(store_of(tmp_path, 100, rows=rows))
    found = stats(store_of(tmp_path, chunk_rows, rows=rows))
    for name, variable in expected.variables.items():
        if variable.values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], variable.values, rtol=1e-9, atol=1e-12)
        else:
            assert found[name].tolist() == variable.values.tolist()


def test_a_result_is_computed_once(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    first = stats(store)
    (tmp_path / "mu-logvar-z-100.zarr" / "z" / "c" / "0" / "0").unlink()
    assert stats(store)["kl"].tolist() == first["kl"].tolist()
    with pytest.raises(StoreError, match="z/c/0/0 is missing"):
        stats(store, run=Run(force=True))


def test_completing_a_store_makes_another_result(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    whole = stats(store)
    retract_blocks(store.location, (2,))
    with pytest.raises(StoreError, match=r"6 of 7 blocks.*allow_partial"):
        stats(store)
    part = stats(store, run=Run(allow_partial=True))
    with pytest.raises(StoreError):
        stats(store)  # the partial result does not stand in for the whole
    assert part.attributes["images"] == 600
    assert whole.attributes["images"] == 700


def test_nothing_but_rejected_images(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.full((5, 2), np.nan, np.float32))
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"))
    with pytest.raises(StoreError, match="all 5 images were rejected"):
        stats(open_store(str(tmp_path / "z.zarr")))


def test_an_overflowing_variance_is_no_invalid_json(tmp_path: Path) -> None:
    logvar = np.full((4, 2), 1000, np.float32)
    for name, array in {"mu": 0 * logvar, "logvar": logvar, "z": 0 * logvar}.items():
        np.save(tmp_path / f"{name}.npy", array)
    files = {name: tmp_path / f"{name}.npy" for name in ("mu", "logvar", "z")}
    ingest(files, str(tmp_path / "z.zarr"))
    document = stats_json(stats(open_store(str(tmp_path / "z.zarr"))))
    assert document["kl"]["mean_unscaled"] is None
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    "parameters",
    [{"width": 0}, {"interval": (5, -3)}, {"ranges": [(1, 1)]}, {"upper": 0.1}, {"colour": "red"}],
)
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StatsParameters.model_validate(parameters)


def test_the_result_is_a_dataset(tmp_path: Path) -> None:
    dataset = stats(store_of(tmp_path, 100)).to_dataset()
    assert dataset["variance"].dims == ("array", "component")
    z = latents()["z"]
    good = z[np.isfinite(z).all(axis=1)].astype(np.float64)
    np.testing.assert_allclose(dataset["variance"].sel(array="z"), good.var(axis=0))
