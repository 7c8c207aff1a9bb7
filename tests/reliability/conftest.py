"""Clusters of real processes that can be hurt, commands that run on them, and what they should find."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from distributed import Client

    from latentscan.execution.distributed import DistributedExecutor

T = TypeVar("T")

PATIENCE_S = 120.0  # with what takes seconds on a machine that is not busy
STOPPED_S = 90.0  # less than Dask's worker-ttl: a worker that is silent for longer is given up
ROWS, BLOCK_ROWS = 31_000, 4000
ANALYSES: dict[str, dict[str, Any]] = {
    # one long task for each of two workers
    "kmeans": {"k": "4:24:4", "seeds": 1, "passes": 24, "batch_rows": 1000, "reference": False},
    # so many points that neighbours are searched for approximately, in more tasks than the store has blocks
    "tsne": {"points": 30_500, "iterations": 20, "perplexity": 10},
}


class Command:
    """`latentscan ...`, running."""

    def __init__(self, folder: Path, arguments: tuple[str | Path, ...]) -> None:
        self._log = folder / f"{arguments[0]}-{time.monotonic_ns()}"
        environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
        with self._log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "latentscan", *map(str, arguments)],
                stdout=stream,
                stderr=stream,
                cwd=folder,
                env={**environment, "COLUMNS": "80"},
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """All that it wrote."""
        return self._log.read_text()

    def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end, without a traceback, and give its exit code."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s:.0f} s: {self.said}") from None
        assert "Traceback" not in self.said, self.said
        assert "Warning" not in self.said, self.said
        return code

    def kill(self) -> None:
        """Leave nothing of it."""
        _kill(self.process)


class Site:
    """A scheduler and its workers, each a process, and a client that watches them.

    A worker that is lost comes back where workers have `nannies`.
    """

    def __init__(self, folder: Path, *, workers: int = 2, nannies: bool = False) -> None:
        self._folder = folder
        self._file = folder / f"scheduler-{time.monotonic_ns()}.json"
        self._client: Client | None = None
        self.processes = [self._start("scheduler", "--port", "0")]
        try:
            self.address = self.wait_for("the scheduler", self._found)
            nanny = "--nanny" if nannies else "--no-nanny"
            for _ in range(workers):
                options = ("--nthreads", "1", "--local-directory", str(folder), nanny)
                self.processes.append(self._start("worker", self.address, *options))
            self.client.wait_for_workers(workers, PATIENCE_S)
        except BaseException:
            self.close()
            raise

    def _start(self, part: str, *arguments: str) -> subprocess.Popen[bytes]:
        where = ("--host", "127.0.0.1", "--no-dashboard")
        file = ("--scheduler-file", str(self._file)) if part == "scheduler" else ()
        return subprocess.Popen(
            [sys.executable, "-m", "dask", part, *arguments, *where, *file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            start_new_session=True,
        )

    def _found(self) -> str | None:
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return str(json.loads(self._file.read_text())["address"])
        return None

    @property
    def client(self) -> Client:
        """A client that watches."""
        from distributed import Client

        if self._client is None:
            self._client = Client(self.address, set_as_default=False, timeout=PATIENCE_S, name="watcher")
        return self._client

    def wait_for(self, what: str, found: Callable[[], T | None], command: Command | None = None) -> T:
        """Look again and again until something is found, which is while a command runs if one is given."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if result := found():
                return result
            assert command is None or command.process.poll() is None, f"{what} not seen: {command.said}"
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {PATIENCE_S:.0f} s: {command and command.said}")

    def at_work(self, number: int = 0, amount: int = 0) -> tuple[str, str] | None:
        """Find a task at work, of this number in its run and so far advanced at least, and its worker."""
        told = {}
        for topic, events in self.client.get_events().items():
            for _, event in events if topic.startswith("Client-") else ():
                if isinstance(event, list | tuple):  # not what the scheduler logs of the client
                    run, task, where, done, _ = event
                    told[f"latentscan-{run}-{task:09d}"] = where and task >= number and done >= amount
        for worker, keys in self.client.processing().items():
            for key in keys:
                if told.get(key):
                    return key, worker
        return None

    def kill_worker_of(self, key: str) -> None:
        """End the worker of a task at once."""
        worker = next(worker for worker, keys in self.client.processing().items() if key in keys)
        os.kill(self._pid(worker), signal.SIGKILL)

    def stop_at_work(self, command: Command, number: int = 0, amount: int = 0) -> int:
        """Stop the process of a worker that is in the middle of such a task, and give its id."""
        while True:
            key, worker = self.wait_for("a task", lambda: self.at_work(number, amount), command)
            pid = self._pid(worker)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.2)  # events that it sent before have arrived by then
            if key in self.client.processing().get(worker, ()):
                return pid
            os.kill(pid, signal.SIGCONT)

    def connected(self, profile: Path | None = None) -> AbstractContextManager[DistributedExecutor]:
        """Reach it as commands do; a profile may say how patient to be."""
        from latentscan.cluster.connect import connect

        return connect(
            scheduler=None if profile else self.address,
            cluster=profile,
            profile="here" if profile else None,
            insecure=False,
            say=lambda _: None,
        )

    def impatient(self) -> Path:
        """Write the file of a profile, `here`, that waits for workers no longer than 2 s."""
        file = self._folder / "impatient.yaml"
        file.write_text(f"profiles: {{here: {{address: '{self.address}', workers_timeout: 2}}}}")
        return file

    def is_idle(self) -> bool:
        """Return whether the scheduler knows no task of latentscan, and no worker is at one."""
        if any(key.startswith("latentscan-") for keys in self.client.processing().values() for key in keys):
            return False
        return not any(self.client.run(lambda dask_worker: len(dask_worker.state.executing)).values())

    def _pid(self, worker: str) -> int:
        return int(self.client.run(os.getpid, workers=[worker])[worker])

    def kill_workers(self) -> None:
        """End all workers at once."""
        for process in self.processes[1:]:
            _kill(process)

    def kill_scheduler(self) -> None:
        """End the scheduler at once."""
        self._leave()
        _kill(self.processes[0])

    def close(self) -> None:
        """Leave nothing of it."""
        self._leave()
        for process in self.processes:
            _kill(process)

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close(5)
            self._client = None


