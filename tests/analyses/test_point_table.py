from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.point_table import TableParameters, point_table
from latentscan.errors import UsageError
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.analyses.point_table import PointTable
    from latentscan.store.reader import LatentStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    return build_store(
        tmp_path_factory.mktemp("table") / "z.zarr",
        images=60,
        components=5,
        chunk_rows=13,
        rejected=(4, 50),
        labels=("Smiling", "radius"),
        more_labels={"text_labels": ("who", "note")},
        split=True,
    )


def table_of(store: LatentStore, **parameters: Any) -> PointTable:
    return point_table(OneStore.open({"store": store}), TableParameters(**parameters), Cache())


def columns(table: PointTable) -> dict[str, Any]:
    blocks = list(table.blocks())
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def test_a_row_has_what_is_known_and_what_was_found(store: LatentStore) -> None:
    figures = analyse(store, "outliers")
    kmeans = analyse(store, "kmeans", k=(3,), seeds=1, batch_rows=40, labels=(3,), reference=False)
    embedding = analyse(store, "tsne", points=30, perplexity=4, iterations=5)
    pca = analyse(store, "pca")
    found = columns(table_of(store, k=3, axes=3))
    assert found["row"].tolist() == list(range(60))
    assert found["path"][7] == "ünter/7.jpg"
    assert found["status"][[3, 4]].tolist() == ["good", "damaged"]
    assert found["split"][[0, 1, 2]].tolist() == ["train", "valid", "test"]
    assert found["Smiling"][:4].tolist() == [1, -1, -1, 1]
    assert found["who"][1] == "y"
    assert found["cluster"].tolist() == kmeans["labels"][0].tolist()
    assert found["radius"][0] == 1, "the attribute has the name that the store gives it"
    np.testing.assert_array_equal(found["radius_2"], figures["radius"])
    np.testing.assert_array_equal(found["score"], figures["score"])
    np.testing.assert_array_equal(found["x"][embedding["image"]], embedding["embedding"][:, 0])
    assert np.isfinite(found["x"]).sum() == 30
    mu = store.mu[:]
    np.testing.assert_allclose(found["pc2"], (mu - pca["mean"]) @ pca["axes"][1], rtol=1e-4, atol=1e-5)
    assert np.isnan(found["pc3"][[4, 50]]).all()
    mapped = columns(table_of(store, mapped=True, figures=False, axes=0))
    assert mapped["row"].tolist() == sorted(embedding["image"].tolist())
    assert table_of(store, mapped=True, figures=False).rows == 30
    with pytest.raises(UsageError, match="k-means of 7"):
        table_of(store, k=7)
    with pytest.raises(UsageError, match="no map"):
        table_of(store, map=f"pca/{pca.attributes['key']}")


def test_results_of_another_store_at_the_same_place_are_not_taken(tmp_path: Path) -> None:
    place = str(tmp_path / "results.zarr")
    one, other = (build_store(tmp_path / f"{seed}.zarr", images=40, seed=seed) for seed in (0, 1))
    analyse(one, "kmeans", results=place, k=(2,), seeds=1, batch_rows=20, reference=False)
    mapped = analyse(one, "tsne", results=place, points=40, perplexity=4, iterations=5)

    def table(store: LatentStore, **parameters: Any) -> PointTable:
        asked = TableParameters(figures=False, axes=0, **parameters)
        return point_table(OneStore.open({"store": store}), asked, Cache(CachePolicy(place)))

    assert {"x", "cluster"} <= columns(table(one, k=2)).keys()
    assert "x" not in columns(table(other))
    with pytest.raises(UsageError, match="no k-means of 2 clusters is cached"):
        table(other, k=2)
    with pytest.raises(UsageError, match="of another content"):
        table(other, map=mapped.attributes["key"][:8])


def test_a_store_without_results_has_what_is_known(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=9, chunk_rows=4)
    table = table_of(store, figures=False, axes=0)
    assert [column.name for column in table.columns] == ["row", "path", "status"]
    assert table.rows == 9


def test_blocks_that_are_not_written_are_left_out(tmp_path: Path) -> None:
    build_store(tmp_path / "z.zarr", images=9, chunk_rows=4, blocks=(0, 2))
    inputs = OneStore.open({"store": str(tmp_path / "z.zarr")}, allow_partial=True)
    table = point_table(inputs, TableParameters(figures=False, axes=0), Cache())
    assert table.rows == 5
    assert columns(table)["row"].tolist() == [0, 1, 2, 3, 8]
