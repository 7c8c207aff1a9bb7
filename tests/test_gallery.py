from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.analyses.cache import Run
from latentscan.analyses.stats import StatsParameters, stats
from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError
from latentscan.gallery import draw_results
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    np.save(tmp_path / "z.npy", np.random.default_rng(0).standard_normal((300, 5), np.float32))
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"))
    return open_store(str(tmp_path / "z.zarr"))


def test_every_result_gets_a_picture(store: LatentStore, tmp_path: Path) -> None:
    stats(store)
    assert draw_results(store.location, tmp_path / "one", ".png") == [tmp_path / "one" / "stats.png"]
    stats(store, StatsParameters(upper=10))
    pictures = draw_results(store.location, tmp_path / "two", ".svg")
    assert len(set(pictures)) == 2
    assert all(picture.read_text().startswith("<?xml") for picture in pictures)


def test_results_elsewhere_are_drawn_too(store: LatentStore, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "results.zarr")
    stats(store, run=Run(results=elsewhere))
    assert len(draw_results(elsewhere, tmp_path / "pictures", ".pdf")) == 1


def test_no_results_and_no_store(store: LatentStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no results yet"):
        draw_results(store.location, tmp_path / "pictures", ".png")
    with pytest.raises(StoreError, match="does not exist"):
        draw_results(str(tmp_path / "not.zarr"), tmp_path / "pictures", ".png")
    assert not (tmp_path / "pictures").exists()
