from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.analyses.axes import axes
from latentscan.encoding.ingest import ingest
from latentscan.report.axes import axes_json, axes_plot, axes_table
from latentscan.report.style import save_figure
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result


def result_of(folder: Path, **arrays: NDArray[np.floating]) -> Result:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array.astype(np.float32))
    location = str(folder / f"{len(list(folder.iterdir()))}.zarr")
    ingest({name: folder / f"{name}.npy" for name in arrays}, location)
    return axes(open_store(location))


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Result]:
    """Results of a VAE, where component 3 has two peaks, 4 is constant and 5 far off, and of an AE."""
    rng = np.random.default_rng(0)
    mu = rng.standard_normal((2000, 40))
    mu[:, 3] += 6 * (rng.random(2000) < 0.5)
    mu[:, 4] = 1
    mu[:, 5] += 1e6
    return {"vae.zarr": result_of(tmp_path, mu=mu, z=mu), "ae.zarr": result_of(tmp_path, z=5 * mu[:300, 6:8])}


def shown(renderable: Any) -> str:
    stream = StringIO()
    Console(file=stream, width=80).print(renderable)
    return stream.getvalue()


def test_the_table_fits_a_terminal_and_names_the_farthest_first(results: dict[str, Result]) -> None:
    text = shown(axes_table(results))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    start = lines.index("vae.zarr, mu")
    assert lines[start + 1].startswith("1 of 40 components far from Gaussian: 0.1 σ or more")
    assert lines[start + 2].startswith("1 of 40 components constant")
    assert lines[start + 3].startswith("bins too wide in 1 of 40 components")
    assert lines[start + 5].split()[0] == "3"
    assert "ae.zarr, z" in lines
    assert "nan" not in text


def test_what_is_constant_is_listed_nowhere(tmp_path: Path) -> None:
    text = shown(axes_table({"z.zarr": result_of(tmp_path, z=np.ones((5, 2)))}))
    assert "2 of 2 components constant" in text
    assert "skewness" not in text


def test_the_document_is_json(results: dict[str, Result]) -> None:
    document = axes_json(results["vae.zarr"])
    json.dumps(document, allow_nan=False)
    assert document["z"]["far"] == [3]
    assert document["mu"]["coarse"] == [5]
    assert document["z"]["distance"][4] is None
    assert len(document["z"]["kurtosis"]) == document["components"] == 40


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_plot_is_a_file_of_its_kind(results: dict[str, Result], tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"axes.{ending}"
    save_figure(axes_plot(results), file)
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert file.read_bytes().startswith(magic[ending])


@pytest.mark.parametrize("rows", [1, 2, 300])
def test_the_plot_copes_with_few_images(tmp_path: Path, rows: int) -> None:
    z = np.random.default_rng(0).standard_normal((rows, 3))
    z[:, 0] = 7
    save_figure(axes_plot({"z.zarr": result_of(tmp_path, z=z)}), tmp_path / "axes.png")


def test_one_image_far_out_does_not_shrink_the_picture(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((500, 3))
    z[100, 1] = 50
    left = axes_plot({"z.zarr": result_of(tmp_path, z=z)}).axes[0]
    assert left.get_ylim()[1] < 6


def test_components_are_sorted_by_the_mean_where_that_differs_most(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((500, 30))
    assert "standard deviation of z" in axes_plot({"z": result_of(tmp_path, z=z)}).axes[0].get_xlabel()
    shifted = z + 5 * np.arange(30)
    assert "mean of z" in axes_plot({"z": result_of(tmp_path, z=shifted)}).axes[0].get_xlabel()
