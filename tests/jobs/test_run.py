"""Running jobs: what the record says of each end, and that nothing is computed twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest
from latentscan.errors import ParameterError, StoreError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs import detached as detached_module
from latentscan.jobs import journal as journal_module
from latentscan.jobs.detached import run_detached, submit_detached
from latentscan.jobs.journal import CancelledJobError, Journal, SupersededError
from latentscan.jobs.plan import all_there, plan_job
from latentscan.jobs.record import read_job, request_cancel
from latentscan.jobs.run import begin_record, submit_job
from latentscan.jobs.spec import Job, job_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.jobs.record import JobRecord, StepRecord
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITE_EVERY_S", "LOOK_EVERY_S", "WAKE_EVERY_S"):
        monkeypatch.setattr(journal_module, name, 0.05)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return store_of(tmp_path, "z.zarr")


def store_of(folder: Path, name: str) -> str:
    rng = np.random.default_rng(len(name))
    np.save(folder / "z.npy", rng.standard_normal((1500, 6)).astype(np.float32))
    ingest({"z": folder / "z.npy"}, str(folder / name), chunk_rows=200)
    return str(folder / name)


def job(stores: Sequence[str], *analyses: Any, **more: Any) -> Job:
    return job_of({"store": list(stores), "analyses": list(analyses), **more}, name="mine", origin="mine")


def submit(asked: Job, **more: Any) -> JobRecord:
    return submit_job(asked, ThreadedExecutor(), begin_record(asked, ThreadedExecutor()), **more)


def last(asked: Job) -> JobRecord:
    from latentscan.jobs.record import list_jobs

    return list_jobs(asked.home)[-1]


def test_a_job_is_run_once(tmp_path: Path) -> None:
    asked = job(
        [store_of(tmp_path, "a.zarr"), store_of(tmp_path, "bb.zarr")],
        "stats",
        {"tsne": {"points": 200, "iterations": 40}},
        {"tsne": {"points": 150, "iterations": 40}},
        {"compare": {"k": "2,3", "seeds": 1, "points": 200, "iterations": 40, "sample": 300}},
    )
    told: list[StepRecord] = []
    first = submit(asked, finished=told.append)
    assert first == read_job(asked.home, first.id)
    assert (first.state, first.exit_code, first.error) == ("done", 0, None)
    assert [(step.name, step.state, step.kept) for step in first.steps] == [
        *[("stats", "done", False)] * 2,
        *[("tsne", "done", False)] * 2,
        ("compare", "done", False),
    ]
    assert told == list(first.steps)
    assert first.steps[1].result == f"{asked.stores[1]}/analyses/stats"
    assert first.started is not None
    assert first.ended is not None
    assert first.submitted <= first.started <= first.ended
    assert first.log[-1][1] == "done"
    results = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("analyses/**/zarr.json")}
    second = submit(asked)
    assert all(step.kept for step in second.steps)
    assert results == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("analyses/**/zarr.json")}
    third = submit(job(asked.stores, "stats"), force=True)
    assert not any(step.kept for step in third.steps)


def test_results_and_records_are_kept_where_the_job_says(store: str, tmp_path: Path) -> None:
    there = str(tmp_path / "there.zarr")
    asked = job([store], "stats", results=there)
    for kept in (False, True):
        record = submit(asked)
        assert [(step.kept, step.result) for step in record.steps] == [(kept, f"{there}/analyses/stats")]
    assert not (tmp_path / "z.zarr" / "jobs").exists()


def test_a_step_that_fails_ends_the_job(store: str) -> None:
    asked = job([store], "stats", {"kmeans": {"k": 5000, "batch_rows": 6000}}, "axes")
    with pytest.raises(UsageError, match="--k 5000"):
        submit(asked)
    record = last(asked)
    assert (record.state, record.exit_code) == ("failed", 2)
    assert record.error is not None
    assert record.error.startswith("--k 5000")
    assert [step.state for step in record.steps] == ["done", "failed", "waiting"]
    assert record.steps[1].error == record.error
    assert submit(job([store], "stats")).steps[0].kept


def test_an_interruption_is_told(store: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    asked = job([store], "stats")
    with pytest.raises(KeyboardInterrupt):
        submit(asked, progress=Watcher(interrupt))
    record = last(asked)
    assert (record.state, record.exit_code, record.steps[0].state) == ("interrupted", 130, "interrupted")
    assert not submit(asked).steps[0].kept


def test_a_record_that_cannot_be_written_hides_no_error(store: str, tmp_path: Path) -> None:
    def lose_the_record() -> None:
        (tmp_path / "z.zarr" / "jobs").rename(tmp_path / "jobs")
        (tmp_path / "z.zarr" / "jobs").write_bytes(b"")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(job([store], "stats"), progress=Watcher(lose_the_record))


def test_a_slow_store_does_not_hold_up_the_work(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(store, begin_record(job([store], "stats"), ThreadedExecutor()))
    writing, go_on = threading.Event(), threading.Event()

    def slowly(_home: str, _record: JobRecord) -> None:
        writing.set()
        assert go_on.wait(60)

    monkeypatch.setattr(journal_module, "write_job", slowly)
    writer = threading.Thread(target=journal._write, kwargs={"owned": False}, daemon=True)
    writer.start()
    assert writing.wait(60)
    with journal.task("a", 2, "b") as advance:
        worker = threading.Thread(target=advance, args=(1,), daemon=True)
        worker.start()
        worker.join(30)
        assert not worker.is_alive()
    go_on.set()
    writer.join(60)


def test_whoever_reaches_the_store_can_end_a_job(store: str, quick: None) -> None:
    asked = job([store], "stats", LONG)
    record = begin_record(asked, ThreadedExecutor())
    with pytest.raises(CancelledJobError):
        submit_job(
            asked, ThreadedExecutor(), record, progress=Watcher(lambda: request_cancel(asked.home, record.id))
        )
    ended = read_job(asked.home, record.id)
    assert (ended.state, ended.exit_code, ended.error) == ("cancelled", 130, None)
    assert "cancelled" in {step.state for step in ended.steps}


def test_a_job_that_was_cancelled_before_it_began(store: str) -> None:
    asked = job([store], "stats")
    record = begin_record(asked, ThreadedExecutor())
    request_cancel(asked.home, record.id)
    ended = read_job(asked.home, record.id)
    assert (ended.state, ended.exit_code) == ("cancelled", 130)  # whether or not a process ever takes it up
    with pytest.raises(CancelledJobError):
        submit_job(asked, ThreadedExecutor(), record)
    assert read_job(asked.home, record.id).state == "cancelled"


def test_what_fails_while_a_job_begins_is_told(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_home: str, _id: str) -> bool:
        raise StoreError("the server has a bad day")

    asked = job([store], "stats")
    monkeypatch.setattr(journal_module, "cancel_requested", fail)
    with pytest.raises(StoreError):
        submit(asked)
    record = last(asked)
    assert (record.state, record.error, record.exit_code) == ("failed", "the server has a bad day", 4)


def test_what_was_computed_anew_is_not_once_more_when_a_job_is_taken_up(store: str) -> None:
    asked = job([store], "stats", "axes")
    submit(asked)
    record = begin_record(asked, ThreadedExecutor())
    first, second = record.steps
    lost = replace(record, state="running", steps=(replace(first, state="done"), second))
    taken_up = submit_job(asked, ThreadedExecutor(), lost, force=True)
    assert [step.kept for step in taken_up.steps] == [True, False]


def test_a_driver_that_was_replaced_ends(store: str, quick: None) -> None:
    asked = job([store], LONG)
    record = begin_record(asked, ThreadedExecutor())
    other = Journal(asked.home, record)

    def replaced() -> None:
        with other.running():
            pass

    with pytest.raises(SupersededError):
        submit_job(asked, ThreadedExecutor(), record, progress=Watcher(replaced))
    assert read_job(asked.home, record.id).driver == other.record.driver


def test_signs_of_life_need_no_reports(store: str, quick: None) -> None:
    record = begin_record(job([store], "stats"), ThreadedExecutor())
    silent = Journal(store, record)
    with silent.running():
        heard: set[str | None] = set()
        while len(heard) < 3:
            heard.add(read_job(store, record.id).heard)
            time.sleep(0.01)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ten faces, of which one is damaged, and a model."""
    import keras

    from latentscan.synth.dataset import synthesize

    folder = tmp_path_factory.mktemp("encoded")
    synthesize(folder / "faces", 10, workers=1)
    next((folder / "faces").rglob("000004.jpg")).write_bytes(b"no image")
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(3, name="z")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(folder / "model.keras")
    return {"images": str(folder / "faces"), "model": str(folder / "model.keras"), "outputs": "z=0"}


