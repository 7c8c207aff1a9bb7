from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.analysis import Analysis, Parameters, Request, Task
from latentscan.analyses.cache import (
    Cache,
    CacheMiss,
    CachePolicy,
    first_of,
    identity_of,
    key_of,
    path_of,
)
from latentscan.analyses.compare.analysis import COMPARE
from latentscan.analyses.inputs import Identity, OneStore, SeveralStores
from latentscan.analyses.kmeans.parameters import KMeansParameters
from latentscan.analyses.registry import ANALYSES
from latentscan.analyses.tsne.analysis import TSNE
from latentscan.analyses.tsne.parameters import TsneParameters
from latentscan.errors import ParameterError, StoreError, UsageError
from latentscan.scan.cost import Cost
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from latentscan.store.writer import retract_blocks
from tests.analyses.quick import compute, requests
from tests.builders import analyse, analyses_of_stores, assert_same_bits, build_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from latentscan.store.reader import LatentStore

ASKED = {name: request for name, request in requests() if name in ANALYSES}
COMPARED = ASKED["compare"].parameters
OF_STORES = analyses_of_stores()
PARTS = [part for name in OF_STORES for part in (ANALYSES[name], *ANALYSES[name].parts)]
KMEANS = ("kmeans", "kmeans-cloud", "kmeans-centres", "kmeans-gap", "kmeans-natural")
BUILT_ON = {  # whatever builds on an analysis, by its name; on others nothing does
    "stats": {"compare"},
    "pca": {"ledger", "tsne", "outliers", "compare"},
    "kmeans": {"compare"},
    "kmeans-centres": {"kmeans", "compare", "labels"},
    "kmeans-cloud": {"kmeans-centres", "kmeans-gap", "kmeans-natural", "kmeans", "compare", "labels"},
    "kmeans-gap": {"kmeans-natural", "kmeans", "compare"},
    "kmeans-natural": {"kmeans", "compare"},
    "tsne": {"compare"},
    "tsne-neighbours": {"tsne", "outliers", "compare"},
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many results of each analysis were computed."""
    counts: Counter[str] = Counter()
    run = Analysis.run

    def counted(self: Analysis[Any], tasks: Sequence[Task[Any, Any]]) -> list[Result]:
        counts[self.name] += len(tasks)
        return run(self, tasks)

    monkeypatch.setattr(Analysis, "run", counted)
    return counts


@contextmanager
def another_version(analysis: Analysis[Any], by: int = 1000) -> Iterator[None]:
    """Raise the version of an analysis for a while; requests refer to the value itself."""
    version = analysis.version
    object.__setattr__(analysis, "version", version + by)
    try:
        yield
    finally:
        object.__setattr__(analysis, "version", version)


def make_all(stores: dict[str, LatentStore], results: Path) -> dict[str, Result]:
    """Ask for every analysis of stores: of the first one, or of all of them."""
    assert ASKED.keys() == set(ANALYSES)
    given = {"store": stores["one"], "stores": stores}
    return {
        name: compute(ASKED[name], ASKED[name].analysis.inputs.open(given), results) for name in OF_STORES
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, stores: dict[str, LatentStore]) -> Path:
    """A place where everything is cached."""
    place = tmp_path_factory.mktemp("cache") / "results.zarr"
    make_all(stores, place)
    return place


@pytest.mark.parametrize("analysis", PARTS, ids=lambda analysis: analysis.name)
def test_of_another_version_it_is_computed_anew_with_all_that_is_built_on_it_and_nothing_else(
    stores: dict[str, LatentStore], results: Path, runs: Counter[str], analysis: Analysis[Any]
) -> None:
    before = make_all(stores, results)
    assert not runs
    with another_version(analysis):
        after = make_all(stores, results)
    built = {analysis.name, *BUILT_ON.get(analysis.name, ())}
    assert set(runs) == built
    # of one store once, of two where a comparison asks for both; outliers have neighbours of their own,
    # labels clusters, and the ledger a spectrum
    times = {
        **dict.fromkeys(("stats", *KMEANS, "tsne"), 2),
        **dict.fromkeys(("tsne-neighbours", "kmeans-centres", "pca"), 3),
    }
    assert all(count == times.get(name, 1) for name, count in runs.items())
    runs.clear()
    for name, result in make_all(stores, results).items():
        assert result.attributes == before[name].attributes
        assert (after[name].attributes["key"] != result.attributes["key"]) == (name in built)
        assert_same_bits(result, after[name])
    assert not runs


def test_force_computes_each_once(stores: dict[str, LatentStore], results: Path, runs: Counter[str]) -> None:
    before = make_all(stores, results)
    cache = Cache(CachePolicy(str(results), force=True))
    found = cache.result(ASKED["compare"], SeveralStores.open({"stores": stores}))
    assert_same_bits(found, before["compare"])
    of_both = ("stats", *KMEANS, "tsne", "tsne-neighbours", "pca")
    assert runs == {"compare": 1, **dict.fromkeys(of_both, 2)}
    cache.result(ASKED["kmeans"], OneStore.open({"store": stores["one"]}))
    assert runs["kmeans"] == 2  # it was computed for the comparison


def test_nothing_is_computed_where_only_what_is_cached_is_wanted(
    tmp_path: Path, stores: dict[str, LatentStore], results: Path, runs: Counter[str]
) -> None:
    several = SeveralStores.open({"stores": stores})
    policy = CachePolicy(str(results), cached_only=True)
    assert Cache(policy).result(ASKED["compare"], several).parts.keys() == {"stats", "kmeans"}
    elsewhere = tmp_path / "elsewhere.zarr"
    with pytest.raises(CacheMiss):
        Cache(CachePolicy(str(elsewhere), cached_only=True)).result(ASKED["compare"], several)
    assert not runs
    assert not elsewhere.exists()


def test_whether_it_is_cached_is_known_without_computing_and_of_another_version_it_is_not(
    tmp_path: Path, stores: dict[str, LatentStore], results: Path, runs: Counter[str]
) -> None:
    several = SeveralStores.open({"stores": stores})
    cache, elsewhere = Cache(CachePolicy(str(results))), Cache(CachePolicy(str(tmp_path / "none.zarr")))
    assert cache.has(ASKED["compare"], several)
    assert not elsewhere.has(ASKED["compare"], several)
    with another_version(ANALYSES["pca"], by=2000):
        assert not cache.has(ASKED["compare"], several)
        assert cache.has(ASKED["axes"], several.of_each_store()[0])
    assert not runs
    assert not (tmp_path / "none.zarr").exists()


def test_a_comparison_whose_parts_are_gone_is_not_taken_for_cached(
    tmp_path: Path, stores: dict[str, LatentStore], runs: Counter[str]
) -> None:
    several, place = SeveralStores.open({"stores": stores}), tmp_path / "results.zarr"
    request = Request(COMPARE, COMPARED.model_copy(update={"kmeans": False, "tsne": False}))
    compute(request, several, place)
    cache = Cache(CachePolicy(str(place)))
    assert cache.has(request, several)
    Results(str(place)).remove(path_of(ASKED["stats"], several.of_each_store()[1].identity))
    assert not cache.has(request, several)
    runs.clear()
    assert len(cache.result(request, several).parts["stats"]) == 2
    assert runs == {"stats": 1}


def test_a_result_in_the_place_of_another_is_not_served(tmp_path: Path, runs: Counter[str]) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    analyse(store, "stats", upper=10)
    one, other = (
        path_of(
            Request(ANALYSES["stats"], ANALYSES["stats"].parameters(upper=upper)),
            OneStore.open({"store": store}).identity,
        )
        for upper in (10, 20)
    )
    (tmp_path / "z.zarr" / one).rename(tmp_path / "z.zarr" / other)
    assert analyse(store, "stats", upper=20)["radius_edge"][-1] == 20
    assert runs["stats"] == 2


@pytest.mark.parametrize("change", [{"parameters": {}}, {"version": 0}, {"inputs": {}}, {"key": None}])
def test_a_result_that_says_it_is_another_is_not_served(
    tmp_path: Path, runs: Counter[str], change: dict[str, Any]
) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    found = analyse(store, "stats")
    path = f"analyses/stats/{found.attributes['key']}"
    attributes = {name: value for name, value in {**found.attributes, **change}.items() if value is not None}
    Results(store.location).save(path, replace(found, attributes=attributes))
    assert_same_bits(analyse(store, "stats"), found)
    assert runs["stats"] == 2


def test_a_damaged_result_is_computed_anew(tmp_path: Path, runs: Counter[str]) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    found = analyse(store, "stats")
    path = tmp_path / "z.zarr" / "analyses" / "stats" / found.attributes["key"]
    chunk = next(file for file in sorted((path / "mean").rglob("*")) if file.is_file() and file.suffix == "")
    chunk.write_bytes(chunk.read_bytes()[::-1])
    with pytest.raises(CacheMiss):
        analyse(store, "stats", cached_only=True)
    assert_same_bits(analyse(store, "stats"), found)
    assert runs["stats"] == 2


def test_results_elsewhere_leave_the_stores_alone(tmp_path: Path) -> None:
    stores = {name: build_store(tmp_path / f"{name}.zarr", images=60) for name in ("a", "b")}
    elsewhere = tmp_path / "results.zarr"
    analyse(stores, "compare", results=str(elsewhere), kmeans=False, tsne=False)
    assert not any((tmp_path / f"{name}.zarr" / "analyses").exists() for name in stores)
    assert {path.name for path in (elsewhere / "analyses").iterdir()} >= {"compare", "stats"}
    analyse(stores, "compare", results=str(elsewhere), kmeans=False, tsne=False, cached_only=True)
    analyse(stores, "compare", kmeans=False, tsne=False)
    assert (tmp_path / "a.zarr" / "analyses" / "compare").is_dir()  # the home of a comparison
    assert not (tmp_path / "b.zarr" / "analyses" / "compare").exists()


def test_another_process_finds_what_this_one_made(stores: dict[str, LatentStore], results: Path) -> None:
    one = OneStore.open({"store": stores["one"]})
    code = (
        "import sys; from latentscan.analyses.cache import key_of; "
        "from latentscan.analyses.inputs import OneStore; "
        "from tests.analyses.quick import compute; from tests.analyses.test_cache import ASKED; "
        "one = OneStore.open({'store': sys.argv[1]}); "
        "found = [compute(ASKED[name], one, sys.argv[2], cached_only=True) for name in ('kmeans', 'tsne')]; "
        "print(*(one.attributes['key'] for one in found))"
    )
    words = [sys.executable, "-c", code, stores["one"].location, str(results)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = [compute(ASKED[name], one, results, cached_only=True) for name in ("kmeans", "tsne")]
    assert done.stdout.split() == [result.attributes["key"] for result in found]


def test_of_a_part_of_a_store_it_is_another_result(tmp_path: Path, runs: Counter[str]) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4)
    whole = analyse(store, "axes")
    retract_blocks(store.location, (1,))
    store = open_store(store.location)
    with pytest.raises(StoreError):
        analyse(store, "axes")
    part = analyse(store, "axes", allow_partial=True)
    assert part.attributes["key"] != whole.attributes["key"]
    assert (part.attributes["images"], whole.attributes["images"]) == (7, 11)
    assert analyse(store, "axes", allow_partial=True).attributes == part.attributes
    assert runs["axes"] == 2


def test_a_store_that_cannot_be_written_is_said_so_before_any_work(
    tmp_path: Path, runs: Counter[str]
) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    taken = tmp_path / "taken"
    (taken / "photos").mkdir(parents=True)
    with pytest.raises(UsageError):
        analyse(store, "stats", results=str(taken))
    assert not runs


def test_points_that_the_store_lacks_are_refused_before_any_work(tmp_path: Path, runs: Counter[str]) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, latents=("z",))
    with pytest.raises(ParameterError) as refused:
        analyse(store, "pca", array="mu")
    assert refused.value.field == "array"
    assert not runs


class Anything(Parameters):
    """The parameters of an analysis that only tests have."""

    size: int = 1


def _asks_for_more(task: Task[Anything, OneStore]) -> Result:
    return task.result_of(Request(ANALYSES["stats"], ANALYSES["stats"].parameters()))


def _nothing(_task: Task[Anything, OneStore]) -> Result:
    return Result({"size": Variable((), np.array(1))}, {})


def test_the_points_are_mu_where_a_store_has_it_and_share_its_result(
    tmp_path: Path, runs: Counter[str]
) -> None:
    rng = np.random.default_rng(1)
    mu = rng.normal(size=(60, 3)).astype(np.float32)
    vae = build_store(tmp_path / "vae.zarr", arrays={"mu": mu, "logvar": mu - 3, "z": mu + 5})
    ae = build_store(tmp_path / "ae.zarr", arrays={"z": mu + 5})
    by_array = {
        (store.location, array): analyse(store, "pca", array=array)
        for store in (vae, ae)
        for array in ("auto", "mu", "z")
        if array in ("auto", *store.schema.latents)
    }
    assert runs["pca"] == 3  # auto is read from the result of the array that it stands for
    assert by_array[vae.location, "auto"].attributes["array"] == "mu"
    assert by_array[ae.location, "auto"].attributes["array"] == "z"
    np.testing.assert_allclose(by_array[vae.location, "auto"]["mean"], mu.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(by_array[ae.location, "auto"]["mean"], mu.mean(axis=0) + 5, atol=1e-6)


def test_to_ask_for_what_is_not_declared_is_a_mistake(tmp_path: Path) -> None:
    greedy = Analysis(
        name="greedy", version=1, parameters=Anything, compute=_asks_for_more, cost=lambda *_: Cost()
    )
    one = OneStore.open({"store": build_store(tmp_path / "z.zarr", images=11)})
    with pytest.raises(TypeError, match="greedy asks for stats"):
        compute(Request(greedy, Anything()), one)


def test_a_key_is_of_all_that_decides_a_result() -> None:
    request, identity = ASKED["stats"], Identity(("content",))
    known = key_of(request, identity)
    assert known == key_of(Request(ANALYSES["stats"], ASKED["stats"].parameters), Identity(("content",)))
    other = ANALYSES["stats"].parameters(upper=3)
    keys = {
        known,
        key_of(Request(ANALYSES["stats"], other), identity),
        key_of(request, Identity(("another",))),
        key_of(request, Identity(("content",), others={"model": "hash"})),
        key_of(ASKED["compare"], Identity(("content", "another"), ("a", "b"))),
        key_of(ASKED["compare"], Identity(("another", "content"), ("a", "b"))),
        key_of(ASKED["compare"], Identity(("content", "another"), ("b", "a"))),
    }
    assert len(keys) == 7


def test_what_others_of_the_same_analysis_require_comes_first() -> None:
    sample, everything = TsneParameters(points=60), TsneParameters(points=60, all=True)
    other = TsneParameters(points=90)
    asked = [Request(TSNE, one) for one in (everything, other)]
    assert first_of(asked) == [Request(TSNE, other), Request(TSNE, sample)]
    assert first_of([Request(TSNE, other)]) == []
    assert first_of([Request(ANALYSES["kmeans"], KMeansParameters())]) == []


def test_a_result_says_which_it_is(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=60)
    found = analyse(store, "pca")
    request = Request(ANALYSES["pca"], ANALYSES["pca"].parameters(array="mu"))
    expected = identity_of(request, OneStore.open({"store": store}).identity)
    assert {name: found.attributes[name] for name in expected} == expected
    assert found.attributes["parameters"] == {"array": "mu"}
