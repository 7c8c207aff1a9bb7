from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from latentscan.report.axes import figure, table, to_json
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result


def result_of(location: Path, **arrays: NDArray[np.floating]) -> Result:
    return analyse(build_store(location, arrays=arrays, chunk_rows=170), "axes")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Results of a VAE, where component 3 has two peaks, 4 is constant and 5 far off, and of an AE."""
    folder, rng = tmp_path_factory.mktemp("axes"), np.random.default_rng(0)
    mu = rng.standard_normal((2000, 40))
    mu[:, 3] += 6 * (rng.random(2000) < 0.5)
    mu[:, 4] = 1
    mu[:, 5] += 1e6
    return {
        "vae.zarr": result_of(folder / "vae.zarr", mu=mu, z=mu),
        "ae.zarr": result_of(folder / "ae.zarr", z=5 * mu[:300, 6:8]),
    }


def test_the_table_names_the_farthest_first(results: dict[str, Result]) -> None:
    text = shown(table(results))
    lines = text.splitlines()
    start = lines.index("vae.zarr, mu")
    assert lines[start + 1].startswith("1 of 40 components far from Gaussian: 0.1 σ or more")
    assert lines[start + 2].startswith("1 of 40 components constant")
    assert lines[start + 3].startswith("bins too wide in 1 of 40 components")
    assert lines[start + 5].split()[0] == "3"
    assert "ae.zarr, z" in lines
    assert "nan" not in text


def test_what_is_constant_is_listed_nowhere(tmp_path: Path) -> None:
    text = shown(table({"z.zarr": result_of(tmp_path / "z.zarr", z=np.ones((5, 2)))}))
    assert "2 of 2 components constant" in text
    assert "skewness" not in text


def test_the_document_is_json(results: dict[str, Result]) -> None:
    document = json.loads(json.dumps(to_json(results["vae.zarr"]), allow_nan=False))
    assert document["z"]["far"] == [3]
    assert document["mu"]["coarse"] == [5]
    assert document["z"]["distance"][4] is None
    assert len(document["z"]["kurtosis"]) == document["components"] == 40


def test_the_figure_has_a_row_for_each_array_of_each_store(results: dict[str, Result]) -> None:
    drawing = figure(results)
    panels = [axes for axes in drawing.axes if axes.get_xlabel()]  # the others are colour bars
    pictures, lines = panels[::2], panels[1::2]
    assert [axes.get_title(loc="left") for axes in pictures] == ["vae.zarr, z", "vae.zarr, mu", "ae.zarr, z"]
    assert [axes.images[0].get_array().shape[1] for axes in pictures] == [40, 40, 2]  # type: ignore[union-attr]
    for axes, name, number in zip(lines, ("vae.zarr", "vae.zarr", "ae.zarr"), (0, 1, 0), strict=True):
        distance = results[name]["distance"][number]
        (grey,) = axes.findobj(LineCollection)
        assert isinstance(grey, LineCollection)
        assert len(grey.get_segments()) == np.count_nonzero(~np.isnan(distance))
        assert axes.lines[-1].get_label() == "Gaussian"
        farthest = np.nanargmax(distance)
        assert axes.lines[0].get_label() == f"{farthest}: {distance[farthest]:.2f} σ"


@pytest.mark.parametrize("rows", [1, 2, 300])
def test_the_figure_copes_with_few_images(tmp_path: Path, rows: int) -> None:
    z = np.random.default_rng(0).standard_normal((rows, 3))
    z[:, 0] = 7
    drawing = figure({"z.zarr": result_of(tmp_path / "z.zarr", z=z)})
    assert "coordinate" in words_of(drawing)
    low, high = drawing.axes[0].get_ylim()
    assert low < high


def test_one_image_far_out_does_not_shrink_the_picture(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((500, 3))
    z[100, 1] = 50
    left = figure({"z.zarr": result_of(tmp_path / "z.zarr", z=z)}).axes[0]
    assert left.get_ylim()[1] < 6


def test_components_in_colour_are_marked_at_their_rank(results: dict[str, Result]) -> None:
    picture, lines = figure({"vae.zarr": results["vae.zarr"]}).axes[:2]
    named = [line for line in lines.lines if str(line.get_label())[0].isdigit()]
    marks = [line for line in picture.lines if line.get_marker() == "v"]
    assert [mark.get_color() for mark in marks] == [line.get_color() for line in named]
    result = results["vae.zarr"]
    at = result["array"].tolist().index("mu")
    for mark, line in zip(marks, named, strict=True):
        component = int(str(line.get_label()).split(":")[0])
        smaller = result["mean"][at] < result["mean"][at, component]
        narrower = result["variance"][at] < result["variance"][at, component]
        assert mark.get_xdata()[0] in (smaller.sum(), narrower.sum())  # type: ignore[index]


def test_components_without_a_colour_are_counted(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((2000, 12))
    z[:, :9] = np.abs(z[:, :9])
    store = build_store(tmp_path / "z.zarr", arrays={"z": z})
    labels = figure({"z.zarr": analyse(store, "axes")}).axes[1].get_legend_handles_labels()[1]
    assert labels[4:] == ["… and 5 more", "Gaussian"]


def test_components_are_sorted_by_the_mean_where_that_differs_most(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((500, 30))
    same, shifted = (
        result_of(tmp_path / "same", z=z),
        result_of(tmp_path / "shifted", z=z + 5 * np.arange(30)),
    )
    assert "standard deviation of z" in figure({"z": same}).axes[0].get_xlabel()
    assert "mean of z" in figure({"z": shifted}).axes[0].get_xlabel()


def test_components_that_hold_nothing_leave_the_order_to_the_others(tmp_path: Path) -> None:
    mu = np.random.default_rng(0).standard_normal((500, 30)) * (np.arange(30) < 4)
    collapsed = result_of(tmp_path / "collapsed", mu=mu + 0.1 * (np.arange(30) == 2), z=mu)
    assert "standard deviation of mu" in figure({"collapsed": collapsed}).axes[0].get_xlabel()
