"""Schedulers of real processes, certificates, and what connects to them."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.cluster.launch import arguments, cluster_class
from latentscan.cluster.profiles import ClusterSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from latentscan.cluster.profiles import Profile

DAY = dt.timedelta(days=1)
ON_LOOPBACK = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")


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
def _dask_processes() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield a function that starts `dask ...`, and end all that it started."""
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


def _address_in(file: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()):
            return str(json.loads(text)["address"])
        time.sleep(0.02)
    raise AssertionError(f"{file}: the scheduler did not start")


class Schedulers:
    """The addresses of running schedulers, and TLS files, by what is special about them."""

    def __init__(self, address: dict[str, str], files: dict[str, dict[str, str]]) -> None:
        self.address = address
        self.files = files


@pytest.fixture(scope="session")
def schedulers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Schedulers]:
    """Schedulers: two with a worker, one of them encrypted; one without; one with an old certificate."""
    folder = tmp_path_factory.mktemp("schedulers")
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
    with _dask_processes() as start:
        for name, added in options.items():
            start("scheduler", *ON_LOOPBACK, "--scheduler-file", str(folder / f"{name}.json"), *added)
        address = {name: _address_in(folder / f"{name}.json") for name in options}
        for name, added in {"plain": ["--resources", "GPU=1"], "encrypted": tls_options(good)}.items():
            start("worker", address[name], "--no-nanny", "--nthreads", "1", "--no-dashboard", *added)
        yield Schedulers(address, files)


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], Path]:
    """Write a file with one profile."""

    def write(text: str) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_text(f"default: one\nprofiles:\n  one: {text}\n")
        return path

    return write


@pytest.fixture
def start_dask() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield a function that starts `dask ...`, which ends with the test."""
    with _dask_processes() as start:
        yield start


@pytest.fixture
def new_scheduler(
    tmp_path: Path, start_dask: Callable[..., subprocess.Popen[bytes]]
) -> tuple[subprocess.Popen[bytes], str]:
    """Return a scheduler of the test's own, and its address."""
    file = tmp_path / "scheduler.json"
    process = start_dask("scheduler", *ON_LOOPBACK, "--scheduler-file", str(file))
    return process, _address_in(file)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write a cluster.yaml."""

    def write(text: str) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has sbatch; it is found and not called."""
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="session")
def spec_of() -> Callable[[Profile], ClusterSpec]:
    """Return what takes the settings of a profile that starts a cluster."""

    def spec(profile: Profile) -> ClusterSpec:
        assert isinstance(profile.settings, ClusterSpec)
        return profile.settings

    return spec


@pytest.fixture(scope="session")
def keywords_of(spec_of: Callable[[Profile], ClusterSpec]) -> Callable[[Profile], dict[str, Any]]:
    """Return what makes the keyword arguments of the cluster of a profile."""

    def keywords(profile: Profile) -> dict[str, Any]:
        spec = spec_of(profile)
        return arguments(cluster_class(spec, profile.where), profile, spec)

    return keywords
