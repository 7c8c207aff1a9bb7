from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

import latentscan.analyses.kmeans.centres as centres_module
from latentscan.analyses.cache import Run
from latentscan.analyses.kmeans.analysis import KMeansParameters, kmeans
from latentscan.analyses.kmeans.elbow import elbow
from latentscan.analyses.kmeans.training import Schedule, mixed_batches
from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

FEW: dict[str, Any] = {"k": (2, 5, 9), "seeds": 2, "batch_rows": 256, "passes": 3}


def clusters(count: int, rows: int = 1500, components: int = 16) -> Any:
    rng = np.random.default_rng(3)
    middle = rng.standard_normal((count, components))
    return middle[rng.integers(0, count, rows)] + 0.3 * rng.standard_normal((rows, components))


def store_of(folder: Path, z: Any, chunk_rows: int = 200, *, bad: tuple[int, ...] = ()) -> LatentStore:
    z = z.astype(np.float32)
    z[list(bad)] = np.nan
    np.save(folder / "z.npy", z)
    location = str(folder / f"{len(list(folder.iterdir()))}.zarr")
    ingest({"z": folder / "z.npy"}, location, chunk_rows=chunk_rows)
    return open_store(location)


def same(one: Result, two: Result) -> None:
    assert one.variables.keys() == two.variables.keys()
    assert dict(one.attributes) == dict(two.attributes)
    for name, variable in one.variables.items():
        assert variable.values.tobytes() == two[name].tobytes(), name


def of_model(result: Result, k: int, seed: int) -> Any:
    return (result["centre_k"] == k) & (result["centre_seed"] == seed)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_inertia_sizes_and_labels_are_those_of_scikit_learn(tmp_path: Path, offset: float) -> None:
    from sklearn.cluster import KMeans

    z = clusters(7) + offset
    store = store_of(tmp_path, z, 137, bad=(3, 400, 401))
    found = kmeans(store, KMeansParameters(**FEW, labels=(5, 9), reference=False))
    x = z.astype(np.float32).astype(np.float64)
    good = np.delete(np.arange(len(x)), [3, 400, 401])
    for i, k in enumerate(found["k"].tolist()):
        for j, seed in enumerate(found["seed"].tolist()):
            centres = found["centres"][of_model(found, k, seed)].astype(np.float64)
            with threadpool_limits(1):
                model = KMeans(k, init=centres, n_init=1, max_iter=1).fit(centres)
                model.cluster_centers_ = centres
                labels = model.predict(x[good])
            exact = ((x[good] - centres[labels]) ** 2).sum()
            np.testing.assert_allclose(found["inertia"][i, j], exact, rtol=1e-6)
            sizes = found["size"][of_model(found, k, seed)]
            assert sizes.tolist() == np.bincount(labels, minlength=k).tolist()
            if k in found["label_k"]:
                at = found["label_k"].tolist().index(k)
                assert (found["labels"][at, [3, 400, 401]] == -1).all()
                if found["label_seed"][at] == seed:
                    assert found["labels"][at, good].tolist() == labels.tolist()
                    assert found["inertia"][i, j] == found["inertia"][i].min()
    np.testing.assert_allclose(found["total"], ((x[good] - x[good].mean(axis=0)) ** 2).sum(), rtol=1e-6)


def test_models_are_as_good_as_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.cluster import MiniBatchKMeans

    z = clusters(20, rows=2500)
    found = kmeans(store_of(tmp_path, z, 500), KMeansParameters(k="4:24:4", seeds=1, reference=False))
    x = z.astype(np.float32)
    with threadpool_limits(1):
        others = [MiniBatchKMeans(k, n_init=3, random_state=0).fit(x).inertia_ for k in found["k"].tolist()]
    assert np.mean(found["inertia"][:, 0] / others) <= 1.05


def test_threads_do_not_change_a_bit(tmp_path: Path) -> None:
    store = store_of(tmp_path, clusters(7), 31)
    parameters = KMeansParameters(**FEW, labels=(9,))
    one, two = (
        kmeans(store, parameters, Run(force=True, executor=ThreadedExecutor(threads))) for threads in (1, 2)
    )
    same(one, two)


def test_a_model_does_not_depend_on_those_beside_it(tmp_path: Path) -> None:
    store = store_of(tmp_path, clusters(7))
    many = kmeans(store, KMeansParameters(**FEW, reference=False))
    one = kmeans(store, KMeansParameters(**FEW | {"k": 9, "seeds": 1, "seed": 1}, reference=False))
    assert one["centres"].tobytes() == many["centres"][of_model(many, 9, 1)].tobytes()


def test_centres_that_are_kept_are_not_trained_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path, clusters(7))
    first = kmeans(store, KMeansParameters(**FEW))
    monkeypatch.setattr(centres_module, "train", None)  # to call it would raise
    labelled = kmeans(store, KMeansParameters(**FEW, labels=(5,)))
    assert labelled["inertia"].tobytes() == first["inertia"].tobytes()
    with pytest.raises(TypeError):
        kmeans(store, KMeansParameters(**FEW), Run(force=True))
    monkeypatch.undo()
    same(kmeans(store, KMeansParameters(**FEW), Run(force=True)), first)


