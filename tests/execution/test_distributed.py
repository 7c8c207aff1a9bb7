from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster, get_worker

from latentscan.cluster.diagnostics import inspect
from latentscan.errors import ClusterError, StoreError, TaskError, UsageError
from latentscan.execution.context import Execution
from latentscan.execution.distributed import POLL_EVERY_S, DistributedExecutor
from latentscan.execution.executor import Control, Stopped, ignore_progress
from latentscan.execution.monitor import TaskMonitor
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.execution.worker import TaskId
from latentscan.scan.reduce import map_reduce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Future, Worker


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests


@pytest.fixture(scope="module")
def cluster() -> Iterator[DistributedExecutor]:
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as started,
        Client(started) as client,
    ):
        yield DistributedExecutor(client)


def wait_for(file: Path) -> None:
    """Wait for a file, which is how processes signal each other here."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.01)


def run_until_stopped(control: Control) -> None:
    while not control.stopped():
        time.sleep(0.01)


def shape(one: str, other: str) -> str:
    return f"({one} {other})"


@pytest.mark.parametrize("items", [1, 4, 5, 21])
def test_the_tree_has_the_same_shape_as_in_this_process(cluster: DistributedExecutor, items: int) -> None:
    trees = [
        map_reduce(range(items), str, shape, Execution(executor), label="test")
        for executor in (cluster, ThreadedExecutor(1))
    ]
    assert trees[0] == trees[1]


def test_results_come_in_the_order_of_the_items(cluster: DistributedExecutor, tmp_path: Path) -> None:
    def work(item: int, _control: Control) -> int:
        if item == 0:
            wait_for(tmp_path / "9")
        (tmp_path / str(item)).touch()
        return item

    done: list[int] = []
    assert cluster.run_tasks(work, range(10), on_done=done.append) == list(range(10))
    assert sorted(done) == list(range(10))


def test_a_few_tasks_run_at_once_on_different_workers(cluster: DistributedExecutor, tmp_path: Path) -> None:
    def work(item: int, _control: Control) -> int:
        (tmp_path / str(item)).touch()
        wait_for(tmp_path / str(1 - item))
        return os.getpid()

    assert len(set(cluster.run_tasks(work, range(2)))) == 2


def test_workers_reuse_the_memory_of_arrays(cluster: DistributedExecutor) -> None:
    def work(_item: int, _control: Control) -> int:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            np.ones(2**20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages = 8 * 2**20 // os.sysconf("SC_PAGESIZE")  # of one array
    assert max(cluster.run_tasks(work, range(4))) < 20 * pages


def test_nothing_to_do_is_nothing(cluster: DistributedExecutor) -> None:
    assert cluster.run_tasks(lambda item, _: item, []) == []


def test_the_progress_of_tasks_is_reported_and_adds_up(cluster: DistributedExecutor) -> None:
    heard: list[int] = []
    figures: dict[str, float] = {}

    def report(amount: int, /, **said: float) -> None:
        heard.append(amount)
        figures.update(said)

    def work(item: int, control: Control) -> None:
        for _ in range(5):
            control.advance(item, loss=np.float64(0.5))

    cluster.run_tasks(work, [1, 2, 3], report=report)
    assert sum(heard) == 30
    assert figures == {"loss": 0.5}


def test_leaves_are_counted_once_each(cluster: DistributedExecutor) -> None:
    counted: list[None] = []
    cluster.map_reduce(int, lambda a, b: a + b, range(50), on_done=lambda: counted.append(None))
    assert len(counted) == 50


def test_an_error_names_its_item_and_drops_the_other_tasks(
    cluster: DistributedExecutor, tmp_path: Path
) -> None:
    def work(item: int, control: Control) -> None:
        if item == 1:
            wait_for(tmp_path / "begun")
            raise ZeroDivisionError("no such thing")
        (tmp_path / "begun").touch()
        run_until_stopped(control)
        (tmp_path / "stopped").touch()
        raise Stopped

    with pytest.raises(TaskError, match=r"block 1: ZeroDivisionError: no such thing"):
        cluster.run_tasks(work, range(2), describe=lambda item: f"block {item}")
    assert (tmp_path / "stopped").exists(), "it does not return while a task runs"


def test_errors_of_the_library_come_as_they_are(cluster: DistributedExecutor) -> None:
    def leaf(item: int) -> int:
        raise StoreError(f"chunk {item} is damaged")

    with pytest.raises(StoreError, match="chunk 0 is damaged"):
        cluster.map_reduce(leaf, lambda a, b: a + b, [0])


def test_an_interruption_drops_the_tasks_and_waits_for_those_that_run(
    cluster: DistributedExecutor, tmp_path: Path
) -> None:
    def work(item: int, control: Control) -> None:
        if not item:
            wait_for(tmp_path / "begun")
            return
        (tmp_path / "begun").touch()
        run_until_stopped(control)
        time.sleep(0.3)  # longer than a run that does not wait would take to return
        (tmp_path / "saved").touch()

    def interrupt(_item: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.run_tasks(work, range(2), on_done=interrupt)
    assert (tmp_path / "saved").exists()


def test_a_heartbeat_can_end_it(cluster: DistributedExecutor) -> None:
    def work(_item: int, control: Control) -> None:
        run_until_stopped(control)

    class CancelledError(Exception):
        pass

    def heartbeat() -> None:
        raise CancelledError

    watched = DistributedExecutor(cluster.client, heartbeat=heartbeat)
    with pytest.raises(CancelledError):
        watched.run_tasks(work, [0])


def test_a_payload_is_unpickled_once_by_a_worker(cluster: DistributedExecutor, tmp_path: Path) -> None:
    class Counted:
        def __reduce__(self) -> tuple[Any, ...]:
            return _opened, (str(tmp_path),)

    common = Counted()

    def work(item: int, _control: Control) -> int:
        assert common is not None
        return item

    for _ in range(2):
        cluster.run_tasks(work, range(20))
    processes = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    assert len(processes) == len(set(processes)) <= 2


def _opened(folder: str) -> object:
    Path(folder, f"{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}").touch()
    return object()


def test_large_things_reach_the_workers_without_a_warning(cluster: DistributedExecutor) -> None:
    rows = np.arange(5_000_000, dtype=np.float64)
    found = cluster.run_tasks(lambda item, _control: float(rows[item]), [0, 4_999_999])
    assert found == [0.0, 4_999_999.0]


@pytest.fixture
def offer(cluster: DistributedExecutor) -> Iterator[Callable[[float], None]]:
    """Let one worker offer GPUs, until the test ends."""
    worker = min(cluster.scheduler_info(workers=True)["workers"])

    def set_to(amount: float) -> None:
        async def offered(dask_worker: Worker) -> None:
            await dask_worker.set_resources(GPU=amount)

        cluster.client.run(offered, workers=[worker])

    yield set_to
    set_to(0)


@pytest.mark.parametrize(("said", "asked"), [(0.5, 0.5), (1, 1), (4, 1)])
def test_tasks_that_need_a_gpu_ask_for_one(
    cluster: DistributedExecutor, offer: Callable[[float], None], said: float, asked: float
) -> None:
    def work(_item: int, _control: Control) -> dict[str, float]:
        worker = get_worker()
        return worker.state.tasks[worker.get_current_task()].resource_restrictions or {}

    offer(asked)
    with_gpus = DistributedExecutor(cluster.client, resources={"GPU": said})
    assert with_gpus.run_tasks(work, [0, 1], accelerated=True) == [{"GPU": asked}] * 2
    assert with_gpus.run_tasks(work, [0]) == [{}]
    assert cluster.run_tasks(work, [0], accelerated=True) == [{}]


def test_gpus_that_no_worker_offers_are_an_error(
    cluster: DistributedExecutor, offer: Callable[[float], None]
) -> None:
    expecting = DistributedExecutor(cluster.client, resources={"GPU": 1})
    for too_little in (None, 0.5):
        if too_little:
            offer(too_little)
        with pytest.raises(UsageError, match=r"no worker offers GPU=1, .*`--resources GPU=1`, or drop"):
            expecting.run_tasks(lambda item, _control: item, [0], accelerated=True)
    assert expecting.run_tasks(lambda item, _control: item, [0]) == [0]


def test_a_lost_result_is_polled_until_it_is_recomputed(cluster: DistributedExecutor, tmp_path: Path) -> None:
    looked_at: list[float] = []

    def work(_item: int, _control: Control) -> int:
        if (tmp_path / "lost").exists():
            wait_for(tmp_path / "again")
        return os.getpid()

    class Losing(DistributedExecutor):
        def _is_finished(self, future: Future[Any], monitor: TaskMonitor) -> bool:
            if not looked_at:
                (tmp_path / "lost").touch()
                os.kill(future.result(), signal.SIGKILL)
                while future.status == "finished":
                    time.sleep(0.01)
            looked_at.append(time.monotonic())
            if len(looked_at) == 3:
                (tmp_path / "again").touch()
            return super()._is_finished(future, monitor)

    [process] = Losing(cluster.client).run_tasks(work, [0])
    cluster.client.wait_for_workers(2)
    assert psutil.pid_exists(process)
    assert looked_at[2] - looked_at[0] > 1.5 * POLL_EVERY_S


def test_payloads_and_their_copies_are_named_in_errors(cluster: DistributedExecutor, tmp_path: Path) -> None:
    names: list[str] = []

    def work(item: int, _control: Control) -> None:
        if item:
            wait_for(tmp_path / "named")

    def name(_item: int) -> None:
        """Name what the scheduler knows besides tasks: a payload, and its copy for the task that runs."""
        monitor = TaskMonitor([TaskId("other", 0, "block 0", "topic")], ignore_progress)
        keys = cluster.client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        names.extend(monitor.name(key) for key in keys if not re.search(r"-\d{9}$", key))
        (tmp_path / "named").touch()

    cluster.run_tasks(work, range(2), on_done=name)
    assert len(names) >= 2
    assert set(names) == {"sending the task to the workers"}


def test_two_runs_at_once_on_a_client_report_their_own_tasks(cluster: DistributedExecutor) -> None:
    def work(item: int, control: Control) -> None:
        control.advance(item)

    def heard(item: int) -> int:
        told: list[int] = []
        DistributedExecutor(cluster.client).run_tasks(
            work, [item] * 4, report=lambda more, /, **_: told.append(more)
        )
        return sum(told)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(heard, [1, 10])) == [4, 40]


def test_events_are_logged_under_the_client_and_dropped_with_it(
    cluster: DistributedExecutor,
) -> None:
    DistributedExecutor(cluster.client).run_tasks(lambda item, _control: item, [0])
    topics = cluster.client.get_events()
    told = {topic for topic, events in topics.items() if any(not isinstance(one, dict) for _, one in events)}
    assert told == {cluster.client.id}


def test_what_is_announced_is_known_to_other_clients(cluster: DistributedExecutor) -> None:
    cluster.announce("a job", {"store": "z.zarr"})
    with Client(cluster.client.scheduler.address) as other:  # type: ignore[union-attr]
        assert DistributedExecutor(other).announced()["a job"] == {"store": "z.zarr"}


def test_a_scheduler_that_is_gone_is_an_error() -> None:
    started = LocalCluster(
        n_workers=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )
    client = Client(started, timeout=3)
    lost = DistributedExecutor(client)
    assert lost.count
    started.close()
    try:
        with pytest.raises(ClusterError, match="lost"):
            lost.run_tasks(lambda item, _control: item, [0])
        with pytest.raises(ClusterError, match="lost"):
            inspect(lost)
    finally:
        client.close()
