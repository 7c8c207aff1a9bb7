"""Reaching and starting clusters: real schedulers, workers and certificates."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from latentscan.cluster import connect as connecting
from latentscan.cluster import preflight
from latentscan.cluster.connect import connect
from latentscan.errors import ClusterError, UsageError
from latentscan.execution import distributed as clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from latentscan.execution.distributed import DistributedExecutor

DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority, and the certificates that it signs."""

    def __init__(self, folder: Path, name: str) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca_file = self._write(name, self._signed(self._name, self._key.public_key(), days=1, ca=True))

    def signs(self, name: str, days: int = 1) -> dict[str, str]:
        """Sign a certificate; it has expired already where days is below zero."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "ca_file": self.ca_file,
            "cert": self._write(f"{name}-cert", self._signed(subject, key.public_key(), days=days, ca=False)),
            "key": self._write(f"{name}-key", private),
        }

    def _signed(self, subject: Any, public: Any, *, days: int, ca: bool) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / f"{name}.pem"
        path.write_bytes(content)
        return str(path)


def tls_options(files: dict[str, str]) -> list[str]:
    return ["--tls-ca-file", files["ca_file"], "--tls-cert", files["cert"], "--tls-key", files["key"]]


@contextmanager
def dask_processes() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give what starts `dask ...`, and end all of it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()  # a worker that is asked to end would look for its scheduler first
            process.wait(30)


def address_in(file: Path) -> str:
    for _ in range(600):
        if file.exists() and (text := file.read_text()):
            return str(json.loads(text)["address"])
        time.sleep(0.05)
    raise AssertionError(f"{file}: the scheduler did not start")


class Places:
    """Schedulers that run, by what is special about them, and certificates."""

    def __init__(self, address: dict[str, str], files: dict[str, dict[str, str]]) -> None:
        self.address = address
        self.files = files


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Schedulers: two with a worker, one of them encrypted; one without; one with an old certificate."""
    folder = tmp_path_factory.mktemp("places")
    ours, others = Authority(folder, "ours"), Authority(folder, "others")
    good, expired = ours.signs("good"), ours.signs("expired", days=-2)
    strange = others.signs("strange")
    files = {
        "good": good,
        "expired": expired,
        "other authority here": {**good, "ca_file": others.ca_file},
        "other authority there": {**strange, "ca_file": ours.ca_file},
    }
    options = {
        "plain": [],
        "empty": [],
        "encrypted": ["--protocol", "tls://", *tls_options(good)],
        "expired": ["--protocol", "tls://", *tls_options(expired)],
    }
    with dask_processes() as start:
        for name, added in options.items():
            place = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
            start("scheduler", *place, "--scheduler-file", str(folder / f"{name}.json"), *added)
        address = {name: address_in(folder / f"{name}.json") for name in options}
        for name, added in {"plain": ["--resources", "GPU=1"], "encrypted": tls_options(good)}.items():
            start("worker", address[name], "--no-nanny", "--nthreads", "1", "--no-dashboard", *added)
        yield Places(address, files)


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], Path]:
    """Write a file with one profile."""

    def write(text: str) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_text(f"default: one\nprofiles:\n  one: {text}\n")
        return path

    return write


def existing(address: str, files: dict[str, str] | None) -> str:
    security = "" if files is None else f", security: {json.dumps(files)}"
    return f"{{address: '{address}'{security}, resources: {{GPU: 1}}, workers_timeout: 30}}"


@contextmanager
def connected(
    path: Path | None = None, *, scheduler: str | None = None, insecure: bool = False
) -> Iterator[tuple[DistributedExecutor, list[str]]]:
    said: list[str] = []
    with connect(
        scheduler=scheduler, cluster=path, profile=None, insecure=insecure, say=said.append
    ) as cluster:
        yield cluster, said


def failure(path: Path | None = None, *, scheduler: str | None = None, insecure: bool = False) -> str:
    """Give why no cluster is reached: one line, within the ten seconds that a user waits at most."""
    began = time.monotonic()
    with pytest.raises(ClusterError) as caught, connected(path, scheduler=scheduler, insecure=insecure):
        pass
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_address_is_reached_and_left_running(places: Places, profile: Callable[[str], Path]) -> None:
    for _ in range(2):
        with connected(profile(existing(places.address["plain"], None))) as (cluster, said):
            assert cluster.stays
            assert cluster.resources == {"GPU": 1}
            assert cluster.patience_s == 30
            assert cluster.client.submit(sum, [1, 2], resources={"GPU": 1}).result() == 3
            assert places.address["plain"] in said[-1]
            assert "dashboard http://127.0.0.1:" in said[-1]


def test_an_encrypted_scheduler_is_reached_with_certificates(
    places: Places, profile: Callable[[str], Path]
) -> None:
    address = places.address["encrypted"]
    assert address.startswith("tls://")
    with connected(profile(existing(address, places.files["good"]))) as (cluster, _):
        assert cluster.client.submit(sum, [1, 2]).result() == 3
    elsewhere = profile(existing("tls://nowhere:1", places.files["good"]))
    with connected(elsewhere, scheduler=address) as (cluster, _):  # the files are the profile's
        assert cluster.client.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize(
    ("place", "files", "why"),
    [
        ("encrypted", "other authority here", "the scheduler's certificate is not accepted: .*others.pem"),
        (
            "encrypted",
            "other authority there",
            "refuses the certificate .*strange-cert.pem: another authority",
        ),
        ("encrypted", "expired", "refuses the certificate .*expired-cert.pem: it has expired"),
        ("expired", "good", "the scheduler's certificate is not accepted: certificate has expired"),
    ],
)
def test_what_is_wrong_with_certificates_is_said(
    places: Places, profile: Callable[[str], Path], place: str, files: str, why: str
) -> None:
    said = failure(profile(existing(places.address[place], places.files[files])))
    assert said.startswith(places.address[place])
    assert re.search(why, said), said


