from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.analyses.compare.analysis import CompareParameters, Comparison, compare
from latentscan.encoding.ingest import ingest
from latentscan.report.compare import compare_json, compare_plot, compare_table
from latentscan.report.style import save_figure
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

FAST = CompareParameters(
    sample=60, nearest=4, k=(1, 2, 4), seeds=2, reference=False, points=80, perplexity=6, iterations=40
)


def compared(folder: Path, shapes: tuple[tuple[int, int], ...], parameters: CompareParameters) -> Comparison:
    """Compare stores of random points in these shapes; those of as many images share a part."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((200, 8))
    stores = {}
    for number, (images, components) in enumerate(shapes):
        z = (common[:images, :components] + rng.standard_normal((images, components))).astype(np.float32)
        np.save(folder / f"{number}.npy", z)
        name = f"run-{number}.zarr"
        ingest({"z": folder / f"{number}.npy"}, str(folder / name))
        stores[name] = open_store(str(folder / name))
    return compare(stores, parameters)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three stores, the last of other images."""
    return compared(tmp_path_factory.mktemp("whole"), ((200, 8), (200, 5), (150, 8)), FAST)


def shown(comparison: Comparison, width: int = 80) -> str:
    stream = StringIO()
    Console(file=stream, width=width).print(compare_table(comparison))
    return stream.getvalue()


def test_the_tables_fit_a_terminal_and_name_what_is_not_compared(whole: Comparison) -> None:
    text = shown(whole)
    assert max(map(len, text.splitlines())) <= 80
    joined = " ".join(text.split())
    assert "different images: run-0.zarr holds 200 images, run-2.zarr 150" in joined
    assert "components: run-0.zarr 8, run-1.zarr 5, run-2.zarr 8" in joined
    for title in ("radius of z", "inertia (% of that of one cluster)", "every two stores", "linear CKA"):
        assert title in joined
    cells = next(line for line in text.splitlines() if line.startswith("run-1.zarr, run-2.zarr")).split()
    assert cells[3:] == ["–", "–", "–"]


def test_many_stores_fit_a_terminal(tmp_path: Path) -> None:
    many = compared(
        tmp_path, ((60, 3),) * 5, FAST.model_copy(update={"sample": 30, "tsne": False, "k": (2,)})
    )
    text = shown(many)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("\nrun-3.zarr, run-4.zarr") == 1


def test_the_document_has_every_pair(whole: Comparison) -> None:
    document = json.loads(json.dumps(compare_json(whole), allow_nan=False))
    assert list(document["stores"]) == ["run-0.zarr", "run-1.zarr", "run-2.zarr"]
    first, second, third = document["pairs"]
    assert (first["first"], first["second"]) == ("run-0.zarr", "run-1.zarr")
    assert first["different_images"] is None
    assert 0 < first["cka"] < 1
    assert 0 < first["overlap"] < 1
    assert 0 < first["disparity"] <= 1
    for pair in (second, third):
        assert "holds 200 images" in pair["different_images"]
        assert [pair[name] for name in ("cka", "overlap", "disparity")] == [None] * 3
        assert pair["earth_movers_distance"] > 0
    assert document["stores"]["run-1.zarr"]["components"] == 5
    assert document["stores"]["run-1.zarr"]["kmeans"]["k"] == [1, 2, 4]
    assert len(document["radius"]["edges"]) == 1 + len(document["radius"]["shares"]["run-0.zarr"])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_plot_is_a_file_of_its_kind(whole: Comparison, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"compare.{ending}"
    save_figure(compare_plot(whole.pairs), file)
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert file.read_bytes().startswith(magic[ending])


def texts(drawing: Any) -> set[str]:
    from matplotlib.text import Text

    return {text.get_text() for text in drawing.findobj(Text)}


def test_the_plot_names_stores_axes_and_maps(whole: Comparison) -> None:
    drawing = compare_plot(whole.pairs)
    named = texts(drawing)
    assert {"run-0.zarr", "run-1.zarr", "run-2.zarr"} <= named  # of the curves
    assert {"number of clusters k", "inertia (% of that of one cluster)"} <= named
    assert any(text.startswith("run-1.zarr\ndisparity") for text in named)
    assert not any(text.startswith("run-2.zarr\n") for text in named)
    maps = drawing.subfigs[1].axes
    assert len(maps) == 2
    colours = [np.asarray(axes.collections[0].get_facecolor()) for axes in maps]
    assert np.array_equal(colours[0], colours[1])
    assert len(np.unique(colours[0], axis=0)) > 70


def test_parts_that_are_left_out_leave_no_gap(tmp_path: Path) -> None:
    parts = FAST.model_copy(update={"kmeans": False, "tsne": False})
    found = compared(tmp_path, ((90, 3), (90, 3)), parts)
    drawing = compare_plot(found.pairs)
    assert [len(part.axes) for part in drawing.subfigs] == [1]
    assert "inertia" not in shown(found)
    assert compare_json(found)["pairs"][0]["disparity"] is None
