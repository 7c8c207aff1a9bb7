"""The images that the section of `outliers` shows, on planted data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.report.outliers import figure, section
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.report.section import Section

FAR = (3, 170, 411)
PAIRS = 14


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Section:
    """A plain cloud, and one with three images far out and fourteen pairs."""
    folder: Path = tmp_path_factory.mktemp("outliers")
    plain = np.random.default_rng(2).standard_normal((600, 5)).astype(np.float32)
    planted = plain.copy()
    planted[list(FAR)] *= 20
    planted[500 : 500 + PAIRS] = planted[100 : 100 + PAIRS] + 1e-6
    stores = {
        name: build_store(folder / name, arrays={"z": z}, chunk_rows=200)
        for name, z in {"plain": plain, "planted": planted}.items()
    }
    return section({name: analyse(store, "outliers") for name, store in stores.items()})


def test_what_stands_out_comes_first_and_is_all_that_is_open(found: Section) -> None:
    open_ = [one for one in found.images if not one.folded]
    assert [one.result for one in open_] == ["planted", "planted"], "of the plain cloud nothing stands out"
    outliers, duplicates = open_
    assert outliers.title == "outliers, 3 images"
    assert set(outliers.rows) == set(FAR)
    assert duplicates.title == "near-duplicates, 14 groups, the first 12"
    assert duplicates.groups == tuple(np.repeat(np.arange(12) + 1, 2).tolist())
    pairs = np.array(duplicates.rows).reshape(12, 2)
    assert (pairs[:, 1] - pairs[:, 0] == 400).all()


def test_ranked_lists_say_how_many_are_beyond_what_limit(found: Section) -> None:
    titles = {(one.result, one.title) for one in found.images if one.folded}
    assert len(titles) == 2 * 5
    (plain,) = [title for name, title in titles if name == "plain" and title.startswith("Mahalanobis")]
    assert plain.startswith("Mahalanobis distance, none beyond the limit of ")
    (planted,) = [title for name, title in titles if name == "planted" and title.startswith("Mahalanobis")]
    assert planted.startswith("Mahalanobis distance, 3 beyond the limit of ")


def test_rows_are_named_beside_rings_and_other_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((2000, 12))
    z[100:112] *= rng.uniform(2, 2.4, (12, 1))
    result = analyse(build_store(tmp_path / "z.zarr", arrays={"z": z}), "outliers")
    drawing = figure({"z.zarr": result})
    drawing.draw_without_rendering()
    axes = drawing.axes[0]
    (rings,) = (line for line in axes.lines if line.get_marker() == "o")
    boxes = [text.get_window_extent() for text in axes.texts]
    at = axes.transData.transform(rings.get_xydata())
    assert 4 <= len(boxes) <= len(at)
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])
    assert not any(box.contains(*place) for box in boxes for place in at.tolist())
