from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from latentscan.report.kmeans import elbow_summary, figure, table, to_json
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
    result = clusters_of(k="2:46:2", passes=4)
    text = shown(table({"ae.zarr": result, "vae.zarr": result}))
    assert "vae.zarr: inertia of 1,499 images, 3 seeds" in text
    assert f"elbow near k = {np.median(result['knee']):g}:" in text
    assert "12 of 23 k shown" in text
    assert f"{result['inertia_mean'][0]:,.0f}" in text


def test_the_summary_without_a_reference_or_a_second_seed(clusters_of: Clusters, single: Result) -> None:
    assert "without the Gaussian reference:" in elbow_summary(clusters_of(k="2:20:2", reference=False))
    lone = clusters_of(k="2:20:2", seeds=1)
    assert f"without a second seed: knee at k = {lone['knee'][0]};" in elbow_summary(lone)
    assert elbow_summary(single) == "an elbow cannot be judged with fewer than three k"
    assert "1 seed\n" in shown(table({"z.zarr": single}))


def test_json_holds_curves_sizes_labels_and_the_elbow(curve: Result, single: Result) -> None:
    document = json.loads(json.dumps(to_json(curve), allow_nan=False))
    assert document["k"] == list(range(2, 21, 2))
    assert document["inertia"]["by_seed"][1][3] == curve["inertia"][3, 1]
    assert document["inertia"]["reference"] == curve["reference"].tolist()
    assert document["elbow"]["verdict"] == "clear"
    assert [sum(sizes) for sizes in document["sizes"]["8"]] == [1499] * 3
    assert len(document["labels"]["8"]["labels"]) == 1500
    assert document["labels"]["8"]["labels"][5] == -1
    alone = json.loads(json.dumps(to_json(single), allow_nan=False))
    assert "reference" not in alone["inertia"]
    assert "labels" not in alone


def test_the_figure_shows_curves_their_references_and_a_clear_knee(curve: Result) -> None:
    axes = figure({"ae.zarr": curve, "vae.zarr": curve}).axes[0]
    assert len(axes.lines) == 6
    assert [line.get_linestyle() for line in axes.lines[:2]] == ["-", "--"]
    assert axes.lines[2].get_xdata() == [np.median(curve["knee"])]
    shares = 100 * curve["inertia_mean"] / curve["total"]
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata(), float), shares)
    bands = axes.findobj(FillBetweenPolyCollection)
    assert len(bands) == 2  # from the lowest to the highest seed
    assert "ae.zarr: elbow near k = " in axes.get_title(loc="left")


def test_the_figure_of_one_k_marks_the_point(single: Result) -> None:
    drawing = figure({"z.zarr": single})
    (line,) = drawing.axes[0].lines
    assert (line.get_marker(), list(np.asarray(line.get_xdata()))) == ("o", [8])
    assert {"number of clusters k", "inertia"} <= words_of(drawing)
