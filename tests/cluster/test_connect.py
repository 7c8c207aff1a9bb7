"""Connecting to clusters and starting them: real schedulers, workers and certificates."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from latentscan.cluster import connect as connecting
from latentscan.cluster.connect import connect
from latentscan.errors import ClusterError, UsageError
from latentscan.execution import distributed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from latentscan.execution.distributed import DistributedExecutor
    from tests.cluster.conftest import Schedulers


def existing(address: str, files: dict[str, str] | None) -> str:
    security = "" if files is None else f", security: {json.dumps(files)}"
    return f"{{address: '{address}'{security}, resources: {{GPU: 1}}, workers_timeout: 30}}"


@contextmanager
def connected(
    path: Path | None = None, *, scheduler: str | None = None
) -> Iterator[tuple[DistributedExecutor, list[str]]]:
    said: list[str] = []
    with connect(scheduler=scheduler, cluster=path, profile=None, insecure=False, say=said.append) as cluster:
        yield cluster, said


def test_an_address_is_reached_and_left_running(
    schedulers: Schedulers, profile: Callable[[str], Path]
) -> None:
    for _ in range(2):
        with connected(profile(existing(schedulers.address["plain"], None))) as (cluster, said):
            assert cluster.stays
            assert cluster.resources == {"GPU": 1}
            assert cluster.patience_s == 30
            assert cluster.client.submit(sum, [1, 2], resources={"GPU": 1}).result() == 3
            assert schedulers.address["plain"] in said[-1]
            assert "dashboard http://127.0.0.1:" in said[-1]


def test_an_encrypted_scheduler_is_reached_with_certificates(
    schedulers: Schedulers, profile: Callable[[str], Path]
) -> None:
    address = schedulers.address["encrypted"]
    assert address.startswith("tls://")
    with connected(profile(existing(address, schedulers.files["good"]))) as (cluster, _):
        assert cluster.client.submit(sum, [1, 2]).result() == 3
    elsewhere = profile(existing("tls://nowhere:1", schedulers.files["good"]))
    with connected(elsewhere, scheduler=address) as (cluster, _):  # the files are the profile's
        assert cluster.client.submit(sum, [1, 2]).result() == 3


def test_no_worker_comes(
    schedulers: Schedulers, profile: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "NOTIFY_EVERY_S", 0.1)
    path = profile(f"{{address: '{schedulers.address['empty']}', workers_timeout: 0.5}}")
    said: list[str] = []
    with (
        pytest.raises(ClusterError, match=r"profile one: no worker within 0\.5 s"),
        connect(scheduler=None, cluster=path, profile=None, insecure=False, say=said.append),
    ):
        pass
    assert said[1].startswith("waiting for a first worker: 0 s of 0.5 s")


def test_a_scheduler_that_dies_is_left_in_silence(
    new_scheduler: tuple[subprocess.Popen[bytes], str],
    start_dask: Callable[..., subprocess.Popen[bytes]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    scheduler, address = new_scheduler
    start_dask("worker", address, "--no-nanny", "--no-dashboard")
    with connected(scheduler=address) as (cluster, _):
        assert cluster.count
        scheduler.kill()
        scheduler.wait(30)
        while cluster.client.status == "running":
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("sent", "why"), [(signal.SIGKILL, "the cluster is lost"), (signal.SIGSTOP, "no answer within 1 s")]
)
def test_a_scheduler_is_lost_before_a_worker_comes(
    new_scheduler: tuple[subprocess.Popen[bytes], str],
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
    why: str,
) -> None:
    monkeypatch.setattr(connecting, "NOTIFY_EVERY_S", 0.1)
    monkeypatch.setattr(connecting, "CLIENT_TIMEOUT_S", 2)
    scheduler, address = new_scheduler

    def say(text: str) -> None:
        if "waiting" in text:
            monkeypatch.setattr(distributed, "REPLY_TIMEOUT_S", 1)
            scheduler.send_signal(sent)

    with (
        pytest.raises(ClusterError, match=f"{address}: .*{why}"),
        connect(scheduler=address, cluster=None, profile=None, insecure=False, say=say),
    ):
        pass


def test_a_local_cluster_as_the_profile_says(profile: Callable[[str], Path]) -> None:
    path = profile(
        "{class: dask.distributed.LocalCluster, kwargs: {n_workers: 1}, security: true, "
        "resources: {GPU: 1}, env: {HELLO: there, TF_CPP_MIN_LOG_LEVEL: 1}}"
    )
    before = dict(os.environ)
    with connected(path) as (cluster, said):
        assert dict(os.environ) == before  # what nannies set for workers is not for this process
        assert not cluster.stays
        assert cluster.resources == {"GPU": 1}
        [told] = cluster.run_tasks(lambda _item, _control: dict(os.environ), [0])
        assert {told[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"1"}
        assert told["TF_NUM_INTRAOP_THREADS"] == told["TF_NUM_INTEROP_THREADS"] == "1"
        assert told["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        assert told["TF_CPP_MIN_LOG_LEVEL"] == "1"
        assert told["HELLO"] == "there"
        [worker] = cluster.client.scheduler_info()["workers"].values()
        assert worker["resources"] == {"GPU": 1}
        assert worker["nthreads"] == 1
        assert 0 < worker["memory_limit"] <= psutil.virtual_memory().total
        assert "scheduler tls://127.0.0.1:" in said[-1]
    assert dict(os.environ) == before
    assert not workers_of(os.getpid())


def test_a_failure_inside_closes_what_was_started(profile: Callable[[str], Path]) -> None:
    path = profile("{class: dask.distributed.LocalCluster, kwargs: {n_workers: 1}}")
    began = 0

    def fail() -> None:
        nonlocal began
        with connected(path) as (cluster, _):
            began = cluster.count
            assert workers_of(os.getpid())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert began == 1
    assert not workers_of(os.getpid())


def test_a_local_cluster_open_to_the_network_needs_tls(profile: Callable[[str], Path]) -> None:
    path = profile("{class: dask.distributed.LocalCluster, kwargs: {n_workers: 1, host: 0.0.0.0}}")
    with pytest.raises(UsageError, match="not encrypted"), connected(path):
        pass
    assert not workers_of(os.getpid())


@pytest.mark.parametrize("hosts", ["[localhost, node1]", "[node1, localhost]", "['::1', '2001:db8::1']"])
def test_machines_reached_by_ssh_need_tls_before_anything_is_started(
    profile: Callable[[str], Path], hosts: str
) -> None:
    pytest.importorskip("asyncssh")
    path = profile(f"{{class: dask.distributed.SSHCluster, kwargs: {{hosts: {hosts}}}}}")
    said: list[str] = []
    with (
        pytest.raises(UsageError, match=r"tcp://(node1|\[2001:db8::1\]): not encrypted.*insecure=True"),
        connect(scheduler=None, cluster=path, profile=None, insecure=False, say=said.append),
    ):
        pass
    assert not said


def workers_of(process: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(process).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]


PROGRAM = """
import sys
from latentscan.cluster.connect import connect

