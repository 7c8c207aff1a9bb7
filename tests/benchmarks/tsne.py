"""Embeddings of several sizes with both settings of the study, at once, against openTSNE one by one.

The neighbours, the first axes and everything else that they share is computed anew. Both divergences of an
embedding are openTSNE's estimate for openTSNE's own affinities. Prints one JSON line.

Run as `python -m tests.benchmarks.tsne [--points N,N] [--iterations N] [--store PATH]`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.tsne.analysis import TSNE
from latentscan.analyses.tsne.optimize import Schedule
from latentscan.analyses.tsne.parameters import TsneParameters
from latentscan.encoding.ingest import ingest
from latentscan.execution.context import Execution
from latentscan.processors import processors
from latentscan.scan.rows import gather_rows
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

SETTINGS = ((30.0, 12.0), (10.0, 16.0))  # perplexity, early exaggeration
CLUSTERS = 40


def build(folder: Path, images: int, components: int) -> str:
    """Write images in clusters that overlap."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, components), np.float32)
    spread = np.linspace(2, 0.2, components, dtype=np.float32)
    z = rng.standard_normal((images, components), np.float32) * spread
    z += centres[rng.integers(CLUSTERS, size=images)]
    np.save(folder / "z.npy", z)
    ingest({"z": folder / "z.npy"}, str(folder / "z.zarr"))
    return str(folder / "z.zarr")


def plain(rows: NDArray[np.float32], settings: TsneParameters) -> tuple[float, Any]:
    """Time one run of openTSNE as its user would start it; return the seconds and its embedding."""
    from openTSNE import TSNE

    (early, exaggeration), _ = Schedule(settings.iterations, settings.early_exaggeration).phases
    start = time.perf_counter()
    embedding = TSNE(
        perplexity=settings.perplexity,
        early_exaggeration=exaggeration,
        early_exaggeration_iter=early,
        n_iter=settings.iterations - early,
        n_jobs=processors(),
        random_state=0,
    ).fit(rows)
    return time.perf_counter() - start, embedding


def compared(
    rows: NDArray[np.float32], settings: TsneParameters, found: Result, rounds: int
) -> dict[str, Any]:
    """Compare an embedding with openTSNE's own."""
    runs = [plain(rows, settings) for _ in range(rounds)]
    embedding = runs[0][1]
    ours, theirs = (
        divergence(embedding.affinities.P, points)
        for points in (found["embedding"].astype(np.float64), np.array(embedding))
    )
    return {
        **{
            name: found.attributes[name]
            for name in ("points", "perplexity", "early_exaggeration", "search_recall")
        },
        "trustworthiness": round(found.attributes["trustworthiness"], 4),
        "plain_s": round(min(seconds for seconds, _ in runs), 2),
        "plain_kl": round(theirs, 4),
        "kl": round(ours, 4),
        "kl_ratio": round(ours / theirs, 4),
    }


def divergence(joint: Any, points: NDArray[np.float64]) -> float:
    """Estimate the KL divergence of an embedding (n, 2) from affinities (n, n)."""
    from openTSNE.tsne import kl_divergence_fft

    grid = {"n_interpolation_points": 3, "min_num_intervals": 50, "ints_in_interval": 1}
    return float(kl_divergence_fft(points, joint, 1, grid, should_eval_error=True)[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=170_000)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--store", help="measure with this store's z instead")
    parser.add_argument("--points", default="20000,80000,140000")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    sizes = [int(size) for size in options.points.split(",")]
    settings = [
        TsneParameters(
            points=n, perplexity=perplexity, early_exaggeration=early, iterations=options.iterations
        )
        for n, (perplexity, early) in product(sizes, SETTINGS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        location = options.store or build(Path(folder), options.images, options.components)
        print(json.dumps(measure(open_store(location), settings, Path(folder), options.rounds)))


def embed(store: LatentStore, settings: list[TsneParameters], results: Path) -> list[Result]:
    """Make embeddings at once."""
    requests = [Request(TSNE, one) for one in settings]
    return Cache(CachePolicy(str(results))).results(requests, OneStore(Snapshot.of(store)))


def measure(store: LatentStore, settings: list[TsneParameters], folder: Path, rounds: int) -> dict[str, Any]:
    warm = settings[0].model_copy(update={"points": 200, "iterations": 5, "perplexity": 5.0})
    embed(store, [warm], folder / "warm.zarr")
    taken = []
    for number in range(rounds):
        start = time.perf_counter()
        found = embed(store, settings, folder / f"results{number}.zarr")
        taken.append(time.perf_counter() - start)
    snapshot = Snapshot.of(store)
    maps = [
        compared(gather_rows(snapshot, "z", result["image"], Execution()), one, result, rounds)
        for one, result in zip(settings, found, strict=True)
    ]
    plain_s = sum(one["plain_s"] for one in maps)
    return {
        "images": store.schema.images,
        "components": store.schema.components,
        "iterations": settings[0].iterations,
        "rounds": rounds,
        "maps": maps,
        "plain_s": round(plain_s, 2),
        "tsne_s": round(min(taken), 2),
        "ratio": round(plain_s / min(taken), 2),
        "kl_ratio": max(one["kl_ratio"] for one in maps),
        "search_recall": min(one["search_recall"] for one in maps),
        "target": {"ratio": 1.8, "kl_ratio": 1.01, "search_recall": 0.99},
    }


if __name__ == "__main__":
    main()
