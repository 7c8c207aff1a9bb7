from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from latentscan.analyses.stats import StatsParameters, stats
from latentscan.encoding.ingest import ingest
from latentscan.report.grid import image_grid, save_grid
from latentscan.report.stats import radius_plot, stats_table
from latentscan.report.style import save_figure
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Result]:
    """Statistics of a VAE's store and of an AE's."""
    rng = np.random.default_rng(0)
    mu = (rng.standard_normal((300, 40)) * 3).astype(np.float32)
    for name, array in {"mu": mu, "logvar": mu * 0 - 9, "z": mu + 0.01}.items():
        np.save(tmp_path / f"{name}.npy", array)
    files = {name: tmp_path / f"{name}.npy" for name in ("mu", "logvar", "z")}
    ingest(files, str(tmp_path / "vae.zarr"))
    ingest({"z": files["z"]}, str(tmp_path / "ae.zarr"))
    return {name: stats(open_store(str(tmp_path / name))) for name in ("ae.zarr", "vae.zarr")}


def shown(renderable: Any, width: int = 80) -> str:
    stream = StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def test_the_table_fits_a_terminal_and_says_what_is_missing(results: dict[str, Result]) -> None:
    text = shown(stats_table(results))
    assert max(map(len, text.splitlines())) <= 80
    assert "ae.zarr lacks the arrays for: radius of mu" in text
    for title in ("radius of z", "deviation |z", "logvar", "KL from N(0, 1)"):
        assert title in text


def test_the_histogram_says_what_it_does_not_show(results: dict[str, Result], tmp_path: Path) -> None:
    short = stats(open_store(str(tmp_path / "vae.zarr")), StatsParameters(upper=18))
    assert "beyond 18" in shown(stats_table({"vae.zarr": short}))


def test_more_bins_than_columns_are_drawn_together(results: dict[str, Result], tmp_path: Path) -> None:
    wide = stats(open_store(str(tmp_path / "vae.zarr")), StatsParameters(upper=1000, width=0.5))
    text = shown(stats_table({"vae.zarr": wide}))
    assert "beyond" not in text
    assert text.splitlines()[-1].split()[:3] == ["0", "145", "290"]  # 29 bins a column


@pytest.mark.parametrize(("upper", "width"), [(10000, 1000), (35, 0.1234), (1, 1), (1e6, 20)])
def test_the_histogram_copes_with_any_bins(
    results: dict[str, Result], tmp_path: Path, upper: float, width: float
) -> None:
    result = stats(open_store(str(tmp_path / "vae.zarr")), StatsParameters(upper=upper, width=width))
    text = shown(stats_table({"vae.zarr": result}))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_radius_plot_is_a_file_of_its_kind(
    results: dict[str, Result], tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"radius.{ending}"
    save_figure(radius_plot(results), file)
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert file.read_bytes().startswith(magic[ending])


def test_a_grid_holds_every_image_where_it_belongs(tmp_path: Path) -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((1, 4, 6, 3), 10, np.uint8)
    grid = image_grid(images, columns=3)
    assert grid.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    for number in range(5):
        top, left = 2 + number // 3 * 6, 2 + number % 3 * 8
        assert (grid[top : top + 4, left : left + 6] == 10 * number).all()
    assert (grid[8:12, 18:24] == 255).all()
    save_grid(images, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as written:
        assert written.size == (3 * 8 + 2, 2 * 6 + 2)