if __name__ == "__main__":
    try:
        say = lambda text: None
        with connect(scheduler=None, cluster=None, profile=None, insecure=False, say=say) as cluster:
            print(cluster.client.dashboard_link, flush=True)
            sys.stdin.readline()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@contextmanager
def program(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the built-in profile in a process group of its own, as a shell does, until a line is sent to it."""
    (folder / "program.py").write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def listening(process: int) -> set[str]:
    """Every address that a process and its children listen on."""
    everyone = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    return {
        connection.laddr.ip
        for one in everyone
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_the_built_in_profile_is_silent_and_on_loopback_even_where_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken, program(tmp_path) as process:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        except OSError:
            pass  # something else uses it, which serves as well
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        addresses = listening(process.pid)
        assert addresses
        assert all(ipaddress.ip_address(address).is_loopback for address in addresses)
        children = workers_of(process.pid)
        assert len(children) == len(os.sched_getaffinity(0))
        _, errors = process.communicate("end\n", timeout=60)
    assert errors == ""
    assert process.returncode == 0
    assert not psutil.wait_procs(children, timeout=5)[1]


@pytest.mark.parametrize("begun", [True, False])
def test_an_interruption_leaves_no_process(tmp_path: Path, begun: bool) -> None:
    with program(tmp_path) as process:
        assert process.stdout is not None
        if begun:
            process.stdout.readline()
        else:
            while not (started := workers_of(process.pid)):
                time.sleep(0.01)
            assert started
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert output.endswith("interrupted\n")
    assert errors == ""
    assert not psutil.wait_procs(children, timeout=5)[1]
