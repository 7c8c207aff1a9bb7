"""Jobs that are left running on a cluster."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.errors import UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs import detached as detached_module
from latentscan.jobs.detached import run_detached, submit_detached
from latentscan.jobs.record import read_record, request_cancel
from latentscan.jobs.run import begin_record
from tests.jobs.examples import LONG, connected, dask_cluster, job, last, until

if TYPE_CHECKING:
    from pathlib import Path


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
        assert (on.steps[0].cached, on.submitted, on.started) == (True, record.submitted, running.started)
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
    ended = read_record(store, record.id)
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
        assert read_record(store, record.id).state == "waiting"
        (there / "go").touch()
        occupied.result()
        assert until(store, record.id, lambda found: found.has_ended).state == "done"
