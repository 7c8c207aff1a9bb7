from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache
from latentscan.analyses.inputs import StoreAndDecoder
from latentscan.analyses.logvar import LOGVAR, LogvarParameters
from latentscan.report.logvar import figure, noticed, section, table, to_json
from latentscan.report.page.markup import blocks_of
from tests.analyses.decoders import planted
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from latentscan.store.results import Result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Of one store logvar has converged, of the other not."""
    found = {}
    for name, noise in (("good.zarr", 0.05), ("bad.zarr", 3.0)):
        of = planted(tmp_path_factory.mktemp("logvar"), fact=0.1, noise=noise)
        given: dict[str, Any] = {"store": of.store, "model": of.encoder, "decoder": of.decoder}
        request = Request(LOGVAR, LogvarParameters(fact=0.1, sample=30))
        found[name] = Cache().result(request, StoreAndDecoder.open(given))
    return found


def test_the_sentence_has_the_figures_with_their_intervals(results: dict[str, Result]) -> None:
    good, bad = map(noticed, results.values())
    assert good.startswith("logvar has converged: it says how sensitive images are to each component (corr")
    assert bad.startswith("logvar has not converged: ")
    value, low, high = results["good.zarr"].attributes["slope"]
    assert f"slope {value:.2f} [{low:.2f}, {high:.2f}]" in good
    said = section(results)
    assert [verdict.partition(":")[0] for verdict in said.verdicts] == ["good.zarr", "bad.zarr"]
    assert all(verdict.endswith(".") for verdict in said.verdicts)


def test_the_table_has_the_most_sensitive_components_first(results: dict[str, Result]) -> None:
    text = shown(table(results))
    lines = [line.split() for line in text.splitlines()]
    head = next(at for at, words in enumerate(lines) if words[:1] == ["component"])
    assert [words[0] for words in lines[head + 1 : head + 6]] == ["0", "1", "2", "3", "4"]
    assert "30 images, 5 of 5 components, decoded by decoder.keras; bce, fact 0.1" in text


def test_the_document_is_json(results: dict[str, Result]) -> None:
    document = json.loads(json.dumps(to_json(results["bad.zarr"]), allow_nan=False))
    assert document["verdict"] == "not converged"
    low, high = document["correlation"]["interval"]
    assert low < document["correlation"]["value"] < high
    assert len(document["per_component"]["expected_median"]) == 5
    assert len(document["images"]) == 30


def test_the_figure_has_a_panel_a_store_and_the_diagonal(
    results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = figure(results)
    assert len(drawing.axes) == 2
    for axes, (name, result) in zip(drawing.axes, results.items(), strict=True):
        entries, medians, diagonal = axes.lines
        assert len(entries.get_xdata()) == result["stored"].size  # type: ignore[arg-type]
        np.testing.assert_array_equal(medians.get_ydata(), result["stored_median"])
        np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        assert axes.get_title(loc="left").startswith(name)
    assert "logvar of the store, nat" in words_of(drawing)
    monkeypatch.setattr("latentscan.report.logvar.POINTS", 10)
    assert len(figure(results).axes[0].collections) == 1


def test_a_page_shows_it_as_tables(results: dict[str, Result]) -> None:
    kinds = [block.kind for block in blocks_of(table(results))]
    assert kinds.count("table") == 2
    assert "verbatim" not in kinds
