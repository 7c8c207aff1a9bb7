from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from latentscan.report.kmeans import figure, gap_summary, section, table, to_json
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.store.results import Result

    Clusters = Callable[..., Result]


@pytest.fixture(scope="module")
def clusters_of(tmp_path_factory: pytest.TempPathFactory) -> Clusters:
    """Cluster points in eight clusters, of which one is rejected."""
    rng = np.random.default_rng(3)
    middle = 3 * rng.standard_normal((8, 6))
    z = middle[rng.integers(0, 8, 1500)] + 0.2 * rng.standard_normal((1500, 6))
    z[5] = np.nan
    store = build_store(tmp_path_factory.mktemp("kmeans") / "z.zarr", arrays={"z": z}, chunk_rows=411)

    def cluster(**parameters: Any) -> Result:
        return analyse(store, "kmeans", batch_rows=500, **parameters)

    return cluster


@pytest.fixture(scope="module")
def curve(clusters_of: Clusters) -> Result:
    return clusters_of(k="2:20:2", labels=(8,))


@pytest.fixture(scope="module")
def single(clusters_of: Clusters) -> Result:
    """One k, one seed, no reference."""
    return clusters_of(k=8, seeds=1, reference=False)


def test_the_table_of_several_stores(clusters_of: Clusters) -> None:
    result = clusters_of(k="4:46:2", passes=4)
    text = shown(table({"ae.zarr": result, "vae.zarr": result}))
    assert "vae.zarr: inertia of z of 1,499 images, 3 seeds" in text
    at = result["gap_k"].tolist().index(8)
    gap = f"{result['gap_mean'][at]:.3f} ± {result['gap_std'][at]:.3f}"
    assert f"about 8 clusters: gap {gap} (sd) at k = 8 (over k = 1..24, 5 samples" in text
    assert f" 8 {result['inertia_mean'][2]:.2f}" in " ".join(text.split())
    assert text.count("gap ± sd") == 2
    assert text.count(gap) == 4  # in the table and in the sentence of both stores
    assert "12 of 22 k shown" in text
    assert f"{result['inertia_mean'][0]:,.0f}" in text


def test_the_table_names_the_number_of_clusters_that_was_found(clusters_of: Clusters) -> None:
    found = clusters_of(k="3:63:3", seeds=1)
    lines = [line.split() for line in shown(table({"z.zarr": found})).splitlines()]
    assert "8" in [line[0] for line in lines if line]
    assert to_json(found)["k"] == sorted([8, *range(3, 64, 3)])


def said(result: Result, verdict: str, missing: str = "") -> str:
    """The sentence of a result, if its gap were judged otherwise."""
    judged = {**result.attributes, "gap_verdict": verdict, "gap_range": [6, 12], "gap_missing": missing}
    return gap_summary(replace(result, attributes=judged))


def test_the_sentences_of_other_verdicts(curve: Result, single: Result) -> None:
    assert said(curve, "about").startswith("about 8 clusters (6..12): gap ")
    flat = said(curve, "no natural k")
    assert flat.startswith("structure, no natural k: gap ")
    assert "about as large from k = 6 to 12 (over k = 1..24" in flat
    last = {**curve.attributes, "gap_verdict": "no natural k", "gap_best": 24, "gap_range": [24, 24]}
    assert "at k = 24, still rising there (over k = 1..24" in gap_summary(replace(curve, attributes=last))
    assert said(curve, "nothing").startswith("no clusters, nothing beyond the covariance: gap ")
    unsure = said(curve, "undecided", "more images")
    assert unsure.startswith("number of clusters undecided: gap ")
    assert "; more images would be needed (" in unsure
    assert gap_summary(single) == "the number of clusters is not judged without Gaussian data"
    assert "1 seed\n" in shown(table({"z.zarr": single}))


