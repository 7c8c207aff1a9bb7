from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from scipy.spatial import procrustes as scipy_procrustes

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.tsne.analysis import TSNE, align
from latentscan.analyses.tsne.parameters import TsneParameters
from latentscan.errors import ParameterError, StoreError, TooFewImagesError
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.progress import SILENT
from latentscan.scan.snapshot import Snapshot
from latentscan.store.results import Results, Variable
from tests.builders import analyse, assert_same_bits, build_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from latentscan.progress import Advance, Progress
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

SMALL: dict[str, Any] = {"points": 300, "perplexity": 10, "iterations": 120}


def rows(count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(2)
    z = 3 * rng.standard_normal((5, 12))[rng.integers(5, size=count)] + rng.standard_normal((count, 12))
    z[7] = np.nan
    return z.astype(np.float32)


def store_of(folder: Path, values: np.ndarray, chunk_rows: int = 90) -> LatentStore:
    return build_store(folder / "z.zarr", arrays={"z": values}, chunk_rows=chunk_rows)


def together(
    store: LatentStore,
    asked: Sequence[dict[str, Any]],
    results: Path | str,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> list[Result]:
    """Make several embeddings at once."""
    requests = [Request(TSNE, TsneParameters(**one)) for one in asked]
    cache = Cache(CachePolicy(str(results), force=force), Execution(progress=progress))
    return cache.results(requests, OneStore(Snapshot.of(store)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    return store_of(tmp_path_factory.mktemp("tsne"), rows())


@pytest.fixture(scope="module")
def small(store: LatentStore) -> Result:
    return analyse(store, "tsne", **SMALL)


def test_an_embedding_names_its_images_and_how_good_it_is(store: LatentStore, small: Result) -> None:
    assert small["embedding"].shape == (300, 2)
    assert small["embedding"].dtype == np.float32
    assert len(np.unique(small["image"])) == 300
    assert 7 not in small["image"]
    np.testing.assert_allclose(small["radius"], np.linalg.norm(rows()[small["image"]], axis=1), rtol=1e-6)
    assert small.attributes["search_recall"] == 1
    assert small.attributes["trustworthiness"] > 0.9
    assert 0 < small.attributes["kl"] < 2
    dataset = xr.open_zarr(store.location, group=f"analyses/tsne/{small.attributes['key']}")
    assert dataset["embedding"].dims == ("point", "axis")
    assert dataset.coords["image"].values.tolist() == small["image"].tolist()


def test_the_noise_floor_is_what_another_start_changes(store: LatentStore, small: Result) -> None:
    found = analyse(store, "tsne", **SMALL, noise_floor=True)
    again = analyse(store, "tsne", **SMALL, start_seed=1, cached_only=True)
    floor = found.attributes["noise_floor"]
    assert found["embedding"].tobytes() == small["embedding"].tobytes()
    assert again["image"].tolist() == small["image"].tolist()
    assert floor["disparity"] == pytest.approx(scipy_procrustes(small["embedding"], again["embedding"])[2])

    def nearest(points: np.ndarray) -> np.ndarray:
        apart = np.linalg.norm(points[:, np.newaxis].astype(np.float64) - points, axis=2)
        return np.argsort(apart, axis=1)[:, 1:16]

    both = zip(nearest(small["embedding"]), nearest(again["embedding"]), strict=True)
    common = np.mean([len(np.intersect1d(a, b)) / 15 for a, b in both])
    assert floor["neighbours_in_common"] == pytest.approx(common)
    assert 0.2 < common < 1
    assert floor["neighbours_in_common_error"] > 0


@pytest.mark.parametrize(("scale", "shift", "far_out"), [(1e-24, 0, 1), (1, 1e6, 1), (1, 0, 1e12)])
def test_a_map_is_good_wherever_the_cloud_lies(
    tmp_path: Path, small: Result, scale: float, shift: float, far_out: float
) -> None:
    values = scale * rows().astype(np.float64) + shift
    values[11] *= far_out
    found = analyse(store_of(tmp_path, values.astype(np.float32)), "tsne", **SMALL).attributes
    assert found["search_recall"] == 1
    assert found["trustworthiness"] == pytest.approx(small.attributes["trustworthiness"], abs=0.02)
    assert found["neighbours_kept"] == pytest.approx(small.attributes["neighbours_kept"], abs=0.06)


def test_no_state_is_left_once_the_embedding_is_saved(store: LatentStore, small: Result) -> None:
    assert Results(store.location).load(f"analyses/tsne-state/{small.attributes['key']}") is None
    assert Results(store.location).load(f"analyses/tsne/{small.attributes['key']}") is not None


def test_neither_threads_nor_blocks_change_a_bit(tmp_path: Path, small: Result) -> None:
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        store = store_of(folder, rows(), chunk_rows=7)
        found = analyse(store, "tsne", **SMALL, executor=ThreadedExecutor(threads))
        assert_same_bits(found, small)


def test_several_embeddings_are_those_made_one_by_one(
    tmp_path: Path, store: LatentStore, small: Result
) -> None:
    asked = [
        SMALL,
        {**SMALL, "points": 150, "perplexity": 5},
        {**SMALL, "perplexity": 20, "early_exaggeration": 16},
        SMALL,
    ]
    found = together(store, asked, tmp_path / "together.zarr")
    for parameters, one in zip(asked, found, strict=True):
        assert_same_bits(analyse(store, "tsne", **parameters), one)
    assert found[1]["image"].tolist() == found[0]["image"][:150].tolist()
    assert_same_bits(found[3], small)


class Interrupting:
    """Follows until so many iterations are reported; then the user presses Ctrl-C."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.begun_with: int | None = None

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        def advance(amount: int, /, **_: float) -> None:
            if label == "t-SNE":
                self.left -= amount
                if self.left <= 0:
                    raise KeyboardInterrupt

        if label == "t-SNE":
            self.begun_with = done
        yield advance


@pytest.mark.parametrize("asked", [[SMALL], [SMALL, {**SMALL, "perplexity": 20}]])
def test_an_interrupted_embedding_is_resumed(
    tmp_path: Path, store: LatentStore, asked: list[dict[str, Any]]
) -> None:
    expected = together(store, asked, store.location)
    results = tmp_path / "results.zarr"
    with pytest.raises(KeyboardInterrupt):
        together(store, asked, results, progress=Interrupting(60))
    resuming = Interrupting(10**9)
    for found, whole in zip(together(store, asked, results, progress=resuming), expected, strict=True):
        assert_same_bits(found, whole)
    assert resuming.begun_with is not None
    assert resuming.begun_with > 0
    anew = Interrupting(10**9)
    for found, whole in zip(
        together(store, asked, results, force=True, progress=anew), expected, strict=True
    ):
        assert_same_bits(found, whole)
    assert anew.begun_with == 0


def test_the_state_is_saved_now_and_then(
    tmp_path: Path, store: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save_unlisted = Results.save_unlisted

    def recorded(self: Results, path: str, result: Result) -> None:
        saved.append(result.attributes["done"])
        save_unlisted(self, path, result)

    monkeypatch.setattr("latentscan.analyses.tsne.optimize.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Results, "save_unlisted", recorded)
    analyse(store, "tsne", **SMALL, results=str(tmp_path / "results.zarr"))
    assert len(saved) > 1
    assert saved == sorted(saved)
    assert saved[-1] == SMALL["iterations"]


def test_a_perplexity_too_large(tmp_path: Path) -> None:
    store = store_of(tmp_path, rows(101))  # of which one is rejected
    with pytest.raises(TooFewImagesError, match="100 points; at most 33 is possible") as refused:
        analyse(store, "tsne", perplexity=34)
    assert (refused.value.field, refused.value.value) == ("perplexity", "34")
    assert not (tmp_path / "z.zarr" / "analyses" / "tsne").exists()
    assert analyse(store, "tsne", perplexity=33, iterations=20).attributes["points"] == 100
    with pytest.raises(TooFewImagesError, match="at most 16 is possible"):
        together(store, [{"perplexity": 5}, {"points": 50, "perplexity": 17}], store.location)


def test_too_few_images(tmp_path: Path) -> None:
    with pytest.raises(TooFewImagesError, match="an embedding needs at least 4") as refused:
        analyse(store_of(tmp_path, np.ones((3, 2), np.float32)), "tsne", perplexity=1)
    assert refused.value.field == "perplexity"


def test_no_good_image(tmp_path: Path) -> None:
    store = store_of(tmp_path, np.full((9, 2), np.nan, np.float32))
    with pytest.raises(StoreError, match="all 9 images were rejected"):
        analyse(store, "tsne", perplexity=1)


def test_an_absent_array(store: LatentStore) -> None:
    with pytest.raises(ParameterError) as refused:
        analyse(store, "tsne", array="mu")
    assert (refused.value.field, refused.value.value) == ("array", "mu")


@pytest.mark.parametrize("components", [1, 2])
def test_few_components_and_equal_rows(tmp_path: Path, components: int) -> None:
    values = np.repeat(np.random.default_rng(0).standard_normal((60, components)), 2, axis=0)
    found = analyse(store_of(tmp_path, values), "tsne", **SMALL)
    assert np.isfinite(found["embedding"]).all()


def test_embeddings_are_aligned_to_the_first(store: LatentStore, small: Result) -> None:
    second = analyse(store, "tsne", **{**SMALL, "points": 200, "perplexity": 15})
    turned = small["embedding"][:200] @ np.array([[0, 3], [3, 0]], np.float32) + 9
    moved = replace(second, variables={**second.variables, "embedding": Variable(("point", "axis"), turned)})
    aligned = align([small, moved])
    np.testing.assert_allclose(aligned[1]["embedding"], small["embedding"][:200], atol=1e-3)
    assert aligned[1].attributes["disparity"] < 1e-6
    assert aligned[0] is small


def test_embeddings_of_other_images_stay_as_they_are(small: Result) -> None:
    strange = replace(
        small, variables={**small.variables, "image": Variable(("point",), small["image"] + 1000)}
    )
    assert align([small, strange])[1] is strange