@dataclass
class Frozen:
    """A command one of whose workers is stopped for long, and where its results will be."""

    command: Command
    results: Path
    was_running: bool | None = None  # when the worker was let go on; None before

    def thaw(self, worker: int) -> None:
        """Let the worker go on."""
        self.was_running = self.command.process.poll() is None
        os.kill(worker, signal.SIGCONT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run last what waits for a stopped worker: all other tests of the session run meanwhile."""
    items.sort(key=lambda item: "frozen" in getattr(item, "fixturenames", ()))


def numbers(store: Path) -> dict[str, str]:
    """Return the hash of every chunk of every array of a store, by its path."""
    files = {str(path.relative_to(store)): path for path in store.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.name != "zarr.json" and "tsne-state" not in name
    }


def analysis(name: str, *where: str | Path) -> tuple[str | Path, ...]:
    """Return the command of an analysis that takes some seconds."""
    given = [(key.replace("_", "-"), value) for key, value in ANALYSES[name].items()]
    options = [f"--no-{key}" if value is False else f"--{key}={value}" for key, value in given]
    return (name, *options, *where)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with the workers of a nanny, and with those that are stopped
    process.wait(30)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that is not the repository, for all."""
    return tmp_path_factory.mktemp("faults")


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Command]]:
    """Start a command that ends with the test."""
    started: list[Command] = []

    def begin(*arguments: str | Path) -> Command:
        started.append(Command(folder, arguments))
        return started[-1]

    yield begin
    for command in started:
        command.kill()


@pytest.fixture
def analyse(start: Callable[..., Command], latents: Path) -> Callable[..., Command]:
    """Start an analysis of the latents on a cluster."""

    def begin(name: str, results: Path, *on: str | Path) -> Command:
        return start(*analysis(name, "--store", latents, "--results", results, *on))

    return begin


@pytest.fixture(scope="session")
def parameters() -> dict[str, dict[str, Any]]:
    """Return the parameters of analyses that take some seconds."""
    return ANALYSES


@pytest.fixture(scope="session", name="numbers")
def _numbers() -> Callable[[Path], dict[str, str]]:
    return numbers


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[Site]:
    """Return a cluster whose workers come back."""
    running = Site(folder, nannies=True)
    yield running
    running.close()


@pytest.fixture
def new_site(folder: Path) -> Iterator[Callable[..., Site]]:
    """Start a cluster that ends with the test, and whose workers do not come back."""
    started: list[Site] = []

    def begin(workers: int = 2) -> Site:
        started.append(Site(folder, workers=workers))
        return started[-1]

    yield begin
    for running in started:
        running.close()


@pytest.fixture(scope="session")
def latents(folder: Path) -> Path:
    """Return a store of z-points, which no test writes into."""
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 4, (30, 24))
    np.save(folder / "z.npy", rng.normal(centres[rng.integers(0, 30, ROWS)]).astype(np.float32))
    ingest({"z": folder / "z.npy"}, str(folder / "z.zarr"), chunk_rows=BLOCK_ROWS)
    return folder / "z.zarr"


@pytest.fixture(scope="session")
def undisturbed(folder: Path, latents: Path) -> Callable[[str], dict[str, str]]:
    """Return what an analysis finds in one process, on a good day."""
    found: dict[str, dict[str, str]] = {}

    def find(name: str) -> dict[str, str]:
        if name not in found:
            results = folder / f"undisturbed-{name}"
            command = Command(folder, analysis(name, "--store", latents, "--results", results))
            try:
                assert command.ended() == 0, command.said
            finally:
                command.kill()
            found[name] = numbers(results)
        return found[name]

    return find


@pytest.fixture(scope="session")
def frozen(folder: Path, latents: Path) -> Iterator[Frozen]:
    """Stop a worker in the middle of k-means, for those who come back to it later."""
    site, results = Site(folder), folder / "frozen"
    on = ("--store", latents, "--results", results, "--scheduler", site.address)
    command = Command(folder, analysis("kmeans", *on))
    try:
        stopped = Frozen(command, results)
        timer = threading.Timer(STOPPED_S, stopped.thaw, [site.stop_at_work(command, amount=5)])
        timer.start()
        yield stopped
        timer.cancel()
    finally:
        command.kill()
        site.close()


@pytest.fixture(scope="session", autouse=True)
def _frozen_early(request: pytest.FixtureRequest) -> None:
    """Begin with what takes long, if a test of the session needs it, so that other tests run meanwhile."""
    if any("frozen" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("frozen")
