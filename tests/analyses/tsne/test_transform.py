from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openTSNE
import pytest

from latentscan.analyses.cache import Run
from latentscan.analyses.tsne import transform as tsne_placing
from latentscan.analyses.tsne.analysis import TsneParameters, tsne
from latentscan.encoding.ingest import ingest
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

ALL = TsneParameters(points=200, perplexity=10, iterations=200, all=True)


def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    z = 3 * rng.standard_normal((5, 12))[rng.integers(5, size=700)] + rng.standard_normal((700, 12))
    z[50] = np.nan
    return z.astype(np.float32)


def store_of(folder: Path, chunk_rows: int) -> LatentStore:
    np.save(folder / "z.npy", rows())
    location = str(folder / f"{chunk_rows}.zarr")
    ingest({"z": folder / "z.npy"}, location, chunk_rows=chunk_rows)
    return open_store(location)


@pytest.fixture
def everything(tmp_path: Path) -> Result:
    return tsne(store_of(tmp_path, 100), ALL)


def test_every_good_image_has_a_place(tmp_path: Path, everything: Result) -> None:
    fixed = tsne(open_store(str(tmp_path / "100.zarr")), ALL.model_copy(update={"all": False}))
    assert everything["image"].tolist() == [number for number in range(700) if number != 50]
    assert everything["in_sample"].sum() == 200
    assert everything.attributes["placed"] == 499
    order = np.argsort(fixed["image"])
    held = everything["in_sample"]
    assert everything["image"][held].tolist() == fixed["image"][order].tolist()
    assert everything["embedding"][held].tobytes() == fixed["embedding"][order].tobytes()
    good = rows()[everything["image"]]
    np.testing.assert_allclose(everything["radius"], np.linalg.norm(good, axis=1), rtol=1e-6)


@pytest.mark.parametrize(("chunk_rows", "batch"), [(33, 4096), (5000, 64), (64, 100)])
def test_a_place_depends_on_the_image_alone(
    tmp_path: Path, everything: Result, monkeypatch: pytest.MonkeyPatch, chunk_rows: int, batch: int
) -> None:
    monkeypatch.setattr(tsne_placing, "BATCH_IMAGES", batch)
    for threads in (1, 2):
        found = tsne(
            store_of(tmp_path, chunk_rows),
            ALL,
            Run(executor=ThreadedExecutor(threads), results=f"{tmp_path}/r{threads}"),
        )
        for name, variable in everything.variables.items():
            assert found[name].tobytes() == variable.values.tobytes(), name


def test_images_are_placed_where_openTSNE_would(everything: Result) -> None:  # noqa: N802
    held = everything["in_sample"]
    z = rows()[everything["image"]]
    fixed = openTSNE.TSNEEmbedding(
        everything["embedding"][held].astype(np.float64),
        openTSNE.affinity.PerplexityBasedNN(z[held], perplexity=10, method="exact"),
    )
    shift = (fixed.max(axis=0) + fixed.min(axis=0)) / 2
    expected = np.asarray(fixed.transform(z[~held])) + np.asarray(shift)
    apart = np.linalg.norm(everything["embedding"][~held] - expected, axis=1)
    extent = np.ptp(everything["embedding"][held], axis=0).max()
    assert np.median(apart) < 0.005 * extent
    assert np.percentile(apart, 99) < 0.05 * extent


def test_an_incomplete_store(tmp_path: Path, everything: Result) -> None:
    from latentscan.store.writer import retract_blocks

    location = str(tmp_path / "100.zarr")
    retract_blocks(location, (2,))
    found = tsne(open_store(location), ALL, Run(allow_partial=True))
    assert len(found["image"]) == len(everything["image"]) - 100
    assert not ((found["image"] >= 200) & (found["image"] < 300)).any()


def test_a_sample_of_all_leaves_nothing_to_place(tmp_path: Path) -> None:
    found = tsne(store_of(tmp_path, 100), ALL.model_copy(update={"points": 900, "iterations": 20}))
    assert found["in_sample"].all()
    assert found.attributes["placed"] == 0
