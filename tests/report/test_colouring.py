from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError, UsageError
from latentscan.report.colouring import Colouring
from latentscan.scan.snapshot import Snapshot
from latentscan.store.results import Result, Variable
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.report.image_columns import Column
    from latentscan.store.reader import LatentStore

ROWS = np.array([41, 3, 17, 3, 58, 0])  # in no order, and one of them twice
K = (2, 5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    store = build_store(
        tmp_path_factory.mktemp("colours") / "z.zarr",
        images=60,
        components=3,
        chunk_rows=13,
        labels=("Smiling",),
        more_labels={"integer_labels": ("age",), "float_labels": ("pose",), "text_labels": ("who", "note")},
        split=True,
    )
    analyse(store, "kmeans", k=K, seeds=1, batch_rows=40, labels=K, reference=False)
    return store


def column(store: LatentStore, name: str, rows: Any = ROWS) -> Column:
    points = {"image": Variable(("point",), rows), "radius": Variable(("point",), rows / 2)}
    return Colouring.at(name, store.location).of(Result(points, {"array": "mu"}))


def named(found: Column) -> list[str]:
    return [found.names[code] if code >= 0 else "" for code in found.values.tolist()]


def test_images_have_what_the_store_knows_of_them_in_their_order(store: LatentStore) -> None:
    attribute = store.read_attribute("Smiling")[ROWS]
    assert named(column(store, "Smiling")) == ["yes" if value > 0 else "no" for value in attribute]
    assert named(column(store, "split")) == [("train", "valid", "test")[row % 3] for row in ROWS]
    assert named(column(store, "note")) == [f"ü{row}" if row % 3 else "" for row in ROWS]
    np.testing.assert_array_equal(
        column(store, "pose").values, [row / 4 if row % 3 else np.nan for row in ROWS]
    )
    np.testing.assert_array_equal(column(store, "radius").values, ROWS / 2)


def test_clusters_are_those_of_kmeans(store: LatentStore) -> None:
    labels = analyse(store, "kmeans", k=K, seeds=1, batch_rows=40, labels=K, reference=False)
    at = labels["label_k"].tolist()
    for k in K:
        np.testing.assert_array_equal(
            column(store, f"cluster:{k}").values, labels["labels"][at.index(k)][ROWS]
        )


def test_clusters_without_a_number_are_those_that_the_page_shows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    group = rng.integers(0, 7, 600)
    z = 9 * rng.standard_normal((7, 5))[group] + 0.1 * rng.standard_normal((600, 5))
    store = build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=200)
    analyse(store, "kmeans", k=(2, 3), seeds=1, reference=False)
    newest = analyse(store, "kmeans", k="2:12", seeds=2)
    assert newest.attributes["gap_verdict"] == "about"
    points = {"image": Variable(("point",), np.arange(600)), "radius": Variable(("point",), np.zeros(600))}
    found = Colouring.at("cluster", store.location).of(Result(points, {"array": "z"}))
    assert found.title == "cluster of 7"
    pairs = set(zip(group.tolist(), found.values.tolist(), strict=True))
    assert len(pairs) == 7, "each planted group is one cluster"


def test_few_whole_numbers_are_names_and_many_are_amounts(store: LatentStore) -> None:
    found = column(store, "age")
    assert named(found) == [str(row) if row % 4 else "" for row in ROWS]
    assert found.names == ("3", "17", "41", "58")[: len(found.names)]
    assert column(store, "age", np.arange(60)).names == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "Smilling",
            "colour=Smilling: expected radius, split, cluster, cluster:K, or an attribute: Smiling",
        ),
        ("cluster:7", "no k-means of 7 clusters is cached"),
        ("cluster:0", "expected radius"),
    ],
)
def test_what_is_unknown_is_said_before_any_work(store: LatentStore, name: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Colouring(name, Snapshot.of(store), store.location).require_known()
    assert said in str(refused.value)


def test_clusters_of_other_points_are_not_taken(store: LatentStore) -> None:
    colouring = Colouring("cluster", Snapshot.of(store), store.location)
    with pytest.raises(UsageError, match=r"no k-means of z is cached; compute it first: .*--array z"):
        colouring.require_known("z")


def test_results_alone_have_radii_only(store: LatentStore, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "results.zarr")
    analyse(store, "stats", results=elsewhere)
    assert Colouring.at("radius", elsewhere).snapshot is None
    Colouring.at("radius", elsewhere).require_known()
    with pytest.raises(ParameterError, match="without its store"):
        Colouring.at("split", elsewhere).require_known()


def test_an_attribute_goes_before_a_word_of_the_same_name(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=9, labels=("radius", "split"))
    for name in ("radius", "split"):
        assert column(store, name, np.arange(9)).names == ("no", "yes")
