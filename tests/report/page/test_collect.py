from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.analyses.registry import ANALYSES
from latentscan.report.page.collect import collect
from latentscan.scan.snapshot import Snapshot
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, LatentStore]:
    return {
        name: build_store(tmp_path / name, images=80, components=3, chunk_rows=30, latents=("z",), seed=seed)
        for seed, name in enumerate(("a.zarr", "b.zarr"))
    }


def snapshots(stores: dict[str, LatentStore]) -> dict[str, Snapshot]:
    return {name: Snapshot.of(store) for name, store in stores.items()}


def test_results_stand_in_the_order_of_the_analyses_by_the_name_of_their_store(
    stores: dict[str, LatentStore],
) -> None:
    for store in stores.values():
        analyse(store, "collapse")
        analyse(store, "stats")
    analyse(stores["a.zarr"], "axes")
    found = collect(snapshots(stores))
    assert [(one.analysis, one.name) for one in found.shown] == [
        ("stats", "a.zarr"),
        ("stats", "b.zarr"),
        ("collapse", "a.zarr"),
        ("collapse", "b.zarr"),
        ("axes", "a.zarr"),
    ]
    assert found.missing["axes"] == ("b.zarr",)
    assert found.missing["kmeans"] == ("a.zarr", "b.zarr")
    assert not found.left_out
    assert len(found.groups("stats")) == 1


def test_maps_of_several_settings_are_named_by_them_and_the_same_map_is_shown_once(
    stores: dict[str, LatentStore],
) -> None:
    for perplexity in (4, 6):
        analyse(stores["a.zarr"], "tsne", points=80, perplexity=perplexity, iterations=10)
    analyse(stores["a.zarr"], "tsne", points=100, perplexity=4, iterations=10)
    found = collect(snapshots(stores)).of("tsne")
    assert len(found) == 2
    assert {name.partition(", ")[0] for name in found} == {"a.zarr"}
    assert {"perplexity 4" in name for name in found} == {True, False}
    first, second = found.values()
    assert "disparity" in second.attributes  # it is aligned with the first
    assert first.attributes["perplexity"] != second.attributes["perplexity"]


def test_of_other_analyses_the_newest_result_is_shown(stores: dict[str, LatentStore]) -> None:
    analyse(stores["a.zarr"], "stats", upper=10)
    analyse(stores["a.zarr"], "stats", upper=12)
    found = collect(snapshots(stores))
    assert found.of("stats")["a.zarr"].attributes["parameters"]["upper"] == 12
    (line,) = found.left_out
    assert "stats/" in line
    assert "older" in line


def test_a_newer_result_of_z_does_not_take_the_place_of_that_of_mu(tmp_path: Path) -> None:
    store = build_store(tmp_path / "vae.zarr", images=80, components=3, chunk_rows=30)
    analyse(store, "pca")
    analyse(store, "pca", array="z")
    found = collect({"vae.zarr": Snapshot.of(store)})
    assert found.of("pca")["vae.zarr"].attributes["array"] == "mu"
    (line,) = found.left_out
    assert line.endswith("of z, beside what is shown")


def test_stale_results_and_those_of_other_rows_are_left_out(
    stores: dict[str, LatentStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse(stores["a.zarr"], "stats")
    elsewhere = str(tmp_path / "results.zarr")
    analyse(stores["b.zarr"], "stats", results=elsewhere)
    assert not collect(snapshots({"a.zarr": stores["a.zarr"]}), elsewhere).shown
    raised = replace(ANALYSES["stats"], version=ANALYSES["stats"].version + 1)
    monkeypatch.setattr("latentscan.analyses.stats.STATS", raised)
    found = collect(snapshots(stores))
    assert not found.shown
    assert "version" in found.left_out[0]


def test_a_comparison_is_shown_with_its_parts_where_all_its_stores_are(
    stores: dict[str, LatentStore],
) -> None:
    analyse(stores, "compare", k=(2, 3), seeds=1, points=60, perplexity=5, iterations=10)
    (one,) = [one for one in collect(snapshots(stores)).shown if one.analysis == "compare"]
    assert one.stores == ("a.zarr", "b.zarr")
    assert one.name == "a.zarr and b.zarr"
    assert len(one.result.parts["stats"]) == 2
    alone = collect(snapshots({"a.zarr": stores["a.zarr"]}))
    assert not alone.of("compare")
    assert "compare" not in alone.missing
    assert np.isfinite(one.result["radius_share"]).all()
