"""`latentscan stats` as a whole process against its floor, and its memory for ten times the images.

The floor is a process that imports numpy, zarr and xarray and reads the same chunks once, with as many
threads. Both run in turn, several times; prints one JSON line with the median of the ratios.

Run as `python -m tests.benchmarks.stats [--images N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, write_block

COMPONENTS = 256
FLOOR = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy, xarray, zarr
group = zarr.open_group(sys.argv[1], mode="r")
arrays = [group[name] for name in ("mu", "logvar", "z")]
rows = arrays[0].chunks[0]
def read(block):
    for array in arrays:
        array[block * rows : (block + 1) * rows]
with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(read, range(-(-arrays[0].shape[0] // rows))))
"""


def build(store: Path, images: int) -> None:
    """Write noise that looks like the latents of a VAE with a tiny KL loss; blocks differ by an offset."""
    schema = Schema(images, COMPONENTS, ("mu", "logvar", "z"))
    opened = create_store(str(store), schema, {"source": {"kind": "noise", "name": "noise"}})
    rng = np.random.default_rng(0)
    shape = (schema.chunk_rows, COMPONENTS)
    mu = rng.standard_normal(shape, np.float32)
    logvar = 3 * rng.standard_normal(shape, np.float32) - 13.7
    latents = {
        "mu": mu,
        "logvar": logvar,
        "z": mu + np.exp(logvar / 2) * rng.standard_normal(shape, np.float32),
    }
    for block in range(schema.blocks):
        rows = schema.rows(block)
        values: dict[str, Any] = {name: array[: len(rows)] for name, array in latents.items()}
        values |= {name: values[name] + np.float32(block / 1024) for name in ("mu", "z")}
        values["path"] = np.array([f"{row:09d}.jpg" for row in rows], dtype=object)
        values["status"] = np.zeros(len(rows), np.uint8)
        write_block(opened, block, values)


def run(*command: str) -> tuple[float, float]:
    """Return the wall time in seconds and the peak memory in MiB of a process."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return taken, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=170_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, large = Path(folder) / "z.zarr", Path(folder) / "large.zarr"
        build(store, options.images)
        build(large, 10 * options.images)
        print(json.dumps(measure(store, large, options.images, options.rounds)))


def measure(store: Path, large: Path, images: int, rounds: int) -> dict[str, Any]:
    verb = (sys.executable, "-m", "latentscan", "stats", "--force", "--store")
    floors, wholes, memory = [], [], []
    for round_number in range(rounds + 1):
        floor, _ = run(sys.executable, "-c", FLOOR, str(store))
        whole, peak = run(*verb, str(store))
        if round_number:  # the first one warms up
            floors.append(floor)
            wholes.append(whole)
            memory.append(peak)
    large_runs = [run(*verb, str(large)) for _ in range(2)]
    large_s, large_peak = min(large_runs)[0], statistics.median(peak for _, peak in large_runs)
    ratios = [whole / floor for whole, floor in zip(wholes, floors, strict=True)]
    return {
        "images": images,
        "rounds": rounds,
        "floor_s": round(statistics.median(floors), 3),
        "stats_s": round(statistics.median(wholes), 3),
        "ratio": round(statistics.median(ratios), 3),
        "peak_mib": round(statistics.median(memory), 1),
        "tenfold_s": round(large_s, 2),
        "tenfold_peak_ratio": round(large_peak / statistics.median(memory), 3),
        "target": {"ratio": 1.6, "tenfold_peak_ratio": 1.1},
    }


if __name__ == "__main__":
    main()