def test_encoding_comes_first(tmp_path: Path, encoded: dict[str, Any]) -> None:
    asked = job([str(tmp_path / "z.zarr")], "stats", encode={**encoded, "chunk_rows": 4})
    rejected: list[Any] = []
    for kept in (False, True):
        record = submit(asked, rejected=lambda *told: rejected.append(told))
        assert (record.state, record.exit_code) == ("done", 3)
        assert [(step.name, step.kept) for step in record.steps] == [("encode", kept), ("stats", kept)]
        ((place, summary),) = rejected
        assert place == asked.home
        assert sum(summary.rejected.values()) == 1
        rejected.clear()
    assert all_there(asked)
    again = job(
        [str(tmp_path / "z.zarr")], "stats", encode={**encoded, "chunk_rows": 4, "retry_rejected": "true"}
    )
    assert not all_there(again)
    assert [step.there for step in plan_job(again, workers=1).steps] == [False, False]
    assert not all_there(job([str(tmp_path / "y.zarr")], encode=encoded))
    with pytest.raises(ParameterError) as refused:
        submit(job([str(tmp_path / "y.zarr")], encode={**encoded, "seed": 1}))
    assert refused.value.field == "seed"


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
        record = read_job(home, job_id)
        if reached(record):
            return record
        time.sleep(0.05)
    raise AssertionError(record)


