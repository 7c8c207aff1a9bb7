from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.report.compare import figure, table, to_json
from latentscan.report.format import with_error
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result

FAST: dict[str, Any] = {
    "sample": 60,
    "nearest": 4,
    "k": (1, 2, 4),
    "seeds": 2,
    "reference": False,
    "points": 80,
    "perplexity": 6,
    "iterations": 40,
}


def compared(folder: Path, shapes: tuple[tuple[int, int], ...], **parameters: Any) -> Result:
    """Compare stores of random points in these shapes; those of as many images share a part."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((200, 8))
    stores = {}
    for number, (images, components) in enumerate(shapes):
        z = common[:images, :components] + rng.standard_normal((images, components))
        name = f"run-{number}.zarr"
        stores[name] = build_store(folder / name, arrays={"z": z}, chunk_rows=70 + 11 * number)
    return analyse(stores, "compare", **{**FAST, **parameters})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Three stores, the last of other images."""
    return compared(tmp_path_factory.mktemp("whole"), ((200, 8), (200, 5), (150, 8)))


def test_the_tables_name_what_is_not_compared(whole: Result) -> None:
    text = shown(table({"run-0.zarr": whole}))
    joined = " ".join(text.split())
    assert "different images: run-0.zarr holds 200 images, run-2.zarr 150" in joined
    assert "components: run-0.zarr 8, run-1.zarr 5, run-2.zarr 8" in joined
    for title in ("radius of z", "inertia (% of that of one cluster)", "every two stores", "linear CKA"):
        assert title in joined
    assert "latentscan runs" not in text
    assert "points: 1 run-0.zarr z 2 run-1.zarr z 3 run-2.zarr z" in joined
    cells = next(line for line in text.splitlines() if line.startswith("2, 3")).split()
    assert cells[2:] == [cells[2], "±", cells[4], "–", "–", "–"]
    assert "same (n = 60)" in joined


def test_many_stores_fit_a_terminal(tmp_path: Path) -> None:
    many = compared(tmp_path, ((60, 3),) * 5, sample=30, tsne=False, k=(2,))
    text = shown(table({"run-0.zarr": many}))
    assert text.count("\n4, 5 ") == 1
    assert "runs of several kinds are better compared by `latentscan runs`" in text


def test_the_document_has_every_pair(whole: Result) -> None:
    document = json.loads(json.dumps(to_json(whole), allow_nan=False))
    assert list(document["stores"]) == ["run-0.zarr", "run-1.zarr", "run-2.zarr"]
    first, second, third = document["pairs"]
    assert (first["first"], first["second"]) == ("run-0.zarr", "run-1.zarr")
    assert first["different_images"] is None
    assert 0 < first["cka"] < 1
    assert 0 < first["overlap"] < 1
    assert 0 < first["disparity"] <= 1
    assert all(0 < first[f"{name}_error"] < 0.3 for name in ("wasserstein", "cka", "overlap", "disparity"))
    assert (first["sampled"], first["disparity_floor"]) == (60, None)
    for pair in (second, third):
        assert "holds 200 images" in pair["different_images"]
        assert [pair[name] for name in ("cka", "overlap", "disparity")] == [None] * 3
        assert pair["earth_movers_distance"] == pair["wasserstein_distance"] > 0
    assert document["stores"]["run-1.zarr"]["components"] == 5
    assert document["stores"]["run-1.zarr"]["kmeans"]["k"] == [1, 2, 4]
    assert len(document["radius"]["edges"]) == 1 + len(document["radius"]["shares"]["run-0.zarr"])


def test_the_figure_names_stores_axes_and_maps(whole: Result) -> None:
    drawing = figure({"run-0.zarr": whole})
    named = words_of(drawing)
    assert {"1 run-0.zarr, z", "2 run-1.zarr, z", "3 run-2.zarr, z"} <= named  # of the curves
    assert {"number of clusters k", "inertia (% of that of one cluster)"} <= named
    assert any(text.startswith("2 run-1.zarr, z\ndisparity") for text in named)
    assert not any(text.startswith("3 run-2.zarr, z\n") for text in named)
    assert {"Wasserstein-1", "linear CKA", "neighbours (n = 60)", "1, 2"} <= named  # of the pairs


