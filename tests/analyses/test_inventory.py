from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.analyses.inventory import (
    cached_results,
    describe_store,
    remove_results,
    select_results,
    why_stale,
)
from latentscan.analyses.registry import ANALYSES
from latentscan.analyses.tsne.analysis import TSNE
from latentscan.errors import StoreError, UsageError
from latentscan.scan.snapshot import Snapshot
from latentscan.store.writer import retract_blocks
from tests.analyses.test_cache import another_version
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path


def test_why_a_result_would_be_computed_anew(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=60)
    found = analyse(store, "tsne", points=20, perplexity=3, iterations=5).attributes
    content = Snapshot.of(store).content
    assert why_stale(found, content) is None
    assert why_stale(found) is None
    reasons = [
        why_stale(found, "other rows"),
        why_stale({"points": 20}),
        why_stale({**found, "analysis": "unheard of"}),
        why_stale({**found, "parameters": {"colour": "red"}}),
    ]
    with another_version(TSNE):
        reasons.append(why_stale(found, content))
    with another_version(ANALYSES["pca"]):
        reasons.append(why_stale(found, content))
    assert all(reasons)
    assert len(set(reasons)) == 5  # of an analysis or parameters that are not known: one reason


def test_what_is_in_a_store(tmp_path: Path) -> None:
    store = build_store(
        tmp_path / "z.zarr", images=11, chunk_rows=4, labels=("Smiling",), rejected=(0, 9), blocks=(0, 2)
    )
    analyse(store, "stats", upper=10, allow_partial=True)
    summary = describe_store(store.location)
    assert (summary.written, summary.missing, summary.rejected) == (7, 4, 2)
    (result,) = summary.results
    assert (result.name, result.parameters["upper"], result.why_stale) == ("stats", 10, None)
    assert result.bytes > 0
    document: dict[str, Any] = json.loads(json.dumps(summary.document(), allow_nan=False))
    assert (document["images"], document["missing"], document["labels"]) == (11, 4, ["Smiling"])
    assert document["results"][0]["key"] == result.key
    assert document["arrays"]["mu"] == "float32"


def test_results_of_other_rows_or_versions_are_stale(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=60, chunk_rows=20)
    analyse(store, "tsne", points=20, perplexity=3, iterations=5)
    analyse(store, "axes")

    def stale() -> set[str]:
        return {one.name for one in cached_results(store.location) if one.why_stale is not None}

    assert {one.name for one in cached_results(store.location)} == {"tsne", "tsne-neighbours", "pca", "axes"}
    assert stale() == set()
    with another_version(ANALYSES["pca"]):
        assert stale() == {"pca", "tsne"}
    retract_blocks(store.location, (1,))
    assert stale() == {"tsne", "tsne-neighbours", "pca", "axes"}


def test_results_are_selected_by_the_beginning_of_their_key_and_removed(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11)
    keys = [analyse(store, "stats", upper=upper).attributes["key"] for upper in (10, 20)]
    results = cached_results(store.location)
    for name in (keys[0], keys[0][:6], f"stats/{keys[0]}"):
        assert [one.key for one in select_results(results, [name])] == [keys[0]]
    for wrong in (keys[0][:3], "axes/" + keys[0], "0" * 16):
        with pytest.raises(UsageError):
            select_results(results, [wrong])
    remove_results(store.location, select_results(results, [keys[0]]))
    assert [one.key for one in cached_results(store.location)] == [keys[1]]


def test_there_is_nothing(tmp_path: Path) -> None:
    for look in (describe_store, cached_results):
        with pytest.raises(StoreError):
            look(str(tmp_path / "none.zarr"))


@pytest.mark.parametrize("damaged", ["status/c/1", "commits/digest/c/1/0/0", "zarr.json"])
def test_what_is_damaged_is_named_beside_all_that_can_be_read(tmp_path: Path, damaged: str) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4, rejected=(0, 5))
    analyse(store, "stats")
    (tmp_path / "z.zarr" / damaged).write_bytes(b"{}")
    summary = describe_store(store.location)
    (line,) = summary.damaged
    assert line.startswith(f"{damaged} is damaged: ")
    assert summary.document()["damaged"] == [line]
    assert summary.rejected == (2 if damaged == "zarr.json" else 1)
    assert summary.missing == (4 if "digest" in damaged else 0)
    assert [result.name for result in summary.results] == ["stats"]


def test_what_a_store_cannot_have_is_not_missing(tmp_path: Path) -> None:
    plain, labelled = (
        build_store(tmp_path / f"{len(labels)}.zarr", labels=labels) for labels in ((), ("Smiling",))
    )
    assert "labels" not in describe_store(plain.location).not_computed
    assert "labels" in describe_store(labelled.location).not_computed
