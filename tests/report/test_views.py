from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.report.page.markup import blocks_of
from latentscan.report.section import section_of
from latentscan.report.views import view_of
from tests.builders import analyse, analyses_of_stores, build_store
from tests.report.rendering import shown

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result

# of any analysis that has them
SMALL = {
    "k": (2, 3, 4),
    "seeds": 1,
    "points": 60,
    "perplexity": 5,
    "iterations": 20,
    "sample": 40,
    "clusters": 3,
    "fewest": 4,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """A result of every analysis of stores; of others, tests of their own make one."""
    folder: Path = tmp_path_factory.mktemp("views")
    stores = {
        name: build_store(
            folder / name, images=90, components=4, chunk_rows=rows, seed=seed, labels=("smile", "hat")
        )
        for seed, (name, rows) in enumerate({"a.zarr": 40, "b.zarr": 33}.items())
    }
    found = {}
    for name in analyses_of_stores():
        analysis = ANALYSES[name]
        own: Any = {key: value for key, value in SMALL.items() if key in analysis.parameters.model_fields}
        of = stores if analysis.inputs is SeveralStores else stores["a.zarr"]
        found[name] = analyse(of, name, **own)
    return found


@pytest.mark.parametrize("name", analyses_of_stores())
def test_every_analysis_has_its_views(results: dict[str, Result], name: str) -> None:
    view = view_of(name)
    json.dumps(view.to_json(results[name]), allow_nan=False)
    assert shown(view.table({"a.zarr": results[name]})).strip()
    drawing = view.figure({"a.zarr": results[name]})
    artists = [axes for axes in drawing.axes if axes.lines or axes.patches or axes.collections or axes.images]
    assert artists


@pytest.mark.parametrize("name", analyses_of_stores())
def test_every_analysis_has_its_section(results: dict[str, Result], name: str) -> None:
    section = section_of(name, {"a.zarr": results[name]})
    assert section.title
    assert section.lead.endswith(".")
    for sentence in (*section.verdicts, *section.details):
        assert sentence.endswith(".")
        assert not sentence.endswith("..")
    assert all(len(images.notes) in (0, len(images.rows)) for images in section.images)
    kinds = [block.kind for block in blocks_of(view_of(name).table({"a.zarr": results[name]}))]
    assert "table" in kinds
    assert "verbatim" not in kinds