def test_rows_far_out_and_alone_are_named(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((600, 3))
    z[77] = 1e5
    store = build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=400)
    found = analyse(store, "kmeans", k=(2, 3), seeds=2, batch_rows=300)
    text = " ".join(shown(table({"z.zarr": found})).split())
    named = "left out of the gap: 1 image, row 77 (ünter/77.jpg)"
    assert f"far out, beyond 10 times the median distance, {named}" in text
    assert "alone in a cluster (the first in 4 of 4 models): 1 image, row 77 (ünter/77.jpg)" in text
    document = to_json(found)
    assert document["alone"] == [{"image": 77, "path": "ünter/77.jpg", "k": [2, 3], "models": 4}]
    assert (document["far"]["count"], document["far"]["images"]) == (1, [77])
    assert document["far"]["paths"] == ["ünter/77.jpg"]


def test_json_holds_curves_sizes_labels_and_the_gap(curve: Result, single: Result) -> None:
    document = json.loads(json.dumps(to_json(curve), allow_nan=False))
    assert document["k"] == list(range(2, 21, 2))
    assert document["inertia"]["by_seed"][1][3] == curve["inertia"][3, 1]
    assert document["inertia"]["reference"] == curve["reference"].tolist()
    assert document["array"] == "z"
    gap = document["gap"]
    assert (gap["verdict"], gap["best"], gap["range"]) == ("about", 8, [8, 8])
    assert gap["mean"][gap["k"].index(8)] == max(gap["mean"])
    assert len(gap["k"]) == len(gap["sd"])
    assert gap["summary"] == gap_summary(curve)
    assert [sum(sizes) for sizes in document["sizes"]["8"]] == [1499] * 3
    assert len(document["labels"]["8"]["labels"]) == 1500
    assert document["labels"]["8"]["labels"][5] == -1
    alone = json.loads(json.dumps(to_json(single), allow_nan=False))
    assert "reference" not in alone["inertia"]
    assert alone["gap"] is None
    assert "labels" not in alone


def test_the_figure_shows_curves_and_the_gap_with_its_largest_k(curve: Result) -> None:
    above, below = figure({"ae.zarr": curve, "vae.zarr": curve}).axes
    dashed = [line.get_linestyle() for line in above.lines]
    assert dashed == ["--", "-", "--", "-", "--"]  # the last one is for the legend
    shares = 100 * curve["inertia_mean"] / curve["total"]
    np.testing.assert_allclose(np.asarray(above.lines[1].get_ydata(), float), shares)
    assert len(above.findobj(FillBetweenPolyCollection)) == 2  # from the lowest to the highest seed
    gap, ring = below.lines[:2]
    np.testing.assert_allclose(np.asarray(gap.get_ydata(), float), curve["gap_mean"])
    assert list(np.asarray(ring.get_xdata())) == [8]
    assert above.get_title(loc="left") == "ae.zarr: about 8 clusters\nvae.zarr: about 8 clusters"
    assert above.get_legend_handles_labels()[1][0] == "ae.zarr (z), mean of 3 seeds"


def test_the_figure_of_one_k_marks_the_point(single: Result) -> None:
    drawing = figure({"z.zarr": single})
    (axes,) = drawing.axes
    (line,) = axes.lines
    assert (line.get_marker(), list(np.asarray(line.get_xdata()))) == ("o", [8])
    assert {"number of clusters k", "z.zarr (z)"} <= words_of(drawing)


def test_the_images_say_whether_their_clusters_were_found(clusters_of: Clusters, curve: Result) -> None:
    assert section({"z": curve}).images[0].title == "an image of each of 8 clusters"
    other = clusters_of(k=(3, 10))
    assert section({"z": other}).images[0].title == "an image of each of 8 clusters"
    judged = {**curve.attributes, "gap_verdict": "nothing"}
    (tried,) = section({"z": replace(curve, attributes=judged)}).images
    assert tried.title == "an image of each of 10 clusters, a number that was only tried"
