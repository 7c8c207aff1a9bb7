from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from latentscan.report.style import save_figure
from latentscan.report.tsne import figure, table, to_json
from latentscan.store.results import Result, Variable
from tests.report.rendering import shown

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
    maps, (empty, bar) = drawing.axes[:3], drawing.axes[3:]
    assert not empty.axison
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
        shades = np.asarray(picture.convert("L").crop((40, 40, 900, 900)))
    assert 0.01 < (shades < 240).mean() < 0.6


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
