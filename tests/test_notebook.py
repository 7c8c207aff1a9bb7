"""What a notebook shows, in a real kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

nbclient = pytest.importorskip("nbclient", reason="runs notebooks")
pytest.importorskip("ipykernel", reason="is the kernel of notebooks")
nbformat = pytest.importorskip("nbformat")

CELLS = (
    "import latentscan as ls\nstore = ls.open('z.zarr')\nstore",
    "radii = ls.stats(store, progress=False)\nradii",
    "ls.plot(radii)",
    "ls.view(store, progress=False)",
)


def shown(cell: Any, kind: str) -> str:
    found = [output["data"][kind] for output in cell["outputs"] if kind in output.get("data", {})]
    assert len(found) == 1, cell["outputs"]
    return str(found[0])


def test_a_notebook_shows_stores_results_pictures_and_the_page(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=30, paths=[f"<b>{row}.png" for row in range(30)])
    analyse(store, "tsne", points=30, perplexity=5, iterations=20)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    table, dataset, picture, page = notebook.cells
    assert "<caption>LatentStore z.zarr</caption>" in shown(table, "text/html")
    assert "xarray.Dataset" in shown(dataset, "text/html")
    assert shown(picture, "image/png")
    frame = shown(page, "text/html")
    assert frame.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "analysis-stats" in frame
    assert "<b>" not in frame
