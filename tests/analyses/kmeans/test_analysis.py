from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from latentscan.errors import ParameterError, StoreError, TooFewImagesError
from tests.builders import analyse, build_store

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
    location = folder / f"{len(list(folder.iterdir()))}.zarr"
    return build_store(location, arrays={"z": z}, chunk_rows=chunk_rows)


def of_model(result: Result, k: int, seed: int) -> Any:
    return (result["centre_k"] == k) & (result["centre_seed"] == seed)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_inertia_sizes_and_labels_are_those_of_scikit_learn(tmp_path: Path, offset: float) -> None:
    from sklearn.cluster import KMeans

    z = clusters(7) + offset
    store = store_of(tmp_path, z, 137, bad=(3, 400, 401))
    found = analyse(store, "kmeans", **FEW, labels=(5, 9), reference=False)
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
    found = analyse(store_of(tmp_path, z, 500), "kmeans", k="4:24:4", seeds=1, reference=False)
    x = z.astype(np.float32)
    with threadpool_limits(1):
        others = [MiniBatchKMeans(k, n_init=3, random_state=0).fit(x).inertia_ for k in found["k"].tolist()]
    assert np.mean(found["inertia"][:, 0] / others) <= 1.05


def test_the_verdict_does_not_depend_on_the_k_that_were_asked_for(tmp_path: Path) -> None:
    store = store_of(tmp_path, clusters(12, rows=2000))
    results = str(tmp_path / "results.zarr")
    for k in ("2:40:8", "1:6", (3, 30), "10:40:15"):
        found = analyse(store, "kmeans", k=k, seeds=1, batch_rows=512, passes=1, results=results)
        assert (found.attributes["gap_verdict"], found.attributes["gap_best"]) == ("about", 12)
        assert found["gap_k"][[0, 11]].tolist() == [1, 14]


def test_the_number_of_clusters_that_the_gap_names_is_trained_as_if_it_were_asked_for(tmp_path: Path) -> None:
    store = store_of(tmp_path, clusters(5))
    found, asked = (analyse(store, "kmeans", k=k, seeds=2, batch_rows=256) for k in ("2:40:8", "2:40:8,5"))
    assert (found.attributes["gap_verdict"], found.attributes["gap_best"]) == ("about", 5)
    assert found["k"].tolist() == [2, 5, 10, 18, 26, 34]
    for name in ("inertia", "centres", "centre_k", "centre_seed", "size", "member"):
        np.testing.assert_array_equal(found[name], asked[name])
    alone = analyse(store, "kmeans", k="2:40:8", seeds=2, batch_rows=256, reference=False)
    assert alone["k"].tolist() == [2, 10, 18, 26, 34]
    few = analyse(store, "kmeans", k=2, seeds=1, batch_rows=3)
    assert few["k"].tolist() == [2, 5]
    labelled = analyse(store, "kmeans", k="2:40:8", labels=(10,), seeds=2, batch_rows=256)
    at = np.flatnonzero(labelled["label_seed"][0] == labelled["seed"])[0]
    assert labelled["inertia"][2, at] == labelled["inertia"][2].min()
    np.testing.assert_array_equal(
        np.bincount(labelled["labels"][0]),
        labelled["size"][of_model(labelled, 10, labelled["label_seed"][0])],
    )


def test_inertia_of_gaussian_data_is_that_of_the_points_by_the_gap(tmp_path: Path) -> None:
    found = analyse(store_of(tmp_path, clusters(12, rows=2000)), "kmeans", k=(1, 12, 100), batch_rows=512)
    at = found["gap_k"].tolist().index(12)
    expected = found["inertia_mean"][1] * np.exp(found["gap_mean"][at])
    assert found["reference"][0] == found["inertia_mean"][0]
    assert found["reference"][1] == pytest.approx(expected)
    assert np.isnan(found["reference"][2])


@pytest.mark.parametrize("radius", [1e4, 1e5, 1e6])
def test_a_row_far_out_costs_no_more_than_scikit_learn_pays(tmp_path: Path, radius: float) -> None:
    from sklearn.cluster import KMeans

    z = np.random.default_rng(0).standard_normal((12_000, 8))
    z[[77, 4111]] = 0
    z[77, 3], z[4111, 5] = radius, -radius / 10
    found = analyse(store_of(tmp_path, z, 1000), "kmeans", k=(2, 4, 9), seeds=2, reference=False)
    for at, k in enumerate((2, 4, 9)):
        with threadpool_limits(1):
            best = KMeans(k, n_init=3, random_state=0).fit(z).inertia_
        assert found["inertia"][at].max() <= 1.02 * best
    assert found["far_image"].tolist() == [77, 4111]
    lone = found["member"][(found["size"] == 1) & (found["centre_k"] == 9)]
    assert sorted(lone.tolist()) == [77, 77, 4111, 4111]


@pytest.mark.parametrize("scale", [2.0**-130, 2.0**-80, 2.0**40])
def test_inertia_is_in_the_units_of_the_points_however_small_or_large(tmp_path: Path, scale: float) -> None:
    z = clusters(5, rows=600).astype(np.float32).astype(np.float64)
    of_one = analyse(store_of(tmp_path, z), "kmeans", **FEW, reference=False)
    found = analyse(store_of(tmp_path, z * scale), "kmeans", **FEW, reference=False)
    for name in ("inertia", "total"):
        np.testing.assert_allclose(found[name], of_one[name] * scale**2, rtol=1e-4)
    x = (z * scale).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found["total"], ((x - x.mean(axis=0)) ** 2).sum(), rtol=1e-6)
    assert (found["inertia"] > 0).all()


def test_one_k_is_judged_as_well(tmp_path: Path) -> None:
    one = analyse(store_of(tmp_path, clusters(3)), "kmeans", k=7, batch_rows=256)
    assert (one.attributes["gap_verdict"], one.attributes["gap_best"]) == ("about", 3)


def test_what_does_not_fit_the_store_names_the_parameter(tmp_path: Path) -> None:
    store = store_of(tmp_path, clusters(3, rows=50), bad=(1,))
    with pytest.raises(TooFewImagesError, match=r"has 49 images .* up to 49") as refused:
        analyse(store, "kmeans", k=(2, 50))
    assert (refused.value.field, refused.value.value) == ("k", 50)
    with pytest.raises(ParameterError) as absent:
        analyse(store, "kmeans", k=9, array="mu")
    assert absent.value.field == "array"
    assert analyse(store, "kmeans", k=49, seeds=1)["inertia"].shape == (1, 1)
    with pytest.raises(StoreError, match=r"all 50 images were rejected"):
        analyse(store_of(tmp_path, clusters(3, rows=50), bad=tuple(range(50))), "kmeans")


def test_points_that_are_all_the_same(tmp_path: Path) -> None:
    found = analyse(store_of(tmp_path, np.full((300, 3), 5.0)), "kmeans", k=(1, 2, 3), batch_rows=100)
    assert found["inertia"].max() == 0
    assert found.attributes["gap_verdict"] == "undecided"


def test_the_result_is_a_dataset(tmp_path: Path) -> None:
    dataset = analyse(store_of(tmp_path, clusters(3)), "kmeans", **FEW).to_dataset()
    assert dataset["inertia"].dims == ("k", "seed")
    assert dataset["inertia"].sel(k=5, seed=1) > 0
