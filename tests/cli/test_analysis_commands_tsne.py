"""One map or several at once, from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.commands import Command


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tsne")
    np.save(folder / "z.npy", np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32))
    ingest({"z": folder / "z.npy"}, str(folder / "z.zarr"))
    return folder / "z.zarr"


def test_one_map(latentscan: Command, store: Path, tmp_path: Path) -> None:
    words = (
        "tsne",
        "--store",
        store,
        "--points",
        "200",
        "--perplexity",
        "9.5",
        "--iterations",
        "60",
        "--all",
    )
    done = latentscan(*words, "--json", "--plot", tmp_path / "map.png")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["store"] == str(store)
    assert (document["points"], document["perplexity"], document["transformed"]) == (200, 9.5, 100)
    assert (tmp_path / "map.png").stat().st_size > 10_000
    assert "KL" in done.stderr
    assert "t-SNE" not in latentscan(*words).stderr  # it is kept


def test_several_maps(latentscan: Command, store: Path) -> None:
    lists = (
        "--points",
        "200,100",
        "--perplexity",
        "10,5",
        "--early-exaggeration",
        "12,16",
        "--iterations",
        "40",
    )
    done = latentscan("tsne", "--store", store, *lists, "--json")
    assert done.returncode == 0, done.stderr
    maps = json.loads(done.stdout)["maps"]
    found = [(one["points"], one["perplexity"], one["early_exaggeration"], one["iterations"]) for one in maps]
    assert found == [(200, 10, 12, 40), (100, 5, 16, 40)]
    assert "map 2" in latentscan("tsne", "--store", store, *lists).stdout


def test_the_plot_is_coloured(latentscan: Command, store: Path, tmp_path: Path) -> None:
    words = ("tsne", "--store", store, "--points", "100", "--perplexity", "5", "--iterations", "20")
    early = latentscan(*words, "--plot", tmp_path / "map.svg", "--colour", "cluster")
    assert early.returncode == 2
    assert f"no k-means is cached; compute it first: latentscan kmeans --store {store}" in early.stderr
    assert "t-SNE" not in early.stderr  # it is said before the work
    latentscan("kmeans", "--store", store, "--k", "3,6", "--seeds", "1", "--no-reference")
    done = latentscan(*words, "--plot", tmp_path / "map.svg", "--colour", "cluster")
    assert done.returncode == 0, done.stderr
    assert "colour: cluster of 6" in (tmp_path / "map.svg").read_text()
    for unused in (("tsne", "--colour", "radius"), ("stats", "--colour", "radius")):
        refused = latentscan(*unused, "--store", store)
        assert refused.returncode == 2
        assert "--colour" in refused.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--points", "50,60,70", "--perplexity", "3,4"), "--perplexity 3,4: 2 values, and 3 for --points"),
        (("--points", "50,x"), "--points x: expected a valid integer"),
        (("--points", "50", "--perplexity", "30"), "at most 16 is possible"),
        (("--array", "logvar"), "--array logvar"),
    ],
)
def test_wrong_usage(latentscan: Command, store: Path, words: tuple[str, ...], complaint: str) -> None:
    done = latentscan("tsne", "--store", store, *words)
    assert done.returncode == 2
    assert complaint in done.stderr
