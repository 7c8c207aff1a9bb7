from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from latentscan.analyses.cache import Run
from latentscan.analyses.tsne import analysis as module
from latentscan.analyses.tsne.analysis import TsneParameters, aligned, tsne, tsne_maps
from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.progress import Advance
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

SMALL = TsneParameters(points=300, perplexity=10, iterations=120)


def rows(count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(2)
    z = 3 * rng.standard_normal((5, 12))[rng.integers(5, size=count)] + rng.standard_normal((count, 12))
    z[7] = np.nan
    return z.astype(np.float32)


def store_of(folder: Path, chunk_rows: int = 90, values: np.ndarray | None = None) -> LatentStore:
    np.save(folder / "z.npy", rows() if values is None else values)
    location = str(folder / f"{chunk_rows}.zarr")
    ingest({"z": folder / "z.npy"}, location, chunk_rows=chunk_rows)
    return open_store(location)


def assert_same(a: Result, b: Result) -> None:
    assert a.attributes == b.attributes
    assert a.variables.keys() == b.variables.keys()
    for name, variable in a.variables.items():
        assert variable.values.tobytes() == b[name].tobytes(), name


def test_a_map_names_its_images_and_how_good_it_is(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    found = tsne(store, SMALL)
    assert found["embedding"].shape == (300, 2)
    assert found["embedding"].dtype == np.float32
    assert len(np.unique(found["image"])) == 300
    assert 7 not in found["image"]
    np.testing.assert_allclose(found["radius"], np.linalg.norm(rows()[found["image"]], axis=1), rtol=1e-6)
    assert found.attributes["recall"] == 1
    assert found.attributes["trustworthiness"] > 0.9
    assert 0 < found.attributes["kl"] < 2
    path = next((tmp_path / "90.zarr" / "analyses" / "tsne").glob("*/"))
    dataset = xr.open_zarr(tmp_path / "90.zarr", group=f"analyses/tsne/{path.name}")
    assert dataset["embedding"].dims == ("point", "axis")
    assert dataset.coords["image"].values.tolist() == found["image"].tolist()
    assert_same(tsne(store, SMALL), found)
    assert not list((tmp_path / "90.zarr" / "analyses" / "tsne-state").glob("*/"))


def test_neither_threads_nor_blocks_change_a_bit(tmp_path: Path) -> None:
    one = tsne(store_of(tmp_path, 90), SMALL, Run(executor=ThreadedExecutor(1)))
    two = tsne(store_of(tmp_path, 7), SMALL, Run(executor=ThreadedExecutor(2)))
    assert_same(one, two)


def test_several_maps_are_those_made_one_by_one(tmp_path: Path) -> None:
    asked = [
        SMALL,
        SMALL.model_copy(update={"points": 150, "perplexity": 5}),
        SMALL.model_copy(update={"perplexity": 20, "early_exaggeration": 16}),
        SMALL,
    ]
    store = store_of(tmp_path)
    together = tsne_maps(store, asked, Run(results=str(tmp_path / "together.zarr")))
    for parameters, found in zip(asked, together, strict=True):
        assert_same(tsne(store, parameters), found)
    assert together[1]["image"].tolist() == together[0]["image"][:150].tolist()


class Interrupting:
    """Watches until so many iterations are reported; then the user presses Ctrl-C."""

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


@pytest.mark.parametrize("settings", [[SMALL], [SMALL, SMALL.model_copy(update={"perplexity": 20})]])
def test_an_interrupted_map_is_taken_up_again(tmp_path: Path, settings: list[TsneParameters]) -> None:
    store = store_of(tmp_path)
    expected = tsne_maps(store, settings, Run(results=str(tmp_path / "whole.zarr")))
    with pytest.raises(KeyboardInterrupt):
        tsne_maps(store, settings, Run(progress=Interrupting(60)))
    watch = Interrupting(10**9)
    for found, whole in zip(tsne_maps(store, settings, Run(progress=watch)), expected, strict=True):
        assert_same(found, whole)
    assert watch.begun_with is not None
    assert watch.begun_with > 0
    anew = Interrupting(10**9)
    tsne_maps(store, settings, Run(force=True, progress=anew))
    assert anew.begun_with == 0


def test_the_state_is_kept_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr("latentscan.analyses.tsne.optimize.KEEP_EVERY_S", 0.0)
    monkeypatch.setattr(module, "_save_state", lambda _home, _path, state: kept.append(state.done))
    tsne(store_of(tmp_path), SMALL)
    assert kept == [79, 120]


def test_a_perplexity_too_large(tmp_path: Path) -> None:
    store = store_of(tmp_path, values=rows(101))  # of which one is rejected
    with pytest.raises(UsageError, match=r"--perplexity 34: .*100 points; at most 33 is possible"):
        tsne(store, TsneParameters(perplexity=34))
    assert not (tmp_path / "90.zarr" / "analyses").exists()
    assert tsne(store, TsneParameters(perplexity=33, iterations=20)).attributes["points"] == 100
    with pytest.raises(UsageError, match="at most 16 is possible"):
        tsne_maps(store, [TsneParameters(perplexity=5), TsneParameters(points=50, perplexity=17)])


def test_too_few_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a map needs at least 4"):
        tsne(store_of(tmp_path, values=np.ones((3, 2), np.float32)), TsneParameters(perplexity=1))


def test_no_good_image(tmp_path: Path) -> None:
    store = store_of(tmp_path, values=np.full((9, 2), np.nan, np.float32))
    with pytest.raises(StoreError, match="all 9 images were rejected"):
        tsne(store, TsneParameters(perplexity=1))


def test_an_absent_array(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--array mu"):
        tsne(store_of(tmp_path), TsneParameters(array="mu"))


@pytest.mark.parametrize(
    "parameters",
    [
        {"points": 3},
        {"perplexity": 0.5},
        {"perplexity": np.inf},
        {"iterations": 0},
        {"early_exaggeration": 0},
    ],
)
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TsneParameters.model_validate(parameters)


@pytest.mark.parametrize("components", [1, 2])
def test_few_components_and_equal_rows(tmp_path: Path, components: int) -> None:
    values = np.repeat(np.random.default_rng(0).standard_normal((60, components)), 2, axis=0)
    found = tsne(store_of(tmp_path, values=values.astype(np.float32)), SMALL)
    assert np.isfinite(found["embedding"]).all()


def test_maps_are_laid_upon_the_first(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    first, second = tsne_maps(store, [SMALL, SMALL.model_copy(update={"points": 200, "perplexity": 15})])
    turned = first["embedding"][:200] @ np.array([[0, 3], [3, 0]], np.float32) + 9
    moved = type(second)(
        {**second.variables, "embedding": type(second.variables["embedding"])(("point", "axis"), turned)},
        second.attributes,
    )
    laid = aligned([first, moved])
    np.testing.assert_allclose(laid[1]["embedding"], first["embedding"][:200], atol=1e-3)
    assert laid[1].attributes["disparity"] < 1e-6
    assert laid[0] is first
