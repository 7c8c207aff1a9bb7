from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.report.labels import figure, noticed, section, table, to_json
from tests.analyses.labels.planted import along, store_of
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Two stores: of one the attribute is a direction, and a cluster; of the other it is neither."""
    folder, rng = tmp_path_factory.mktemp("labels"), np.random.default_rng(0)
    found = {}
    for name, apart in (("near.zarr", 0.3), ("far.zarr", 9.0)):
        z, classes = along(1500, 4, apart)
        found[name] = analyse(
            store_of(
                folder / name,
                z,
                binary={
                    "of $two$ classes": classes,
                    "an attribute with a very long name": rng.choice([1, -1], 1500),
                    "rare": np.where(np.arange(1500) < 2, 1, -1),
                },
                numbers={"age": z[:, 0] + rng.standard_normal(1500)},
            ),
            "labels",
            clusters=2,
        )
    return found


def test_sentences_say_what_the_intervals_allow(results: dict[str, Result]) -> None:
    near, far = (" ".join(noticed(result)) for result in results.values())
    assert "0 of 2 binary attributes are directions with an AUC above 0.9" in near
    assert "1 can be told from chance (Holm, 5 %), best of all of $two$ classes, AUC 0." in near
    assert "No cluster is one attribute: of the pairs of 2 clusters and 2 attributes none" in near
    assert "1 of 2 binary attributes is a direction with an AUC above 0.9" in far
    assert "2 of the pairs of 2 clusters and 2 attributes agree" in far
    assert "1 of 1 continuous attribute is correlated with a direction beyond chance" in far
    said = section(results)
    assert len(said.verdicts) == 6
    assert len(said.details) == 2


def test_integers_are_said_to_be_scales(tmp_path: Path) -> None:
    z, _ = along(300, 4, 3.0)
    store = build_store(
        tmp_path / "z.zarr",
        arrays={"z": z},
        more_labels={"integer_labels": ("digit",)},
        chunk_rows=100,
    )
    said = " ".join(noticed(analyse(store, "labels", clusters=0)))
    assert "digit is an integer and is taken as a scale" in said


def test_whether_a_pair_agrees_may_be_undecided(results: dict[str, Result]) -> None:
    far = results["far.zarr"]
    far["agreement"][:], far["agreement_error"][:] = 0.49, 0.02
    assert "Whether a cluster is one attribute is undecided" in " ".join(noticed(far))


def test_the_table_names_the_best_first_and_what_is_left_out(results: dict[str, Result]) -> None:
    text = shown(table(results))
    lines = [line.split() for line in text.splitlines()]
    first = next(number for number, words in enumerate(lines) if words[:1] == ["attribute"])
    assert lines[first + 1][:3] == ["of", "$two$", "classes"]
    assert "an attribute with a..." in text or "an attribute with a ..." in text
    assert "left out: rare: " in text
    assert "nan" not in text


def test_the_document_is_json(results: dict[str, Result]) -> None:
    document = json.loads(json.dumps(to_json(results["near.zarr"]), allow_nan=False))
    by_name = {one["attribute"]: one for one in document["attributes"]}
    low, high = by_name["of $two$ classes"]["auc"]["interval"]
    assert low < by_name["of $two$ classes"]["auc"]["value"] < high
    assert by_name["age"]["correlation"]["value"] > 0.3
    assert "clusters" not in by_name["age"]


def test_the_figure_has_a_mark_an_attribute_and_a_store(results: dict[str, Result]) -> None:
    drawing = figure(results)
    binary, shares, numbers = drawing.axes
    assert {"near.zarr", "far.zarr", "AUC on images held out", "correlation on images held out"} <= words_of(
        drawing
    )
    dots = [line for line in binary.lines if line.get_marker() == "o"]
    assert len(dots) == 4  # of each store the components, and the directions
    assert [len(line.get_xdata()) for line in dots] == [2] * 4  # type: ignore[arg-type]
    assert len(shares.lines) == 3
    assert len([line for line in numbers.lines if line.get_marker() == "o"]) == 4


def test_nothing_that_can_be_tried_is_said(tmp_path: Path) -> None:
    z, classes = along(30, 2, 1.0)
    result = analyse(store_of(tmp_path / "z.zarr", z, binary={"a": classes}), "labels")
    assert noticed(result) == ["No attribute has images enough to be tried."]
    assert "left out: a: " in shown(table({"z.zarr": result}))
    assert "no attribute has images enough" in words_of(figure({"z.zarr": result}))
    assert to_json(result)["attributes"] == []
    assert section({"z.zarr": result}).verdicts