def test_one_side_encrypts_and_the_other_does_not(places: Places, profile: Callable[[str], Path]) -> None:
    to_plain = places.address["plain"].replace("tcp://", "tls://")
    assert "does not speak TLS" in failure(profile(existing(to_plain, places.files["good"])))
    to_encrypted = places.address["encrypted"].replace("tls://", "tcp://")
    assert "speaks TLS: use tls://" in failure(scheduler=to_encrypted)
    with (
        pytest.raises(UsageError, match="tls:// needs certificates"),
        connected(scheduler=places.address["encrypted"]),
    ):
        pass


def test_certificates_that_are_none(places: Places, profile: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    files = {**places.files["good"], "cert": str(tmp_path / "none.pem")}
    path = profile(existing(places.address["encrypted"], files))
    with (
        pytest.raises(UsageError, match=r"none\.pem.*expected a CA, a certificate and its key"),
        connected(path),
    ):
        pass


def test_nothing_that_is_a_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "GREETING_TIMEOUT_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert failure(scheduler=address).startswith(f"{address}: nothing listens there")
        silent.listen()
        assert "does not answer as a scheduler does" in failure(scheduler=address)


def test_no_worker_comes(
    places: Places, profile: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "NOTIFY_EVERY_S", 0.1)
    path = profile(f"{{address: '{places.address['empty']}', workers_timeout: 0.5}}")
    said: list[str] = []
    with (
        pytest.raises(ClusterError, match=r"profile one: no worker within 0\.5 s"),
        connect(scheduler=None, cluster=path, profile=None, insecure=False, say=said.append),
    ):
        pass
    assert said[1].startswith("waiting for a first worker: 0 s of 0.5 s")


def test_a_scheduler_that_dies_is_left_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scheduler.json"
    place = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    with dask_processes() as start:
        scheduler = start("scheduler", *place, "--scheduler-file", str(file))
        start("worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard")
        began = 0.0
        with connected(scheduler=address_in(file)) as (cluster, _):
            assert cluster.count
            scheduler.kill()
            scheduler.wait(30)
            time.sleep(0.5)  # until it is noticed
            began = time.monotonic()
        assert time.monotonic() - began < 10
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("sent", "why"), [(signal.SIGKILL, "the cluster is lost"), (signal.SIGSTOP, "no answer within 1 s")]
)
def test_a_scheduler_is_lost_before_a_worker_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, why: str
) -> None:
    monkeypatch.setattr(connecting, "NOTIFY_EVERY_S", 0.1)
    monkeypatch.setattr(connecting, "CLIENT_TIMEOUT_S", 3)
    file = tmp_path / "scheduler.json"
    place = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    with dask_processes() as start:
        scheduler = start("scheduler", *place, "--scheduler-file", str(file))
        address = address_in(file)

        def say(text: str) -> None:
            if "waiting" in text:
                monkeypatch.setattr(clusters, "REPLY_TIMEOUT_S", 1)
                scheduler.send_signal(sent)

        with (
            pytest.raises(ClusterError, match=f"{address}: .*{why}"),
            connect(scheduler=address, cluster=None, profile=None, insecure=False, say=say),
        ):
            pass


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:8786", "tcp://node1:8786", "tcp://[2001:db8::1]:8786"])
def test_an_address_elsewhere_has_to_be_encrypted(address: str) -> None:
    with (
        pytest.raises(UsageError, match=r"could read the data and run code.*insecure=True"),
        connected(scheduler=address),
    ):
        pass


def test_insecure_vouches_for_an_address() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://0.0.0.0:{closed.getsockname()[1]}"
        assert "nothing listens there" in failure(scheduler=address, insecure=True)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8786", "http://127.0.0.1:8786", "tcp://127.0.0.1", "tcp://a:b"]
)
def test_an_address_that_cannot_be_read(address: str) -> None:
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"), connected(scheduler=address):
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
import sys, time
from latentscan.cluster.connect import connect

if __name__ == "__main__":
    try:
        say = lambda text: None
        with connect(scheduler=None, cluster=None, profile=None, insecure=False, say=say) as cluster:
            print(cluster.client.dashboard_link, flush=True)
            time.sleep(float(sys.argv[1]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@contextmanager
def program(folder: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Run the built-in profile in a process group of its own, as a shell does."""
    (folder / "program.py").write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, "program.py", str(seconds)],
        cwd=folder,
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
    with socket.socket() as taken, program(tmp_path, 0.5) as process:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        except OSError:
            pass  # something else has it: as good
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        addresses = listening(process.pid)
        assert addresses
        assert all(ipaddress.ip_address(address).is_loopback for address in addresses)
        children = workers_of(process.pid)
        assert len(children) == len(os.sched_getaffinity(0))
        _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 0
    assert not psutil.wait_procs(children, timeout=5)[1]


@pytest.mark.parametrize("begun", [True, False])
def test_an_interruption_leaves_no_process(tmp_path: Path, begun: bool) -> None:
    with program(tmp_path, 600) as process:
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
