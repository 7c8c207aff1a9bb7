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


def test_clusters_far_apart_have_an_elbow(tmp_path: Path) -> None:
    found = analyse(store_of(tmp_path, clusters(12, rows=3000)), "kmeans", k="2:40:2", batch_rows=512)
    assert found.attributes["elbow"] == "clear"
    assert 10 <= np.median(found["knee"]) <= 14
    assert (found["reference"] > found["inertia_mean"]).all()


def test_gaussian_data_have_none_and_lie_on_the_reference(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((4000, 16)) * np.linspace(1, 3, 16)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0]
    found = analyse(store_of(tmp_path, z @ turn + 7), "kmeans", k="2:40:4", batch_rows=512)
    assert found.attributes["elbow"] == "none"
    np.testing.assert_allclose(found["reference"], found["inertia_mean"], rtol=0.02)


def test_one_k_has_no_knee(tmp_path: Path) -> None:
    one = analyse(store_of(tmp_path, clusters(3)), "kmeans", k=3, batch_rows=256)
    assert one.attributes["elbow"] == "unknown"
    assert one["knee"].tolist() == [0, 0, 0]


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
    assert found.attributes["elbow"] != "clear"


def test_the_result_is_a_dataset(tmp_path: Path) -> None:
    dataset = analyse(store_of(tmp_path, clusters(3)), "kmeans", **FEW).to_dataset()
    assert dataset["inertia"].dims == ("k", "seed")
    assert dataset["inertia"].sel(k=5, seed=1) > 0
