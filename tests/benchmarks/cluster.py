"""Two workers of one thread against one: encode, k-means, and the graph of nearest neighbours.

How much two processes get done on this machine in the time of one is measured beside it: two clusters of one
worker each do the same job at the same time, and have nothing to do with one another. That is the bound. Then
`stats` as a whole process on a cluster against in the process itself, and what scheduling a block costs. All
sides run in turn in one run, on real schedulers and workers; prints one JSON line with medians of ratios, and
from these what a thousand million images would take, on paper.

Run as `python -m tests.benchmarks.cluster [--images N] [--points N] [--encoded N] [--rounds N]`,
or with `--store STORE` on latents of your own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client

from latentscan.analyses.analysis import Request, Setting
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.kmeans.parameters import KMeansParameters
from latentscan.analyses.neighbours.graph import NEIGHBOURS, GraphParameters
from latentscan.analyses.registry import ANALYSES
from latentscan.analyses.stats import StatsParameters
from latentscan.encoding.encode import encode
from latentscan.encoding.parameters import Noise
from latentscan.execution.context import Execution
from latentscan.execution.distributed import DistributedExecutor
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import open_store
from latentscan.store.schema import Schema
from latentscan.synth.dataset import synthesize
from tests.benchmarks.kmeans import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from latentscan.execution.executor import Executor
    from latentscan.store.reader import LatentStore

ALONE: dict[str, Any] = {"stats": StatsParameters(), "kmeans": KMeansParameters(seeds=1, reference=False)}
BLOCKS = (100, 500)  # of no work at all, to see what scheduling costs
CHUNK_ROWS = 512  # of what is encoded: several blocks for each worker
MANY_IMAGES = 10**9
MANY_WORKERS = 100


@contextmanager
def processes(folder: Path, name: str, workers: int) -> Iterator[DistributedExecutor]:
    """Start a scheduler and workers of one thread each."""
    dask = (sys.executable, "-m", "dask")
    file = folder / f"{name}.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:

        def start(*command: str) -> None:
            process = stack.enter_context(subprocess.Popen((*dask, *command), cwd=folder, **quiet))
            stack.callback(process.terminate)

        start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
        )
        for _ in range(workers):
            start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard")
        while not file.exists():
            time.sleep(0.1)
        client = stack.enter_context(Client(scheduler_file=str(file)))
        client.wait_for_workers(workers)
        yield DistributedExecutor(client)


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store")
    parser.add_argument("--images", type=int, default=170_000)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--points", type=int, default=140_000)
    parser.add_argument("--k", default="2:80:2")
    parser.add_argument("--encoded", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        if options.store is None:
            build(folder, options.images, options.components)
        store = open_store(options.store or str(folder / "z.zarr"))
        jobs = jobs_on(store, folder, options)
        one, other, two = (
            stack.enter_context(processes(folder, name, workers))
            for name, workers in (("one", 1), ("other", 1), ("two", 2))
        )
        found = {name: measure(job, (one, other, two), options.rounds) for name, job in jobs.items()}
        images = dict.fromkeys(ALONE, store.schema.images)
        images |= {"encode": options.encoded} if options.encoded else {}
        per_block_ms = scheduling(two)
        address = str(two.client.scheduler.address)  # type: ignore[union-attr]
        print(
            json.dumps(
                {
                    "images": store.schema.images,
                    "rounds": options.rounds,
                    **found,
                    "stats_process": overhead(
                        store.location, str(folder / "results.zarr"), address, options.rounds
                    ),
                    "scheduling_ms_per_block": per_block_ms,
                    "estimate": {
                        name: estimate(name, found[name]["one_s"] / images[name], per_block_ms)
                        for name in images
                    },
                    "target": {
                        "encode": 1.8,
                        "kmeans": 1.7,
                        "neighbours": 1.8,
                        "stats_overhead": "at most 2 s and 20 %",
                    },
                }
            )
        )


def jobs_on(
    store: LatentStore, folder: Path, options: argparse.Namespace
) -> dict[str, Callable[[Executor, str], object]]:
    """Make what the jobs need, and return them: functions of an executor, and of a place for results."""
    requests = [
        Request(ANALYSES["stats"], StatsParameters()),
        Request(ANALYSES["kmeans"], KMeansParameters(k=options.k, seeds=1, reference=False)),
        Request(NEIGHBOURS, GraphParameters(points=options.points, neighbours=min(90, options.points - 1))),
    ]

    def of(request: Request) -> Callable[[Executor, str], object]:
        def job(executor: Executor, place: str) -> object:
            cache = Cache(CachePolicy(place), Execution(executor))
            return cache.result(request, OneStore(Snapshot.of(store)))

        return job

    return {
        **({"encode": encoding_in(folder, options.encoded)} if options.encoded else {}),
        **{request.analysis.name.removeprefix("tsne-"): of(request) for request in requests},
    }


def encoding_in(folder: Path, images: int) -> Callable[[Executor, str], object]:
    """Make faces and an encoder, and return the job that encodes them."""
    synthesize(folder / "faces", images)
    from latentscan.models.encoder import load_encoder
    from latentscan.models.networks import build_encoder

    preprocessing = Preprocessing()
    build_encoder(TrainParameters(kind="vae"), preprocessing.shape[0]).save(folder / "encoder.keras")
    encoder = load_encoder(folder / "encoder.keras")
    source = open_images(folder / "faces", preprocessing)
    return lambda executor, place: encode(
        encoder, source, place, noise=Noise(), chunk_rows=CHUNK_ROWS, executor=executor
    )


def measure(
    job: Callable[[Executor, str], object],
    clusters: tuple[DistributedExecutor, DistributedExecutor, DistributedExecutor],
    rounds: int,
) -> dict[str, float]:
    """Time a job on one worker, on two, and twice at once on one worker each."""
    one, other, two = clusters

    def on(*executors: Executor) -> float:
        with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(executors)) as pool:
            places = [f"{name}/{number}.zarr" for number in range(len(executors))]
            return seconds(lambda: list(pool.map(job, executors, places)))

    on(one), on(other), on(two)  # processes import, and libraries warm up
    times = [(on(one), on(two), on(one, other)) for _ in range(rounds)]
    alone, both, _ = (statistics.median(side) for side in zip(*times, strict=True))
    return {
        "one_s": round(alone, 2),
        "two_s": round(both, 2),
        "speedup": round(statistics.median(a / b for a, b, _ in times), 3),
        "bound": round(statistics.median(2 * a / c for a, _, c in times), 3),
        "of_bound": round(statistics.median(c / (2 * b) for _, b, c in times), 3),
    }


def overhead(store: str, results: str, address: str, rounds: int) -> dict[str, float]:
    """Time `stats` as a whole process, in itself and on a cluster."""
    verb = (sys.executable, "-m", "latentscan", "stats", "--force", "--store", store, "--results", results)

    def run(*where: str) -> float:
        return seconds(lambda: subprocess.run((*verb, *where), capture_output=True, check=True))

    run("--scheduler", address)
    times = [(run(), run("--scheduler", address)) for _ in range(rounds)]
    here, there = (statistics.median(side) for side in zip(*times, strict=True))
    return {
        "in_process_s": round(here, 2),
        "cluster_s": round(there, 2),
        "overhead_s": round(there - here, 2),
    }


def scheduling(cluster: DistributedExecutor) -> float:
    """Time blocks without work: the milliseconds that each takes."""
    few, many = (
        seconds(lambda blocks=blocks: cluster.map_reduce(_nothing, _either, range(blocks)))  # type: ignore[misc]
        for blocks in BLOCKS
    )
    return round(1000 * (many - few) / (BLOCKS[1] - BLOCKS[0]), 2)


def estimate(name: str, worker_s: float, per_block_ms: float) -> dict[str, float]:
    """Say what a job would take, from the worker seconds that an image takes."""
    schema = Schema(MANY_IMAGES, 256, ("mu", "logvar", "z"))
    found: dict[str, float] = {"tasks": schema.blocks}
    if name != "encode":
        cost = ANALYSES[name].cost_of(Setting((schema,), (True,), MANY_WORKERS), [ALONE[name]])
        found = {"tasks": cost.tasks, "terabytes": round(cost.bytes_read / 1e12, 2)}
        found["megabytes_a_task"] = round(cost.task_bytes / 1e6)
    found["hours"] = round(MANY_IMAGES * worker_s / MANY_WORKERS / 3600, 2)
    found["scheduling_hours"] = round(schema.blocks * per_block_ms / 1000 / 3600, 2)
    return found


def _nothing(_block: int) -> int:
    return 0


def _either(one: int, _other: int) -> int:
    return one


if __name__ == "__main__":
    main()
