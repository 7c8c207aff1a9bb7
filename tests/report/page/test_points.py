from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.execution.context import Execution
from latentscan.report.page import points as points_module
from latentscan.report.page.collect import Collection, Shown, collect
from latentscan.report.page.points import gather_points
from latentscan.scan.snapshot import Snapshot
from latentscan.store.results import Result, Variable
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.report.page.points import Points
    from latentscan.store.reader import LatentStore

IMAGES = 50


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    return build_store(
        tmp_path / "a.zarr",
        images=IMAGES,
        components=3,
        chunk_rows=20,
        latents=("z",),
        labels=("Smiling", "Young"),
        more_labels={"integer_labels": ("age",), "float_labels": ("pose",), "text_labels": ("kind", "who")},
        split=True,
    )


def gathered(**stores: LatentStore) -> Points:
    held = {name: Snapshot.of(store) for name, store in stores.items()}
    return gather_points(held, collect(held), Execution())


def test_what_is_known_of_an_image_stands_at_its_place(store: LatentStore) -> None:
    analyse(store, "kmeans", k=(2, 4), seeds=2, labels=(2, 4), reference=False)
    analyse(store, "tsne", points=30, perplexity=4, iterations=10)
    found = gathered(a=store)
    assert len(found) == 30
    assert found.paths.tolist() == [f"ünter/{row}.jpg" for row in found.rows]
    columns = {column.title: column for column in found.columns}
    rows = found.rows
    assert columns["split"].values.tolist() == (rows % 3).tolist()
    assert columns["Young"].values.tolist() == (rows // 2 % 3 == 0).astype(int).tolist()
    np.testing.assert_array_equal(columns["age"].values, np.where(rows % 4, rows, np.nan))
    np.testing.assert_array_equal(columns["pose"].values, np.where(rows % 3, rows / 4, np.nan).astype("f4"))
    kind = columns["kind"]
    assert [kind.names[code] for code in kind.values] == ["xy"[row % 2] for row in rows]
    assert (columns["who"].values < 0).tolist() == (rows % 3 == 0).tolist()
    radii = np.linalg.norm(np.asarray(store.z[:])[rows], axis=1)
    (radius,) = [column for title, column in columns.items() if title.startswith("radius")]
    np.testing.assert_allclose(radius.values, radii, rtol=1e-6)
    labels = analyse(store, "kmeans", k=(2, 4), seeds=2, labels=(2, 4), reference=False)["labels"]
    for at, k in enumerate((2, 4)):
        np.testing.assert_array_equal(columns[f"cluster of {k}"].values, labels[at][rows])
    (one,) = found.maps
    embedding = collect({"a": Snapshot.of(store)}).of("tsne")["a"]
    np.testing.assert_array_equal(one.places[found.find("a", embedding["image"])], embedding["embedding"])
    assert sorted(found.first.tolist()) == list(range(30))


def test_stores_of_the_same_images_share_points_and_others_do_not(store: LatentStore, tmp_path: Path) -> None:
    same = build_store(tmp_path / "b.zarr", images=IMAGES, components=2, chunk_rows=7, latents=("z",), seed=1)
    others = [f"{row}" for row in range(IMAGES)]
    other = build_store(tmp_path / "c.zarr", images=IMAGES, components=2, latents=("z",), paths=others)
    for one in (store, same, other):
        analyse(one, "tsne", points=20, perplexity=4, iterations=10)
    found = gathered(a=store, b=same, c=other)
    assert len(found) == 20 + 20  # the same sample of the same images
    assert found.find("a", [found.rows[0]]) == found.find("b", [found.rows[0]]) == 0
    assert np.isnan(found.maps[0].places[20:]).all()
    assert np.isnan(found.maps[2].places[:20]).all()
    assert set(found.paths[20:]) <= set(others)
    assert found.find("c", [10**6]) == -1


def test_of_too_many_points_a_sample_lies_before_a_density(
    store: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points_module, "MOST_POINTS", 40)
    monkeypatch.setattr(points_module, "IN_FRONT", 20)
    analyse(store, "tsne", points=20, perplexity=4, iterations=10, all=True)
    found = gathered(a=store)
    (one,) = [one for one in found.maps if one.points == IMAGES]  # the other is that of the sample
    assert np.isfinite(one.places).all(axis=1).sum() == len(found) == 20
    assert one.density is not None
    assert one.density.sum() == IMAGES
    results = collect({"a": Snapshot.of(store)}).of("tsne").values()
    (result,) = [one for one in results if len(one["image"]) == IMAGES]
    assert set(found.rows) == set(result["image"][result["in_sample"].astype(bool)])


def test_any_figure_of_every_image_is_a_column(store: LatentStore) -> None:
    figure = Variable(("image",), np.arange(float(IMAGES)), {"long_name": "oddness"})
    shown = Shown("stats", "a", Result({"odd": figure}, {}), ("a",))
    held = {"a": Snapshot.of(store)}
    analyse(store, "tsne", points=20, perplexity=4, iterations=10)
    maps = [one for one in collect(held).shown if one.analysis == "tsne"]
    found = gather_points(held, Collection((shown, *maps)), Execution())
    column = found.columns[0]
    assert (column.title, column.group) == ("oddness", "a")
    np.testing.assert_array_equal(column.values, found.rows)


def test_without_maps_there_are_no_points(store: LatentStore) -> None:
    found = gathered(a=store)
    assert len(found) == 0
    assert found.maps == ()


def test_a_store_of_other_images_may_have_no_map(store: LatentStore, tmp_path: Path) -> None:
    others = [f"{row}" for row in range(IMAGES)]
    other = build_store(tmp_path / "c.zarr", images=IMAGES, components=2, latents=("z",), paths=others)
    analyse(store, "tsne", points=20, perplexity=4, iterations=10)
    analyse(other, "kmeans", k=(2,), seeds=1, reference=False)
    found = gathered(c=other, a=store)
    assert len(found) == 20
    assert {column.group for column in found.columns} == {"a", "attributes"}


def test_the_radius_of_a_map_is_no_second_column_beside_that_of_all_images(store: LatentStore) -> None:
    analyse(store, "outliers")
    analyse(store, "tsne", points=20, perplexity=4, iterations=10)
    titles = [column.title for column in gathered(a=store).columns]
    assert sum(title.startswith("radius") for title in titles) == 1
    assert "local density, as a share of that around the nearest images" in titles
