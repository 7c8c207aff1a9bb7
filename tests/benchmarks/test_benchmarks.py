"""The benchmarks print one line of JSON; what they measure is not asserted here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "images", "ratios"),
    [
        ("stats", 1000, ("ratio", "tenfold_peak_ratio")),
        ("encode", 300, ("ratio_to_bound", "ratio_to_study")),
        ("many_encoders --encoders 2", 300, ("ratio_of_2",)),
        ("pca", 1000, ("ratio", "tenfold_ratio", "tenfold_peak_ratio")),
        ("kmeans --components 8 --k 2:6:2", 1000, ("ratio", "ratio_process", "inertia_ratio_mean")),
        ("tsne --components 16 --points 300 --iterations 60", 600, ("ratio", "kl_ratio", "search_recall")),
        ("scale --k 2:6:2 --landmarks 0 --verbs axes,kmeans", 1000, ()),
        ("page --attributes 2", 400, ("write_s", "page_mb")),
        ("cluster --components 8 --points 300 --k 2:4 --encoded 0", 600, ("scheduling_ms_per_block",)),
    ],
)
def test_a_benchmark_prints_its_ratios(name: str, images: int, ratios: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", *f"tests.benchmarks.{name}".split()]
    words = [*command, "--images", str(images), "--rounds", "1"]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert all(found[ratio] > 0 for ratio in ratios)
    assert found["images"] == images
