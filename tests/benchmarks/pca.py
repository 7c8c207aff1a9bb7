"""`pca` against its floor, in one process, and its time and memory for ten times the images.

The floor is one bare read of mu with zarr and one `X.T @ X` a block, with two threads or with those of BLAS,
whichever is faster: in float32, and in float64, in which deviations are multiplied, since sums of float32
products lose what lies below 1e-7 of the largest variance. All run in turn, several times; prints one JSON
line with the medians of the ratios. Memory is that of whole processes.

Run as `python -m tests.benchmarks.pca [--images N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from threadpoolctl import threadpool_limits

from latentscan.processors import processors
from latentscan.store.reader import open_store
from tests.benchmarks.stats import build, run
from tests.builders import analyse

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.store.reader import LatentStore


def products(store: LatentStore, dtype: str) -> Callable[[int], Any]:
    mu: Any = zarr.open_group(store.location, mode="r")["mu"]

    def product(block: int) -> Any:
        rows = store.schema.rows(block)
        x = mu[rows.start : rows.stop].astype(dtype, copy=False)
        return x.T @ x

    return product


def floor_of_threads(store: LatentStore, dtype: str) -> None:
    with threadpool_limits(1), ThreadPoolExecutor(processors()) as pool:
        list(pool.map(products(store, dtype), range(store.schema.blocks)))


def floor_of_blas(store: LatentStore, dtype: str) -> None:
    list(map(products(store, dtype), range(store.schema.blocks)))


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=170_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "z.zarr", Path(folder) / "large.zarr"
        build(small, options.images)
        build(large, 10 * options.images)
        print(json.dumps(measure(small, large, options.images, options.rounds)))


def measure(small: Path, large: Path, images: int, rounds: int) -> dict[str, Any]:
    def pca(of: LatentStore) -> None:
        analyse(of, "pca", force=True, results=str(small.parent / "results.zarr"))

    store, tenfold = open_store(str(small)), open_store(str(large))
    floors: dict[str, list[list[float]]] = {dtype: [[], []] for dtype in ("float32", "float64")}
    wholes: list[float] = []
    for round_number in range(rounds + 1):
        taken = {
            dtype: [seconds(floor, store, dtype) for floor in (floor_of_threads, floor_of_blas)]
            for dtype in floors
        }
        whole = seconds(pca, store)
        if round_number:  # the first one warms up
            wholes.append(whole)
            for dtype, both in taken.items():
                for times, time_s in zip(floors[dtype], both, strict=True):
                    times.append(time_s)
    best = {dtype: min(both, key=statistics.median) for dtype, both in floors.items()}
    ratios = {
        dtype: statistics.median(w / f for w, f in zip(wholes, times, strict=True))
        for dtype, times in best.items()
    }
    tenfold_s = min(seconds(pca, tenfold) for _ in range(2))
    verb = (sys.executable, "-m", "latentscan", "pca", "--force", "--store")
    peaks = {path: statistics.median(run(*verb, str(path))[1] for _ in range(3)) for path in (small, large)}
    return {
        "images": images,
        "rounds": rounds,
        "floor_s": {dtype: round(statistics.median(times), 3) for dtype, times in best.items()},
        "pca_s": round(statistics.median(wholes), 3),
        "ratio": round(ratios["float32"], 3),
        "ratio_float64": round(ratios["float64"], 3),
        "peak_mib": round(peaks[small], 1),
        "tenfold_s": round(tenfold_s, 3),
        "tenfold_ratio": round(tenfold_s / min(wholes), 3),
        "tenfold_peak_ratio": round(peaks[large] / peaks[small], 3),
        "target": {"ratio_float64": 1.5, "tenfold_ratio": 11, "tenfold_peak_ratio": 1.1},
    }


if __name__ == "__main__":
    main()
