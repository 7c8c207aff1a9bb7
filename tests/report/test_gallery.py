from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from latentscan.errors import ParameterError, StoreError
from latentscan.report.gallery import draw_results
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    return build_store(tmp_path / "z.zarr", images=300, components=5, chunk_rows=70, latents=("z",))


def test_every_result_gets_a_picture(store: LatentStore, tmp_path: Path) -> None:
    analyse(store, "stats")
    assert draw_results(store.location, tmp_path / "one", ".png") == [tmp_path / "one" / "stats.png"]
    with Image.open(tmp_path / "one" / "stats.png") as picture:
        assert min(picture.size) > 300
    analyse(store, "stats", upper=10)
    pictures = draw_results(store.location, tmp_path / "two", ".svg")
    assert len(set(pictures)) == 2
    assert len({picture.read_text() for picture in pictures}) == 2
    assert all("radius (L2 norm of a row)" in picture.read_text() for picture in pictures)


def test_results_elsewhere_are_plotted_too(store: LatentStore, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "results.zarr")
    analyse(store, "stats", results=elsewhere)
    assert draw_results(elsewhere, tmp_path / "pictures", ".pdf") == [tmp_path / "pictures" / "stats.pdf"]


def test_no_results_and_no_store(store: LatentStore, tmp_path: Path) -> None:
    for location in (store.location, str(tmp_path / "not.zarr")):
        with pytest.raises(StoreError) as refused:
            draw_results(location, tmp_path / "pictures", ".png")
        assert location in str(refused.value)
    assert not (tmp_path / "pictures").exists()


def test_maps_are_coloured_by_what_is_asked_for(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=80, components=4, labels=("Smiling",))
    analyse(store, "stats")
    with pytest.raises(ParameterError, match="no map is cached"):
        draw_results(store.location, tmp_path / "none", ".svg", colour="Smiling")
    assert not (tmp_path / "none").exists()
    analyse(store, "tsne", points=60, perplexity=5, iterations=10)
    pictures = draw_results(store.location, tmp_path / "two", ".svg", colour="Smiling")
    by_name = {picture.stem: picture.read_text() for picture in pictures}
    assert "colour: Smiling" in by_name["tsne"]
    assert "colour: Smiling" not in by_name["stats"]
    plain = draw_results(store.location, tmp_path / "plain", ".svg")
    assert any("colour: radius" in picture.read_text() for picture in plain)
