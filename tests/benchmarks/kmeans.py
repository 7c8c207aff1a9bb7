"""`latentscan kmeans` over k = 2..80 step 2 against a loop of scikit-learn's MiniBatchKMeans.

The loop fits ``MiniBatchKMeans(k, n_init=3)`` to the points in memory, one k after another. Both are
measured in this process and as processes of their own, which read the points from disk, in turn; prints one
JSON line with the medians of the ratios: how many times faster the sweep is with one seed (without and with
the gap below Gaussian data), its inertia relative to the loop's, and the time of three seeds.

Run as `python -m tests.benchmarks.kmeans [--images N] [--components N] [--k A:B:STEP] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from latentscan.analyses.kmeans.parameters import KMeansParameters
from latentscan.store.reader import open_store
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, write_block
from tests.builders import analyse

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTERS = 40
LOOP = """
import sys
import numpy
from sklearn.cluster import MiniBatchKMeans
z = numpy.load(sys.argv[1])
for k in map(int, sys.argv[2].split(",")):
    print(MiniBatchKMeans(k, n_init=3, random_state=0).fit(z).inertia_)
"""


def build(folder: Path, images: int, components: int) -> Any:
    """Write clusters that overlap, as a store and as a file of NumPy's, and return them."""
    rng = np.random.default_rng(0)
    centres = 0.6 * rng.standard_normal((CLUSTERS, components), np.float32)
    z = rng.standard_normal((images, components), np.float32)
    z += centres[rng.integers(0, CLUSTERS, images)]
    np.save(folder / "z.npy", z)
    schema = Schema(images, components, ("z",))
    store = create_store(str(folder / "z.zarr"), schema, {"source": {"kind": "noise", "name": "clusters"}})
    for block in range(schema.blocks):
        rows = schema.rows(block)
        values: dict[str, Any] = {"z": z[rows.start : rows.stop]}
        values["path"] = np.array([f"{row:09d}.jpg" for row in rows], dtype=object)
        values["status"] = np.zeros(len(rows), np.uint8)
        write_block(store, block, values)
    return z


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def process(*command: str) -> None:
    subprocess.run((sys.executable, *command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=170_000)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--k", default="2:80:2")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        z = build(Path(folder), options.images, options.components)
        print(json.dumps(measure(Path(folder), z, options.k, options.rounds)))


def measure(folder: Path, z: Any, k: str, rounds: int) -> dict[str, Any]:
    ks = KMeansParameters(k=k).k
    location = str(folder / "z.zarr")
    store = open_store(location)

    def loop() -> list[float]:
        return [MiniBatchKMeans(k, n_init=3, random_state=0).fit(z).inertia_ for k in ks]

    def sweep(seeds: int, *, reference: bool) -> Any:
        results = str(folder / "results.zarr")
        return analyse(store, "kmeans", k=k, seeds=seeds, reference=reference, results=results, force=True)[
            "inertia"
        ]

    verb = ("-m", "latentscan", "kmeans", "--store", location, "--k", k, "--force")
    listed = ",".join(map(str, ks))
    work: dict[str, Callable[[], Any]] = {
        "one_seed": lambda: sweep(1, reference=False),
        "one_seed_with_reference": lambda: sweep(1, reference=True),
        "three_seeds": lambda: sweep(3, reference=False),
        "three_seeds_with_reference": lambda: sweep(3, reference=True),
        "loop": loop,
        "one_seed_process": lambda: process(*verb, "--seeds", "1", "--no-reference"),
        "one_seed_with_reference_process": lambda: process(*verb, "--seeds", "1"),
        "loop_process": lambda: process("-c", LOOP, str(folder / "z.npy"), listed),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in work.items():
            taken, found[name] = seconds(run)
            times[name].append(taken)

    def ratio(loop: str, own: str) -> float:
        ratios = [a / b for a, b in zip(times[loop], times[own], strict=True)]
        return round(statistics.median(ratios), 2)

    inertia = found["one_seed"][:, 0] / np.array(found["loop"])
    return {
        "images": len(z),
        "components": z.shape[1],
        "k": k,
        "rounds": rounds,
        "seconds": {name: round(statistics.median(taken), 2) for name, taken in times.items()},
        "ratio": ratio("loop", "one_seed"),
        "ratio_process": ratio("loop_process", "one_seed_process"),
        "ratio_with_reference": ratio("loop", "one_seed_with_reference"),
        "ratio_with_reference_process": ratio("loop_process", "one_seed_with_reference_process"),
        "ratio_three_seeds": ratio("loop", "three_seeds"),
        "ratio_three_seeds_with_reference": ratio("loop", "three_seeds_with_reference"),
        "inertia_ratio_mean": round(float(found["one_seed"].mean() / np.mean(found["loop"])), 5),
        "inertia_ratio_worst": round(float(inertia.max()), 5),
        "target": {
            "ratio": 8,
            "ratio_process": 6,
            "ratio_with_reference_process": 6,
            "ratio_three_seeds": 1,
            "inertia_ratio_mean": 1.0,
            "inertia_ratio_worst": 1.02,
        },
    }


if __name__ == "__main__":
    main()
