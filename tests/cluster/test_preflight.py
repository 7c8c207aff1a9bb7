"""What is wrong with a scheduler that cannot be reached: real ones, and real certificates."""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from distributed.security import Security

from latentscan.cluster import preflight
from latentscan.cluster.backends.backend import security_of
from latentscan.cluster.preflight import check_safe, probe_scheduler
from latentscan.cluster.profiles import Certificates
from latentscan.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.conftest import Schedulers

ELSEWHERE = ["tcp://192.0.2.1:8786", "tcp://node1:8786", "tcp://[2001:db8::1]:8786"]


def security(files: dict[str, str] | None) -> Any:
    return Security() if files is None else security_of(Certificates(**files))


def failure(address: str, files: dict[str, str] | None = None, *, insecure: bool = False) -> str:
    """Return why no scheduler is reached: one line, within the ten seconds that a user waits at most."""
    began = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        probe_scheduler(address, security(files), insecure=insecure)
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{address}: ")
    return message


@pytest.mark.parametrize(("name", "files"), [("plain", None), ("encrypted", "good")])
def test_schedulers_are_probed_without_complaint(
    schedulers: Schedulers, name: str, files: str | None
) -> None:
    address = schedulers.address[name]
    probe_scheduler(address, security(schedulers.files[files] if files else None), insecure=False)


@pytest.mark.parametrize(
    ("name", "files", "why"),
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
    schedulers: Schedulers, name: str, files: str, why: str
) -> None:
    said = failure(schedulers.address[name], schedulers.files[files])
    assert re.search(why, said), said


def test_one_side_encrypts_and_the_other_does_not(schedulers: Schedulers) -> None:
    to_plain = schedulers.address["plain"].replace("tcp://", "tls://")
    assert "does not speak TLS: use tcp://" in failure(to_plain, schedulers.files["good"])
    to_encrypted = schedulers.address["encrypted"].replace("tls://", "tcp://")
    assert "speaks TLS: use tls://" in failure(to_encrypted)
    with pytest.raises(UsageError, match="tls:// needs certificates"):
        probe_scheduler(schedulers.address["encrypted"], security(None), insecure=False)


def test_certificates_that_are_none(schedulers: Schedulers, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    files = {**schedulers.files["good"], "cert": str(tmp_path / "none.pem")}
    with pytest.raises(UsageError, match=r"none\.pem.*expected a CA, a certificate and its key"):
        probe_scheduler(schedulers.address["encrypted"], security(files), insecure=False)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_nothing_that_is_a_scheduler_answers(
    schedulers: Schedulers, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(preflight, "IDLE_GREETING_S", 0.1)
    monkeypatch.setattr(preflight, "GREETING_TIMEOUT_S", 0.2)
    monkeypatch.setattr(preflight, "STARTUP_S", 0.2)
    files = schedulers.files["good"] if scheme == "tls" else None
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        assert "nothing listens there; `dask scheduler` starts one" in failure(address, files)
        silent.listen()
        assert re.search("does not answer as a (TLS )?scheduler does", failure(address, files))


def test_a_scheduler_that_starts_is_waited_for() -> None:
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))

        def greet() -> None:
            late.listen()
            connection, _ = late.accept()
            with connection:
                connection.sendall(b"hello")

        starting = threading.Timer(0.2, greet)
        starting.start()
        probe_scheduler(f"tcp://127.0.0.1:{late.getsockname()[1]}", security(None), insecure=False)
        starting.join()


def test_a_machine_that_nobody_knows() -> None:
    assert "no machine is called no-such-machine.invalid" in failure(
        "tcp://no-such-machine.invalid:8786", insecure=True
    )


@pytest.mark.parametrize("address", ELSEWHERE)
def test_an_address_elsewhere_has_to_be_encrypted(address: str) -> None:
    with pytest.raises(UsageError, match=r"could read the data and run code.*insecure=True"):
        probe_scheduler(address, security(None), insecure=False)
    with pytest.raises(UsageError) as caught:
        check_safe(address, insecure=False)
    assert "--insecure" in caught.value.spelled("command line")
    check_safe(address, insecure=True)
    check_safe(address.replace("tcp://", "tls://"), insecure=False)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "inproc://a"])
def test_an_address_on_this_machine_is_safe(address: str) -> None:
    check_safe(address, insecure=False)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8786",
        "http://127.0.0.1:8786",
        "tcp://127.0.0.1",
        "tcp://a:b",
        "tcp://[::1",
        "tcp://a:99999",
    ],
)
def test_an_address_that_cannot_be_read(address: str) -> None:
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"):
        probe_scheduler(address, security(None), insecure=False)
