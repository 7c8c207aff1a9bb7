"""Analyses as whole processes on a store, and on one of ten times the images: time and peak memory.

Prints one JSON line with the ratios. `--landmarks N` also times `tsne --all`: the embedding of N images,
and the rate at which the others of the large store are embedded among them.

Run as `python -m tests.benchmarks.scale [--images N] [--rounds N] [--landmarks N] [--verbs VERB,...]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.stats import build, run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=170_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--k", default="2:80:2")
    parser.add_argument("--landmarks", type=int, default=0)
    parser.add_argument("--verbs", default="stats,axes,pca,kmeans")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = str(Path(folder) / "z.zarr"), str(Path(folder) / "large.zarr")
        build(Path(small), options.images)
        build(Path(large), 10 * options.images)
        found: dict[str, Any] = {"images": options.images, "rounds": options.rounds}
        given = {"kmeans": ("--k", options.k, "--seeds", "1")}
        for verb in options.verbs.split(","):
            found[verb] = compare(verb, given.get(verb, ()), small, large, options.rounds)
        if options.landmarks:
            found["transform"] = transform(large, options.landmarks, 10 * options.images)
        print(json.dumps({**found, "target": {"time_ratio": 11, "peak_ratio": 1.1}}))


def compare(verb: str, given: tuple[str, ...], small: str, large: str, rounds: int) -> dict[str, float]:
    command = (sys.executable, "-m", "latentscan", verb, "--force", *given, "--store")
    runs = [(run(*command, small), run(*command, large)) for _ in range(rounds)]
    time_s, peak_mib = (statistics.median(one[part] for one, _ in runs) for part in (0, 1))
    large_s, large_mib = (statistics.median(ten[part] for _, ten in runs) for part in (0, 1))
    return {
        "time_s": round(time_s, 2),
        "tenfold_s": round(large_s, 2),
        "time_ratio": round(large_s / time_s, 2),
        "peak_mib": round(peak_mib),
        "peak_ratio": round(large_mib / peak_mib, 3),
    }


def transform(store: str, landmarks: int, images: int) -> dict[str, float]:
    command = (sys.executable, "-m", "latentscan", "tsne", "--points", str(landmarks), "--store", store)
    embedding_s, _ = run(*command)
    transform_s, peak_mib = run(*command, "--all")
    return {
        "embedding_s": round(embedding_s, 1),
        "transform_s": round(transform_s, 1),
        "images_per_s": round((images - landmarks) / transform_s),
        "peak_mib": round(peak_mib),
    }


if __name__ == "__main__":
    main()
