from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

from latentscan.report.image_columns import Column
from latentscan.report.style import save_figure
from latentscan.report.tsne import coloured, figure, table, to_json
from latentscan.store.results import Result, Variable
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path


FIGURES = {
    "trustworthiness": 0.9712,
    "trustworthiness_error": 0.0018,
    "neighbours_kept": 0.3561,
    "neighbours_kept_error": 0.0062,
    "neighbours": 15,
    "queries": 1000,
}
AMONG_ALL = {
    "sample": {**FIGURES, "trustworthiness": 0.9641},
    "transformed": {**FIGURES, "neighbours_kept": 0.067},
}


def result(points: int, **attributes: Any) -> Result:
    rng = np.random.default_rng(points)
    variables = {
        "embedding": Variable(("point", "axis"), (30 * rng.standard_normal((points, 2))).astype(np.float32)),
        "image": Variable(("point",), np.arange(points)),
        "radius": Variable(("point",), rng.gamma(100, 0.16, points).astype(np.float32)),
    }
    settings = {"perplexity": 30.0, "early_exaggeration": 12.0, "iterations": 1000, "seed": 0, "array": "z"}
    quality = {"kl": 2.9439, "search_recall": 0.9987, "coordinates": "image", **FIGURES}
    return Result(variables, {"points": points, **settings, **quality, **attributes})


def test_the_table_has_a_line_for_each_map_and_says_how_good_it_is() -> None:
    results = {
        "vae.zarr": result(
            140_000, transformed=1_560_000, transformed_search_recall=0.9912, among_all=AMONG_ALL
        ),
        "map 2": result(300),
    }
    lines = shown(table(results)).splitlines()
    made = ["30", "12", "1,000"]
    sample = next(line for line in lines if line.startswith("vae.zarr, z ")).split()
    assert sample[2:] == [
        "140,000",
        *made,
        *["0.999", "0.971", "±", "0.002", "0.356", "±", "0.006"],
    ]
    among_all = next(line for line in lines if line.startswith("  among all")).split()
    assert among_all[-7:] == ["140,000", "0.964", "±", "0.002", "0.356", "±", "0.006"]
    transformed = next(line for line in lines if line.startswith("  transformed")).split()
    assert transformed[-8:] == ["1,560,000", "0.991", "0.971", "±", "0.002", "0.067", "±", "0.006"]
    assert "2.944" not in "".join(lines)  # divergences of other perplexities do not compare
    assert any(line.startswith("map 2, z ") for line in lines)


def test_the_noise_floor_stands_below_the_map() -> None:
    floor = {"neighbours_in_common": 0.68, "neighbours_in_common_error": 0.005, "disparity": 0.031}
    results = {"vae.zarr": result(300, noise_floor={**floor, "disparity_error": 0.001})}
    said = " ".join(shown(table(results)).split())
    assert "another map of the same images has 0.680 ± 0.005 of the neighbours in common" in said
    assert "disparity 0.031 ± 0.001" in said
    (axes, _) = figure(results).axes
    assert "second map: 0.680 ± 0.005 in common, disparity 0.031 ± 0.001" in axes.get_xlabel()


def test_a_map_of_an_older_version_is_still_shown() -> None:
    old = result(300, recall=0.99)
    kept = {key: value for key, value in old.attributes.items() if key not in {*FIGURES, "search_recall"}}
    older = {"z.zarr": Result(old.variables, {**kept, "trustworthiness": 0.97})}
    assert "0.990 0.970" in " ".join(shown(table(older)).split())
    assert "trust 0.970" in figure(older).axes[0].get_xlabel()