def test_a_detached_job_outlives_its_client_and_its_driver(tmp_path: Path, store: str) -> None:
    asked = job([store], "stats", LONG, "axes")
    with dask_cluster(tmp_path, workers=2) as (address, _):
        with connected(address) as cluster:
            record = submit_detached(asked, cluster)
            assert cluster.announced()[record.id]["store"] == store
        running = until(store, record.id, lambda found: found.steps[1].state == "running")
        assert running.cluster == address
        with connected(address) as cluster:
            (at,) = [
                worker
                for worker, keys in cluster.client.processing().items()
                if f"latentscan-{record.id}" in keys
            ]
            pids = cluster.client.run(os.getpid)
            os.kill(pids[at], signal.SIGKILL)
        again = until(store, record.id, lambda found: found.driver not in ("", running.driver))
        assert "taken up again" in str(again.log)
        on = until(store, record.id, lambda found: found.steps[1].state == "running")
        assert (on.steps[0].kept, on.submitted, on.started) == (True, record.submitted, running.started)
        request_cancel(store, record.id)
        ended = until(store, record.id, lambda found: found.has_ended)
        assert (ended.state, ended.exit_code) == ("cancelled", 130)
        assert [step.state for step in ended.steps] == ["done", "cancelled", "waiting"]


def test_what_fails_before_a_driver_begins_ends_the_job(store: str) -> None:
    asked = job([store], "stats")
    record = begin_record(asked, ThreadedExecutor())
    later = {**asked.document, "mood": "of a later version"}
    nobody: Any = None
    run_detached(nobody, store, later, asked.name, record.id, False)
    ended = read_job(store, record.id)
    assert (ended.state, ended.exit_code) == ("failed", 2)
    assert "mood: unknown key" in str(ended.error)


def test_a_detached_job_needs_what_workers_see(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(tmp_path)
    mine = "/proc/self/cwd"  # the folder of whoever looks: another one on the worker
    model = {"images": str(there), "model": f"{mine}/model.keras"}
    (tmp_path / "model.keras").write_bytes(b"")
    with dask_cluster(tmp_path, workers=1, at=there) as (address, _), connected(address) as cluster:
        for asked, unseen in (
            (job([f"{mine}/z.zarr"], "stats"), f"{mine}/z.zarr"),
            (job([str(tmp_path / "new.zarr")], encode=model), f"{mine}/model.keras"),
        ):
            with pytest.raises(UsageError, match=f"{unseen}: a worker of the cluster does not see it"):
                submit_detached(asked, cluster)
            record = last(asked)
            assert (record.state, record.exit_code) == ("failed", 2)
            assert "does not see it" in str(record.error)
            assert record.id in cluster.announced()

        def occupy() -> None:
            while not (there / "go").exists():
                time.sleep(0.05)

        occupied = cluster.client.submit(occupy)
        monkeypatch.setattr(detached_module, "LOOKED_WITHIN_S", 0.1)
        record = submit_detached(job([store], "stats"), cluster)  # all are busy: it queues up
        assert read_job(store, record.id).state == "waiting"
        (there / "go").touch()
        occupied.result()
        assert until(store, record.id, lambda found: found.has_ended).state == "done"


def test_a_cluster_gives_the_same_and_heeds_the_mark(tmp_path: Path, store: str, quick: None) -> None:
    asked = job([store], LONG)
    with dask_cluster(tmp_path, workers=1) as (address, _), connected(address) as cluster:
        record = begin_record(asked, cluster)
        watcher = Watcher(lambda: request_cancel(asked.home, record.id))
        with pytest.raises(CancelledJobError):
            submit_job(asked, cluster, record, progress=watcher)
        short = job([store], "stats", "axes")
        record = submit_job(short, cluster, begin_record(short, cluster))
        assert cluster.announced()[record.id]["store"] == store
        assert [step.kept for step in record.steps] == [False, False]
        assert record.cluster == address
    assert [step.kept for step in submit(short).steps] == [True, True]