def test_the_figure_has_each_pair_with_its_value_error_and_chance(whole: Result) -> None:
    pairs = to_json(whole)["pairs"]
    _, cka, overlap, _ = figure({"run-0.zarr": whole}).subfigs[1].axes
    for axes, name in ((cka, "cka"), (overlap, "overlap")):
        said = [text.get_text() for text in axes.texts]
        first = pairs[0]
        assert said[:2] == [
            with_error(first[name], first[f"{name}_error"]),
            f"chance {with_error(first[f'{name}_chance'], None)}",
        ]
        assert said[2:] == ["not comparable"] * 2
        _, _, (bars,) = axes.containers[0]
        low, high = bars.get_segments()[0][:, 0]
        reach = 2 * first[f"{name}_error"]
        assert (low, high) == pytest.approx((first[name] - reach, first[name] + reach))
        (chance,) = (line for line in axes.lines if line.get_markersize() == 12)
        assert np.asarray(chance.get_xdata(), float)[0] == first[f"{name}_chance"]


def test_maps_leave_no_empty_part(whole: Result) -> None:
    embedding = whole.variables["embedding"]
    flat = replace(embedding, values=embedding.values * (1, 0.3))
    drawings = [
        figure({"run-0.zarr": replace(whole, variables={**whole.variables, "embedding": values})})
        for values in (embedding, flat)
    ]
    for drawing in drawings:
        drawing.draw_without_rendering()
        maps = drawing.subfigs[2]
        boxes = [axes.get_window_extent() for axes in maps.axes]
        assert min(box.height for box in boxes) > maps.bbox.height - 1.1 * drawing.dpi
    assert drawings[1].get_figheight() < drawings[0].get_figheight() - 1


def test_a_floor_above_all_distances_is_inside_the_figure(whole: Result) -> None:
    floors = whole.variables["wasserstein_floor"]
    high = {**whole.variables, "wasserstein_floor": replace(floors, values=9 + floors.values)}
    axes = figure({"run-0.zarr": replace(whole, variables=high)}).subfigs[1].axes[0]
    (shown_floors,) = (
        line.get_xdata() for line in axes.lines if line.get_marker() == "|" and line.get_markersize() == 12
    )
    assert 9 < np.max(shown_floors) < axes.get_xlim()[1]


def test_the_figure_draws_curves_and_maps_whose_points_keep_their_colours(whole: Result) -> None:
    curves, pairs, maps = (part.axes for part in figure({"run-0.zarr": whole}).subfigs)
    radii, inertia = curves
    for patch, shares in zip(radii.patches, whole["radius_share"], strict=True):
        np.testing.assert_allclose(patch.get_data().values, 100 * shares)  # type: ignore[attr-defined]
    drawn = [np.asarray(line.get_ydata(), float) for line in inertia.lines]
    np.testing.assert_allclose(drawn, 100 * whole["inertia_share"].mean(axis=2))
    drawn = [np.asarray(axes.containers[0][0].get_xdata(), float) for axes in pairs]
    for points, name in zip(drawn, ("wasserstein_distance", "cka", "overlap", "disparity"), strict=True):
        np.testing.assert_array_equal(points, whole[name])
    assert len(maps) == 2
    colours = [np.asarray(axes.collections[0].get_facecolor()) for axes in maps]
    assert np.array_equal(colours[0], colours[1])
    assert len(np.unique(colours[0], axis=0)) > 70


def test_parts_that_are_left_out_leave_no_gap(tmp_path: Path) -> None:
    found = compared(tmp_path, ((90, 3), (90, 3)), kmeans=False, tsne=False)
    drawing = figure({"run-0.zarr": found})
    assert [len(part.axes) for part in drawing.subfigs] == [1, 3]
    assert "inertia" not in shown(table({"run-0.zarr": found}))
    assert to_json(found)["pairs"][0]["disparity"] is None


def test_what_one_store_is_too_small_for_is_shown_of_none(tmp_path: Path) -> None:
    found = compared(tmp_path, ((90, 3), (3, 3)), sample=3, nearest=1, tsne=False)
    text = " ".join(shown(table({"run-0.zarr": found})).split())
    assert "inertia is left out: " in text
    assert "inertia (%" not in text
    assert all("kmeans" not in document for document in to_json(found)["stores"].values())
    assert len(figure({"run-0.zarr": found}).subfigs[0].axes) == 1
