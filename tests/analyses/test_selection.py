from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.cache import Cache
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.selection import Chooser
from latentscan.errors import ParameterError, UsageError
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore

Z = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
Z[:30] += 20
Z[45] *= 30
Z[70] = Z[60]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    return build_store(
        tmp_path_factory.mktemp("selection") / "z.zarr",
        arrays={"z": Z},
        chunk_rows=17,
        rejected=(3,),
        labels=("Smiling", "Bald"),
        more_labels={"integer_labels": ("age",), "text_labels": ("who", "note")},
    )


def chooser(store: LatentStore, count: int = 10) -> Chooser:
    return Chooser(OneStore.open({"store": store}), Cache(), count)


def test_rows_have_their_paths(store: LatentStore) -> None:
    found = chooser(store).rows(["7", "80:82"])
    assert found.images.tolist() == [7, 80, 81, 82]
    assert found.paths.tolist() == [f"ünter/{row}.jpg" for row in (7, 80, 81, 82)]
    assert found.document()["images"][0] == {"image": 7, "path": "ünter/7.jpg"}


@pytest.mark.parametrize("text", ["90", "-1", "a", "5:3", "0:89", "1:", "1.5"])
def test_what_is_no_row_is_refused(store: LatentStore, text: str) -> None:
    if text == "1:":
        assert chooser(store).rows([text]).images.tolist() == [1]
        return
    with pytest.raises(UsageError):
        chooser(store).rows([text])


def test_the_outlier_comes_first_and_the_duplicates_are_together(store: LatentStore) -> None:
    outliers = chooser(store).outliers()
    assert (outliers.images[0], outliers.total) == (45, 89)
    assert outliers.figures["score"][0] > 1
    duplicates = chooser(store).duplicates()
    assert duplicates.images.tolist() == [60, 70]
    assert duplicates.figures["group"].tolist() == [0, 0]


def test_the_largest_and_the_smallest(store: LatentStore) -> None:
    radii = np.linalg.norm(Z, axis=1)
    radii[3] = np.nan
    order = [row for row in np.argsort(radii).tolist() if row != 3]
    assert chooser(store).extreme("radius", largest=False).images.tolist() == order[:10]
    largest = chooser(store, 3).extreme("radius", largest=True)
    assert largest.images.tolist() == order[:-4:-1]
    np.testing.assert_allclose(largest.figures["radius"], radii[order[:-4:-1]], rtol=1e-6)
    with pytest.raises(ParameterError, match="mahalanobis"):
        chooser(store).extreme("size", largest=True)


def test_the_nearest_are_those_of_all_blocks_but_rejected_ones(store: LatentStore) -> None:
    apart = np.linalg.norm(Z - Z[5], axis=1)
    apart[3] = np.inf
    found = chooser(store, 6).nearest(5)
    assert found.images.tolist() == np.argsort(apart)[:6].tolist()
    np.testing.assert_allclose(found.figures["distance"], np.sort(apart)[:6], rtol=1e-6, atol=1e-6)
    for row in (3, 90):
        with pytest.raises(UsageError):
            chooser(store).nearest(row)


def test_a_cluster_is_that_of_the_best_cached_model(store: LatentStore) -> None:
    with pytest.raises(UsageError, match="kmeans"):
        chooser(store).cluster(3, 0)
    result = analyse(store, "kmeans", k=(2, 3), seeds=2, batch_rows=40, labels=(3,), reference=False)
    for number in range(3):
        found = chooser(store, 200).cluster(3, number)
        assert sorted(found.images.tolist()) == np.flatnonzero(result["labels"][0] == number).tolist()
        assert (np.diff(found.figures["distance"]) >= 0).all()
        assert found.total == len(found.images)
    with pytest.raises(ParameterError, match="0 to 2"):
        chooser(store).cluster(3, 3)


def test_the_clusters_that_the_gap_names_can_be_shown_whatever_k_was_asked_for(tmp_path: Path) -> None:
    at = np.random.default_rng(1).integers(0, 5, 1500)
    z = 9 * np.eye(5)[at] + np.random.default_rng(2).standard_normal((1500, 5))
    store = build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=400)
    result = analyse(store, "kmeans", k="2:40:8", seeds=1, batch_rows=200)
    assert result.attributes["gap_best"] == 5
    found = [chooser(store, 1500).cluster(5, number).images for number in range(5)]
    assert [len(np.unique(at[images])) for images in found] == [1] * 5


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Smiling", [row for row in range(90) if row % 3 == 0]),
        ("Bald=-1", [row for row in range(90) if (row // 2) % 3]),
        ("age=41", [41]),
        ("who=y", [row for row in range(90) if row % 2]),
    ],
)
def test_an_attribute_or_a_value_of_it(store: LatentStore, text: str, rows: list[int]) -> None:
    found = chooser(store, 7).attribute(text)
    assert (found.images.tolist(), found.total) == (rows[:7], len(rows))


@pytest.mark.parametrize("text", ["Nose", "who", "age=x", "Smiling=yes"])
def test_an_attribute_that_is_not_there_is_refused(store: LatentStore, text: str) -> None:
    with pytest.raises(UsageError):
        chooser(store).attribute(text)


def test_an_array_that_the_store_lacks_is_refused(store: LatentStore) -> None:
    asked: Any = {"array": "mu"}
    with pytest.raises(ParameterError):
        Chooser(OneStore.open({"store": store}), Cache(), 5, **asked).nearest(1)