def test_clusters_far_apart_have_an_elbow(tmp_path: Path) -> None:
    found = kmeans(store_of(tmp_path, clusters(12, rows=3000)), KMeansParameters(k="2:40:2", batch_rows=512))
    assert found.attributes["elbow"] == "clear"
    assert 10 <= np.median(found["knee"]) <= 14
    assert (found["reference"] > found["inertia_mean"]).all()


def test_gaussian_data_have_none_and_lie_on_the_reference(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((4000, 16)) * np.linspace(1, 3, 16)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0]
    found = kmeans(store_of(tmp_path, z @ turn + 7), KMeansParameters(k="2:40:4", batch_rows=512))
    assert found.attributes["elbow"] == "none"
    np.testing.assert_allclose(found["reference"], found["inertia_mean"], rtol=0.02)


def test_what_one_seed_or_one_k_can_say(tmp_path: Path) -> None:
    k = np.arange(2, 20)
    curve = np.where(k < 8, 1 - k / 10, 0.2 - k / 200)
    reference = 1 - k / 100 - (k - 2) * (19 - k) / 5000
    assert elbow(k, curve[:, None], reference).verdict == "unknown"
    assert elbow(k, np.stack([curve, curve], axis=1), None).verdict == "unknown"
    assert elbow(k, np.stack([curve, curve], axis=1), reference).verdict == "clear"
    assert elbow(k, np.stack([curve, np.roll(curve, 5)], axis=1), reference).verdict == "none"
    chance = 0.3 - k / 1000 - 1e-3 * (k == 9)
    assert elbow(k, np.stack([chance, chance], axis=1), 0.3 - k / 1000).verdict == "none"
    one = kmeans(store_of(tmp_path, clusters(3)), KMeansParameters(k=3, batch_rows=256))
    assert one.attributes["elbow"] == "unknown"
    assert one["knee"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "k", ["2:8:2", [2, 4, 6, 8], (8, 6, 4, 2), range(2, 9, 2), "8,2,4,6,4", ["2:6:2", "8"]]
)
def test_ways_to_name_k(k: Any) -> None:
    assert KMeansParameters(k=k).k == (2, 4, 6, 8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": "0:4"}, "at least 1"),
        ({"k": ""}, "one number of clusters or more"),
        ({"k": "9:2"}, "from FIRST up to LAST"),
        ({"k": "a:2"}, "three whole numbers"),
        ({"k": "2:4:0"}, "from FIRST up to LAST"),
        ({"k": "2,x"}, "valid integer"),
        ({"k": 4, "labels": "5"}, "in --k, got 5"),
        ({"seeds": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KMeansParameters(**given)


def test_what_does_not_fit_the_store_is_said_before_any_work(tmp_path: Path) -> None:
    store = store_of(tmp_path, clusters(3, rows=50), bad=(1,))
    with pytest.raises(UsageError, match=r"--k 50: .* has 49 images .* up to 49"):
        kmeans(store, KMeansParameters(k=(2, 50)))
    with pytest.raises(UsageError, match=r"--batch-rows 8: .* --batch-rows 9 or more"):
        kmeans(store, KMeansParameters(k=9, batch_rows=8))
    with pytest.raises(UsageError, match=r"--array mu"):
        kmeans(store, KMeansParameters(k=9, array="mu"))
    assert kmeans(store, KMeansParameters(k=49, seeds=1))["inertia"].shape == (1, 1)
    with pytest.raises(StoreError, match=r"all \d+ images were rejected"):
        kmeans(store_of(tmp_path, clusters(3, rows=50), bad=tuple(range(50))))


def test_points_that_are_all_the_same(tmp_path: Path) -> None:
    found = kmeans(store_of(tmp_path, np.full((300, 3), 5.0)), KMeansParameters(k=(1, 2, 3), batch_rows=100))
    assert found["inertia"].max() == 0
    assert found.attributes["elbow"] != "clear"


def test_the_result_is_a_dataset(tmp_path: Path) -> None:
    dataset = kmeans(store_of(tmp_path, clusters(3)), KMeansParameters(**FEW)).to_dataset()
    assert dataset["inertia"].dims == ("k", "seed")
    assert dataset["inertia"].sel(k=5, seed=1) > 0


@pytest.mark.parametrize("rows", [1, 99, 100, 199, 200, 1234])
def test_batches_hold_every_row_once_and_none_is_short(rows: int) -> None:
    z = np.arange(rows, dtype=np.float32)[:, None]
    schedule = Schedule.of(rows, 100, 0)
    batches = list(mixed_batches(iter(np.array_split(z, 7)), 100, np.random.default_rng(0)))
    assert len(batches) == schedule.batches
    assert schedule.batches * schedule.passes >= 40
    assert sorted(np.concatenate(batches).ravel().tolist()) == list(range(rows))
    assert [len(batch) for batch in batches] == [len(schedule.batch(n)) for n in range(schedule.batches)]
    assert rows == 1 or not np.array_equal(np.concatenate(batches), z)


def test_rows_of_different_blocks_are_mixed() -> None:
    blocks = (np.full((100, 1), number, np.float32) for number in range(40))
    batches = list(mixed_batches(blocks, 100, np.random.default_rng(0)))
    assert min(len(np.unique(batch)) for batch in batches) >= 5
