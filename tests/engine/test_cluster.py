from __future__ import annotations

import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest
from distributed import Client, LocalCluster

from latentscan.engine.cluster import Cluster
from latentscan.engine.tasks import Control, Stopped
from latentscan.engine.threads import Threads
from latentscan.engine.tree import map_reduce
from latentscan.errors import ClusterError, StoreError, TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
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
        yield Cluster(client, resources={"GPU": 1})


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.02)


def shape(one: str, other: str) -> str:
    return f"({one} {other})"


@pytest.mark.parametrize("items", [1, 4, 5, 21])
def test_the_tree_has_the_same_shape_as_in_this_process(cluster: Cluster, items: int) -> None:
    trees = [
        map_reduce(range(items), str, shape, label="test", workers=workers)
        for workers in (cluster, Threads(1))
    ]
    assert trees[0] == trees[1]


def test_results_come_in_the_order_of_the_items(cluster: Cluster) -> None:
    def work(item: int, _control: Control) -> int:
        time.sleep(0.05 * (item == 0))
        return item

    done: list[int] = []
    assert cluster.run_tasks(work, range(10), finished=done.append) == list(range(10))
    assert sorted(done) == list(range(10))


def test_a_few_tasks_run_at_once_on_different_workers(cluster: Cluster) -> None:
    def work(_item: int, _control: Control) -> int:
        time.sleep(0.2)
        return os.getpid()

    assert len(set(cluster.run_tasks(work, range(2)))) == 2


def test_workers_keep_the_memory_of_arrays_for_the_next_ones(cluster: Cluster) -> None:
    def work(_item: int, _control: Control) -> int:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            np.ones(2**20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages = 8 * 2**20 // os.sysconf("SC_PAGESIZE")  # of one array
    assert max(cluster.run_tasks(work, range(4))) < 20 * pages


def test_nothing_to_do_is_nothing(cluster: Cluster) -> None:
    assert cluster.run_tasks(lambda item, _: item, []) == []


def test_what_tasks_say_of_their_advance_is_heard_and_adds_up(cluster: Cluster) -> None:
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


def test_leaves_are_counted_once_each(cluster: Cluster) -> None:
    counted: list[None] = []
    cluster.map_reduce(int, lambda a, b: a + b, range(50), finished=lambda: counted.append(None))
    assert len(counted) == 50


def test_an_error_names_its_item_and_drops_the_other_tasks(cluster: Cluster, tmp_path: Path) -> None:
    def work(item: int, control: Control) -> None:
        if item == 1:
            wait_for(tmp_path / "begun")
            raise ZeroDivisionError("no such thing")
        (tmp_path / "begun").touch()
        while not control.stopped():
            time.sleep(0.02)
        (tmp_path / "stopped").touch()
        raise Stopped

    with pytest.raises(TaskError, match=r"block 1: ZeroDivisionError: no such thing"):
        cluster.run_tasks(work, range(2), describe=lambda item: f"block {item}")
    assert (tmp_path / "stopped").exists(), "it does not return while a task is at work"


def test_errors_of_the_library_come_as_they_are(cluster: Cluster) -> None:
    def leaf(item: int) -> int:
        raise StoreError(f"chunk {item} is damaged")

    with pytest.raises(StoreError, match="chunk 0 is damaged"):
        cluster.map_reduce(leaf, lambda a, b: a + b, [0])


def test_an_interruption_drops_the_tasks_and_waits_for_those_at_work(
    cluster: Cluster, tmp_path: Path
) -> None:
    def work(item: int, control: Control) -> None:
        if not item:
            wait_for(tmp_path / "begun")
            return
        (tmp_path / "begun").touch()
        while not control.stopped():
            time.sleep(0.02)
        time.sleep(0.3)
        (tmp_path / "kept").touch()

    def interrupt(_item: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.run_tasks(work, range(2), finished=interrupt)
    assert (tmp_path / "kept").exists()


def test_a_heartbeat_can_end_it(cluster: Cluster) -> None:
    def work(_item: int, control: Control) -> None:
        while not control.stopped():
            time.sleep(0.02)

    class CancelledError(Exception):
        pass

    def heartbeat() -> None:
        raise CancelledError

    watched = Cluster(cluster.client, heartbeat=heartbeat)
    with pytest.raises(CancelledError):
        watched.run_tasks(work, [0])


def test_what_tasks_have_in_common_is_opened_once_by_a_worker(cluster: Cluster, tmp_path: Path) -> None:
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


def test_large_things_reach_the_workers_without_a_warning(cluster: Cluster) -> None:
    rows = np.arange(5_000_000, dtype=np.float64)
    found = cluster.run_tasks(lambda item, _control: float(rows[item]), [0, 4_999_999])
    assert found == [0.0, 4_999_999.0]


def test_tasks_that_need_a_gpu_ask_for_one(cluster: Cluster) -> None:
    """No worker has one here, so that they wait until patience is over."""
    begun: list[float] = []

    def give_up() -> None:
        begun.append(time.monotonic())
        if len(begun) == 3:
            raise TimeoutError

    waiting = Cluster(cluster.client, resources={"GPU": 1}, heartbeat=give_up)
    with pytest.raises(TimeoutError):
        waiting.run_tasks(lambda item, _control: item, [0], accelerated=True)
    assert waiting.run_tasks(lambda item, _control: item, [0]) == [0]


def test_what_is_announced_is_known_to_other_clients(cluster: Cluster) -> None:
    cluster.announce("a job", {"store": "z.zarr"})
    with Client(cluster.client.scheduler.address) as other:  # type: ignore[union-attr]
        assert Cluster(other).announced()["a job"] == {"store": "z.zarr"}


def test_a_scheduler_that_is_gone_is_an_error() -> None:
    started = LocalCluster(
        n_workers=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )
    client = Client(started, timeout=3)
    lost = Cluster(client)
    assert lost.count
    started.close()
    try:
        with pytest.raises(ClusterError, match="lost"):
            lost.run_tasks(lambda item, _control: item, [0])
    finally:
        client.close()
