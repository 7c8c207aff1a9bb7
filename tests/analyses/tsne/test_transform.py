from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openTSNE
import pytest

from latentscan.analyses.tsne import transform as module
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.writer import retract_blocks
from tests.builders import analyse, assert_same_bits, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

SAMPLE: dict[str, Any] = {"points": 200, "perplexity": 10, "iterations": 200}
ALL = {**SAMPLE, "all": True}


def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    z = 3 * rng.standard_normal((5, 12))[rng.integers(5, size=700)] + rng.standard_normal((700, 12))
    z[50] = np.nan
    return z.astype(np.float32)


def store_of(folder: Path, chunk_rows: int) -> LatentStore:
    return build_store(folder / f"{chunk_rows}.zarr", arrays={"z": rows()}, chunk_rows=chunk_rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    return store_of(tmp_path_factory.mktemp("transform"), 100)


@pytest.fixture(scope="module")
def everything(store: LatentStore) -> Result:
    return analyse(store, "tsne", **ALL)


def test_every_good_image_is_embedded(store: LatentStore, everything: Result) -> None:
    fixed = analyse(store, "tsne", **SAMPLE)
    assert everything["image"].tolist() == [number for number in range(700) if number != 50]
    assert everything["in_sample"].sum() == 200
    assert everything.attributes["transformed"] == 499
    order = np.argsort(fixed["image"])
    held = everything["in_sample"]
    assert everything["image"][held].tolist() == fixed["image"][order].tolist()
    assert everything["embedding"][held].tobytes() == fixed["embedding"][order].tobytes()
    good = rows()[everything["image"]]
    np.testing.assert_allclose(everything["radius"], np.linalg.norm(good, axis=1), rtol=1e-6)


@pytest.mark.parametrize(("chunk_rows", "batch"), [(33, 4096), (5000, 64), (64, 100)])
def test_a_point_depends_on_the_image_alone(
    tmp_path: Path, everything: Result, monkeypatch: pytest.MonkeyPatch, chunk_rows: int, batch: int
) -> None:
    monkeypatch.setattr(module, "BATCH_IMAGES", batch)
    store = store_of(tmp_path, chunk_rows)
    for threads in (1, 2):
        results = f"{tmp_path}/{threads}.zarr"
        found = analyse(store, "tsne", **ALL, executor=ThreadedExecutor(threads), results=results)
        assert_same_bits(found, everything)


def test_points_lie_where_openTSNE_would_embed_them(everything: Result) -> None:  # noqa: N802
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


def test_images_of_blocks_that_are_not_written_are_left_out(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    retract_blocks(store.location, (2,))
    found = analyse(store, "tsne", **ALL, allow_partial=True)
    assert found["image"].tolist() == [n for n in range(700) if n != 50 and not 200 <= n < 300]


def test_the_quality_among_all_images_is_that_of_plain_numpy(everything: Result) -> None:
    rows_, points = rows()[everything["image"]], everything["embedding"].astype(np.float64)

    def squares(of: np.ndarray) -> np.ndarray:
        apart = ((of[:, np.newaxis].astype(np.float64) - of) ** 2).sum(axis=2)
        np.fill_diagonal(apart, np.inf)
        return np.asarray(apart)

    near = np.argsort(squares(points), axis=1)[:, :15]
    ranks = 1 + np.argsort(np.argsort(squares(rows_), axis=1), axis=1)
    ranks = np.take_along_axis(ranks, near, axis=1)
    n = len(points)
    trust = 1 - 2 / (15 * (2 * n - 46)) * np.maximum(ranks - 15, 0).sum(axis=1)
    kept = (ranks <= 15).mean(axis=1)
    among_all = everything.attributes["among_all"]
    for name, of in (("sample", everything["in_sample"]), ("transformed", ~everything["in_sample"])):
        found, m = among_all[name], int(of.sum())
        assert found["queries"] == m
        assert found["trustworthiness"] == pytest.approx(trust[of].mean(), abs=1e-9)
        assert found["neighbours_kept"] == pytest.approx(kept[of].mean(), abs=1e-9)
        assert found["neighbours_kept_error"] == pytest.approx(kept[of].std(ddof=1) / np.sqrt(m))
    assert everything.attributes["transformed_search_recall"] == 1


def test_a_sample_of_all_leaves_nothing_to_transform(store: LatentStore) -> None:
    found = analyse(store, "tsne", **{**ALL, "points": 900, "iterations": 20})
    assert found["in_sample"].all()
    assert found.attributes["transformed"] == 0
    assert found.attributes["among_all"]["transformed"] is None
