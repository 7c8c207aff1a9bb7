"""Jobs for tests, the stores that they are of, and a cluster to run them on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs.record import read_record
from latentscan.jobs.run import begin_record, submit_job
from latentscan.jobs.spec import Job, job_of
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.jobs.record import JobRecord
    from latentscan.progress import Advance

LONG = {"tsne": {"points": 800, "iterations": 1_000_000}}


@dataclass
class Watcher:
    """A subscriber that does something at every report."""

    act: Callable[[], object]

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        def advance(amount: int, /, **figures: float) -> None:
            self.act()

        yield advance


def store_of(folder: Path, name: str) -> str:
    return build_store(
        folder / name, images=1500, components=6, chunk_rows=210, latents=("z",), seed=len(name)
    ).location


def job(stores: Sequence[str], *analyses: Any, **more: Any) -> Job:
    return job_of({"store": list(stores), "analyses": list(analyses), **more}, name="mine", origin="mine")


def submit(asked: Job, **more: Any) -> JobRecord:
    return submit_job(asked, ThreadedExecutor(), begin_record(asked, ThreadedExecutor()), **more)


def last(asked: Job) -> JobRecord:
    from latentscan.jobs.record import list_records

    return list_records(asked.home)[-1]


@contextmanager
def dask_cluster(
    folder: Path, workers: int, *, at: Path | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """A scheduler and worker processes on loopback: its address, and what starts another worker."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "dask", *arguments]
        null = subprocess.DEVNULL
        started.append(subprocess.Popen(command, cwd=at, stdout=null, stderr=null))

    def worker() -> None:
        start("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard")

    file = folder / "scheduler.json"
    place = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    try:
        start("scheduler", *place, "--scheduler-file", str(file))
        while not (file.exists() and file.read_text()):
            assert started[0].poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            worker()
        yield address, worker
    finally:
        for process in started:
            process.kill()
            process.wait(30)


@contextmanager
def connected(address: str) -> Iterator[DistributedExecutor]:
    from latentscan.cluster.connect import connect

    with connect(
        scheduler=address, cluster=None, profile=None, insecure=False, say=lambda _: None
    ) as cluster:
        yield cluster


def until(home: str, job_id: str, reached: Callable[[JobRecord], bool]) -> JobRecord:
    for _ in range(1200):
        record = read_record(home, job_id)
        if reached(record):
            return record
        time.sleep(0.05)
    raise AssertionError(record)