def test_maps_are_drawn_side_by_side_in_one_scale_of_colours() -> None:
    results = {f"map {number}": result(points) for number, points in enumerate((4, 300, 5000))}
    drawing = figure(results)
    maps, (bar,) = drawing.axes[:3], drawing.axes[3:]
    assert "radius" in bar.get_ylabel()
    limits = set()
    for axes, (name, found) in zip(maps, results.items(), strict=True):
        (points,) = axes.collections
        np.testing.assert_array_equal(np.asarray(points.get_offsets()), found["embedding"])
        np.testing.assert_array_equal(points.get_array(), found["radius"])
        limits.add((points.norm.vmin, points.norm.vmax))
        assert axes.get_title(loc="left") == f"{name}, z"
    assert len(limits) == 1


@pytest.mark.parametrize("points", [200, 6_000, 140_000])
def test_a_map_is_neither_a_blob_nor_sparse(tmp_path: Path, points: int) -> None:
    found = result(points)
    flat = np.random.default_rng(0).uniform(-50, 50, (points, 2)).astype(np.float32)
    variables = {**found.variables, "embedding": Variable(("point", "axis"), flat)}
    save_figure(figure({"z.zarr": Result(variables, found.attributes)}), tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        shades = np.asarray(picture.convert("L").crop((40, 150, 900, 900)))
    assert 0.01 < (shades < 240).mean() < 0.6


@pytest.mark.parametrize("shape", [(1, 1), (2.5, 1), (1, 1.5), (300, 1), (1, 0), (0, 0)])
def test_a_map_fills_its_panel_in_one_scale(shape: tuple[float, float]) -> None:
    flat = np.random.default_rng(0).uniform(-50, 50, (500, 2)) * shape
    variables = {**result(500).variables, "embedding": Variable(("point", "axis"), flat.astype(np.float32))}
    drawing = figure({"z.zarr": Result(variables, result(500).attributes)})
    drawing.draw_without_rendering()
    axes = drawing.axes[0]
    box = axes.get_window_extent()
    across, up = np.ptp(axes.get_xlim()) / box.width, np.ptp(axes.get_ylim()) / box.height
    assert across == pytest.approx(up, rel=1e-3)  # units of the map in a pixel
    around = axes.get_tightbbox()
    assert around is not None
    assert 0 <= around.x0 < around.x1 <= drawing.bbox.width
    assert 0 <= around.y0 < around.y1 <= drawing.bbox.height
    filled = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())])
    for limits, points in zip((axes.get_xlim(), axes.get_ylim()), flat.T, strict=True):
        assert limits[0] < points.min() <= points.max() < limits[1]
    if 0.6 <= shape[0] / (shape[1] or 1e-9) <= 3:
        assert (np.ptp(flat, axis=0) / filled > 0.9).all()


def test_few_points_are_seen_and_have_their_rows() -> None:
    axes = figure({"z.zarr": result(5)}).axes[0]
    assert [text.get_text() for text in axes.texts] == [f"row {row}" for row in range(5)]
    (points,) = axes.collections
    assert isinstance(points, PathCollection)
    assert points.get_sizes()[0] > 30
    assert not figure({"z.zarr": result(200)}).axes[0].texts


def test_the_title_says_what_the_points_and_the_colours_are() -> None:
    column = Column("Smiling", "attributes", np.arange(60) % 2, ("no", "yes"))
    drawing = coloured({"z.zarr": result(60)}, {"z.zarr": column})
    words = words_of(drawing)
    assert any(text.startswith("t-SNE: points are images") and "colour: Smiling" in text for text in words)
    assert {"no (30)", "yes (30)"} <= words
    assert any("colour: radius" in text for text in words_of(figure({"z.zarr": result(60)})))


def test_the_caption_says_how_many_were_transformed() -> None:
    axes = figure({"z.zarr": result(500, transformed=400)}).axes[0]
    assert axes.get_xlabel().startswith(
        "500 points, 400 of them transformed, 1,000 iterations\nperplexity 30"
    )


def test_the_document_has_finite_numbers_only() -> None:
    document = json.loads(json.dumps(to_json(result(10, kl=float("nan"))), allow_nan=False))
    assert document["kl"] is None
    assert document["points"] == 10
    assert "coordinates" not in document
