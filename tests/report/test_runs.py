from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.report.runs import figure, noticed, section, table, to_json
from tests.analyses.runs.planted import runs_of_kinds
from tests.builders import analyse
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result

KINDS = ("plain=a*", "shifted=v*", "wild=w*")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Three kinds, whose stores come mixed: one with noise of its own, one whose runs differ more."""
    stores = runs_of_kinds(
        tmp_path_factory.mktemp("runs"),
        {"a": (3, 0.2, 0), "v": (3, 0.2, 0.7), "w": (3, 0.5, 0)},
        images=250,
    )
    mixed = {name: stores[name] for name in sorted(stores, key=lambda name: name[1])}
    return analyse(mixed, "runs", kind=KINDS)


def test_the_document_has_every_pair_of_stores_and_of_kinds(whole: Result) -> None:
    document = json.loads(json.dumps(to_json(whole), allow_nan=False))
    assert len(document["pairs"]) == 36
    assert document["stores"]["v1.zarr"]["kind"] == "shifted"
    assert document["stores"]["v1.zarr"]["training_seed"] is None
    assert [(one["first"], one["second"]) for one in document["kinds"]] == [
        ("plain", "shifted"),
        ("plain", "wild"),
        ("shifted", "wild"),
    ]
    found = document["kinds"][0]["distances"]["cka"]
    assert found["verdict"] == "farther"
    assert 1 < found["ratio_interval"][0] < found["ratio"] < found["ratio_interval"][1]
    assert all(one["distances"]["cka"]["error"] > 0 for one in document["pairs"])


def test_the_table_has_ratios_with_intervals_and_fits_a_terminal(whole: Result) -> None:
    text = shown(table({"a0.zarr": whole}))
    lines = text.splitlines()
    start = lines.index("plain and shifted")
    assert lines[start + 1].split() == ["distance", "within", "cross", "ratio", "spread", "verdict"]
    assert lines[start + 2].split()[-1] == "farther"
    low, ratio, high = (whole[name][0, 0] for name in ("ratio_low", "ratio", "ratio_high"))
    assert f"{ratio:.2f} [{low:.2f}, {high:.2f}]" in lines[start + 2]
    stores = [line.split()[0] for line in lines[1:10]]
    assert stores == [f"{kind}{run}.zarr" for kind in "avw" for run in range(3)]
    assert "every two stores" not in text  # too many of them


def test_sentences_say_what_intervals_allow(whole: Result) -> None:
    said = noticed(whole)
    assert said[0].startswith("plain and shifted (3 and 3 runs) are farther than seeds by 1 − CKA ")
    assert any(sentence.startswith("Runs of wild differ among themselves other than") for sentence in said)
    found = section({"a0.zarr": whole})
    assert found.verdicts == tuple(said)


def test_few_runs_are_said_to_be_too_few(tmp_path: Path) -> None:
    stores = runs_of_kinds(tmp_path, {"a": (2, 0.2, 0), "v": (1, 0.2, 0)}, images=60)
    result = analyse(stores, "runs", kind=KINDS[:2])
    said = noticed(result)
    assert said[0] == "plain and shifted: 2 and 1 runs are too few to say whether they differ."
    text = shown(table({"a0.zarr": result}))
    assert "nan" not in text
    pairs = text.splitlines()[text.splitlines().index("every two stores") :]
    assert pairs[2].startswith("a0.zarr, a1.zarr")
    assert pairs[3].split()[0] == "±"
    json.dumps(to_json(result), allow_nan=False)


def test_maps_are_ordered_by_kind_and_ratios_have_lines(whole: Result) -> None:
    drawing = figure({"a0.zarr": whole})
    maps = [axes for axes in drawing.axes if axes.images]
    assert len(maps) == 5
    labels = [label.get_text() for label in maps[0].get_yticklabels()]
    assert labels == [
        f"{letter}{run}.zarr · {kind}"
        for letter, kind in (("a", "plain"), ("v", "shifted"), ("w", "wild"))
        for run in range(3)
    ]
    values = np.asarray(maps[0].images[0].get_array())
    names = [label.split()[0] for label in labels]
    pair = [*zip(whole["first"].tolist(), whole["second"].tolist(), strict=True)].index(
        ("v0.zarr", "w2.zarr")
    )
    assert values[names.index("v0.zarr"), names.index("w2.zarr")] == whole["distance"][0, pair]
    assert np.isnan(values.diagonal()).all()
    (ratios,) = [axes for axes in drawing.axes if "mean distance across kinds" in axes.get_xlabel()]
    assert len(ratios.containers) == whole["ratio"].size
    assert [line.get_xdata()[0] for line in ratios.lines[-2:]] == [1, 1.25]  # type: ignore[index]
    assert "plain, shifted: radii" in words_of(drawing)


def test_few_stores_have_their_numbers_in_the_map(tmp_path: Path) -> None:
    stores = runs_of_kinds(tmp_path, {"a": (3, 0.2, 0)}, images=60)
    drawing = figure({"a0.zarr": analyse(stores, "runs")})
    assert len([text for text in drawing.axes[0].texts if text.get_text().startswith("0.")]) == 6
