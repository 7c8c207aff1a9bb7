"""Probe a scheduler before connecting: whether its address is safe, and why it cannot be reached.

Dask retries until its time is up, and then reports no more than that; one probe finds the reason.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

from latentscan.errors import ClusterError, UsageError, parameter, shown

Security = Any  # distributed's, whose attributes have no types
STARTUP_S = 3.0  # a scheduler that was started just now does not listen yet
TCP_TIMEOUT_S = 4.0
IDLE_GREETING_S = 1.0  # a scheduler that is not busy greets sooner
GREETING_TIMEOUT_S = 5.0
_EXPECTED = "expected tcp://HOST:PORT or tls://HOST:PORT"
_SAFE_SCHEMES = ("tls", "gateway", "inproc")
# why the other side refuses our certificate, by the name of its alert
_REFUSALS = {
    "CERTIFICATE_EXPIRED": "it has expired",
    "UNKNOWN_CA": "another authority signed it than the scheduler's ca_file holds",
}


def check_safe(address: str, *, insecure: bool) -> None:
    """Refuse an address whose traffic others could read or change, unless the user vouches for the network.

    Parameters
    ----------
    address
        Of a scheduler, such as ``tcp://HOST:PORT``.
    insecure
        Whether the user vouches for the network.

    Raises
    ------
    UsageError
        If it is neither on this machine nor encrypted.
    """
    parts = _parts(address)
    if insecure or parts.scheme in _SAFE_SCHEMES or _is_loopback(parts.hostname or ""):
        return
    raise UsageError(
        f"{address}: not encrypted: anyone on the network between could read the data and run code on the "
        f"workers; use tls:// with certificates, or {parameter('insecure', value=True)} where you trust the "
        "network"
    )


def probe_scheduler(address: str, security: Security, *, insecure: bool) -> None:
    """Connect without Dask, and check that a scheduler greets in the way the address says.

    Parameters
    ----------
    address
        ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
    security
        Dask's; it has the TLS files.
    insecure
        Whether the user vouches for a network on which traffic is not encrypted.

    Raises
    ------
    UsageError
        If the address is malformed or unsafe, or needs certificates that were not given.
    ClusterError
        If nothing listens there, or it is no scheduler, or one side rejects the other's certificate.
    """
    parts = _parts(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in {"tcp", "tls"} or not host or not port:
        raise UsageError(f"{shown(address)}: {_EXPECTED}")
    check_safe(address, insecure=insecure)
    context = _tls_context(address, security) if parts.scheme == "tls" else None
    try:
        with _connect(host, port) as connection:
            if context is None:
                problem = _problem_of_plain(connection)
            else:
                problem = _problem_of_tls(connection, context, security)
    except socket.gaierror:
        problem = f"no machine is called {host}; check the address"
    except TimeoutError:
        problem = f"no answer within {TCP_TIMEOUT_S:g} s; is a firewall between?"
    except ConnectionRefusedError:
        problem = "nothing listens there; `dask scheduler` starts one"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise ClusterError(f"{address}: {problem}")


def _parts(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # of half an IPv6 address
        raise UsageError(f"{shown(address)}: {_EXPECTED}") from None


def _connect(host: str, port: int) -> socket.socket:
    """Connect; try again for `STARTUP_S` where the connection is refused."""
    deadline = time.monotonic() + STARTUP_S
    while True:
        try:
            return socket.create_connection((host, port), TCP_TIMEOUT_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _problem_of_plain(connection: socket.socket) -> str | None:
    """Return what is wrong with a peer that should be a scheduler without encryption."""
    if _sends_greeting(connection, IDLE_GREETING_S):
        return None
    if _speaks_tls(connection.getpeername()[:2]):
        return "the scheduler speaks TLS: use tls:// and a profile with its certificates"
    if _sends_greeting(connection, GREETING_TIMEOUT_S):
        return None
    return "something listens there, but does not answer as a scheduler does"


def _sends_greeting(connection: socket.socket, within_s: float) -> bool:
    """Return whether the peer sends something first, as schedulers do."""
    connection.settimeout(within_s)
    try:
        return bool(connection.recv(1))
    except (TimeoutError, ConnectionResetError):
        return False


def _speaks_tls(peer: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to learn the protocol: nothing is sent after the handshake
    try:
        with socket.create_connection(peer, IDLE_GREETING_S) as connection, context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _problem_of_tls(connection: socket.socket, context: ssl.SSLContext, security: Security) -> str | None:
    """Return what is wrong with a peer that should be a scheduler with TLS."""
    connection.settimeout(GREETING_TIMEOUT_S)
    try:
        with context.wrap_socket(connection) as encrypted:
            if encrypted.recv(1):  # in TLS 1.3 a refusal of our certificate comes only now
                return None
    except ssl.SSLCertVerificationError as error:
        return (
            f"the scheduler's certificate is not accepted: {error.verify_message} "
            f"(checked with {security.tls_ca_file})"
        )
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        if "ALERT" not in reason:
            return f"the scheduler does not speak TLS: use tcp:// if it has no certificates ({reason})"
        alert = reason.lower().replace("_", " ")
        why = next((text for name, text in _REFUSALS.items() if name in reason), alert)
        return f"the scheduler refuses the certificate {security.tls_client_cert}: {why}"
    except (TimeoutError, ConnectionResetError):
        pass
    return "something listens there, but does not answer as a TLS scheduler does"


def _tls_context(address: str, security: Security) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext | None = security.get_connection_args("client")["ssl_context"]
    except (OSError, ssl.SSLError) as error:
        files = f"{security.tls_ca_file}, {security.tls_client_cert}, {security.tls_client_key}"
        raise UsageError(
            f"{address}: {files}: {error.strerror or error}; expected a CA, a certificate and its key, as PEM"
        ) from None
    if context is None:
        raise UsageError(
            f"{address}: tls:// needs certificates: name a profile ({parameter('profile')}) with security: "
            "ca_file, cert and key"
        )
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
