from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.analyses.kmeans.analysis import KMeansParameters, kmeans
from latentscan.encoding.ingest import ingest
from latentscan.report.kmeans import elbow_summary, kmeans_json, kmeans_plot, kmeans_table
from latentscan.report.style import save_figure
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result


@pytest.fixture
def of_clusters(tmp_path: Path) -> Any:
    rng = np.random.default_rng(3)
    middle = 3 * rng.standard_normal((8, 6))
    z = middle[rng.integers(0, 8, 1500)] + 0.2 * rng.standard_normal((1500, 6))
    z[5] = np.nan
    np.save(tmp_path / "z.npy", z.astype(np.float32))
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"))

    store = open_store(str(tmp_path / "z.zarr"))

    def cluster(**parameters: Any) -> Result:
        return kmeans(store, KMeansParameters(batch_rows=500, **parameters))

    return cluster


def shown(results: dict[str, Result]) -> str:
    stream = StringIO()
    Console(file=stream, width=80).print(kmeans_table(results))
    return stream.getvalue()


def test_the_table_of_several_stores_fits_a_terminal(of_clusters: Any) -> None:
    result = of_clusters(k="2:46:2", passes=4)
    text = shown({"ae.zarr": result, "vae.zarr": result})
    assert max(map(len, text.splitlines())) <= 80
    assert "vae.zarr: inertia of 1,499 images, 3 seeds" in text
    assert f"elbow near k = {np.median(result['knee']):g}:" in text
    assert "12 of 23 k shown" in text
    assert f"{result['inertia_mean'][0]:,.0f}" in text


def test_what_is_said_without_a_reference_or_a_second_seed(of_clusters: Any) -> None:
    assert "without the Gaussian reference:" in elbow_summary(of_clusters(k="2:20:2", reference=False))
    lone = of_clusters(k="2:20:2", seeds=1)
    assert f"without a second seed: knee at k = {lone['knee'][0]};" in elbow_summary(lone)
    one = of_clusters(k=8, seeds=1, reference=False)
    assert elbow_summary(one) == "an elbow cannot be judged with fewer than three k"
    assert "1 seed\n" in shown({"z.zarr": one})


def test_json_holds_curves_sizes_labels_and_the_elbow(of_clusters: Any) -> None:
    result = of_clusters(k="2:20:2", labels=(8,))
    document = json.loads(json.dumps(kmeans_json(result), allow_nan=False))
    assert document["k"] == list(range(2, 21, 2))
    assert document["inertia"]["by_seed"][1][3] == result["inertia"][3, 1]
    assert document["inertia"]["reference"] == result["reference"].tolist()
    assert document["elbow"]["verdict"] == "clear"
    assert [sum(sizes) for sizes in document["sizes"]["8"]] == [1499] * 3
    assert len(document["labels"]["8"]["labels"]) == 1500
    assert document["labels"]["8"]["labels"][5] == -1
    json.dumps(kmeans_json(of_clusters(k=3, seeds=1, reference=False)), allow_nan=False)


def test_the_plot_shows_curves_their_references_and_a_clear_knee(of_clusters: Any, tmp_path: Path) -> None:
    result, alone = of_clusters(k="2:20:2"), of_clusters(k=3, seeds=1, reference=False)
    drawing = kmeans_plot({"ae.zarr": result, "vae.zarr": result})
    lines = drawing.axes[0].lines
    assert len(lines) == 6
    assert [line.get_linestyle() for line in lines[:2]] == ["-", "--"]
    assert lines[2].get_xdata() == [np.median(result["knee"])]
    shares = 100 * result["inertia_mean"] / result["total"]
    np.testing.assert_allclose(np.asarray(lines[0].get_ydata(), float), shares)
    assert "ae.zarr: elbow near k = " in drawing.axes[0].get_title(loc="left")
    for name, one in {"clear": result, "one": alone}.items():
        save_figure(kmeans_plot({"z.zarr": one}), tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000
