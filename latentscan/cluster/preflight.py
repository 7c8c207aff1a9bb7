"""Looking at a scheduler's address before connecting: whether it is safe, and what is the matter with it.

Dask tries again and again until its time is up, and then knows only that it is; one look says why.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from latentscan.errors import ClusterError, UsageError

Security = Any  # distributed's, whose attributes have no types
BEGUN_WITHIN_S = 3.0
CONNECT_WITHIN_S = 4.0
SPEAK_WITHIN_S = 1.0  # a scheduler that is not busy
ANSWER_WITHIN_S = 5.0
_SAFE = ("tls", "gateway", "inproc")
# what the other side says of our certificate, by the name of its alert
_REFUSALS = {
    "CERTIFICATE_EXPIRED": "it has expired",
    "UNKNOWN_CA": "another authority signed it than the scheduler's ca_file holds",
    "CERTIFICATE_REQUIRED": "none was sent",
    "CERTIFICATE_REVOKED": "it was revoked",
}


def check_safe(address: str, *, insecure: bool) -> None:
    """Refuse an address whose traffic others could read or change, unless the user vouches for the network.

    Raises
    ------
    UsageError
        If it is neither of this machine nor encrypted.
    """
    parts = urlsplit(address)
    if insecure or parts.scheme in _SAFE or _loopback(parts.hostname or ""):
        return
    raise UsageError(
        f"{address}: not encrypted: anyone on the network between could read the data and run code on the "
        "workers; use tls:// with certificates, or --insecure where you trust the network"
    )


def look_at(address: str, security: Security, *, insecure: bool) -> None:
    """Connect without Dask, and see that a scheduler answers in the way that the address says.

    Raises
    ------
    UsageError
        If the address cannot be read or is unsafe, or asks for certificates that nobody gave.
    ClusterError
        If nothing listens there, or it is no scheduler, or the two sides do not accept one another.
    """
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in {"tcp", "tls"} or not host or not port:
        raise UsageError(f"{address}: expected tcp://HOST:PORT or tls://HOST:PORT")
    check_safe(address, insecure=insecure)
    context = _context(address, security) if parts.scheme == "tls" else None
    try:
        with _opened(host, port) as connection:
            if context is None:
                _look_plain(address, (host, port), connection)
            else:
                connection.settimeout(ANSWER_WITHIN_S)
                _look_encrypted(address, connection, context, security)
    except socket.gaierror:
        raise ClusterError(f"{address}: no machine is called {host}; check the address") from None
    except TimeoutError:
        raise ClusterError(
            f"{address}: no answer within {CONNECT_WITHIN_S:g} s; is a firewall between?"
        ) from None
    except ConnectionRefusedError:
        raise ClusterError(f"{address}: nothing listens there; `dask scheduler` starts one") from None
    except OSError as error:
        raise ClusterError(f"{address}: {error.strerror or error}") from None


def _opened(host: str, port: int) -> socket.socket:
    """Connect, if need be a little later: the scheduler may have been started just now."""
    deadline = time.monotonic() + BEGUN_WITHIN_S
    while True:
        try:
            return socket.create_connection((host, port), CONNECT_WITHIN_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _look_plain(address: str, place: tuple[str, int], connection: socket.socket) -> None:
    if _speaks(connection, SPEAK_WITHIN_S):
        return
    if _speaks_tls(place):
        raise ClusterError(
            f"{address}: what answers there speaks TLS: use tls:// and a profile with its certificates"
        )
    if not _speaks(connection, ANSWER_WITHIN_S):
        raise ClusterError(f"{address}: something listens there, but does not answer as a scheduler does")


def _speaks(connection: socket.socket, within_s: float) -> bool:
    """Whether something is said without being asked, as schedulers do."""
    connection.settimeout(within_s)
    try:
        return bool(connection.recv(1))
    except (TimeoutError, ConnectionResetError):
        return False


def _speaks_tls(place: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is only what it speaks: nothing is told to it
    try:
        with (
            socket.create_connection(place, SPEAK_WITHIN_S) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _look_encrypted(
    address: str, connection: socket.socket, context: ssl.SSLContext, security: Security
) -> None:
    try:
        with context.wrap_socket(connection) as encrypted:
            said = encrypted.recv(1)  # TLS 1.3 tells only now that it refuses our certificate
    except ssl.SSLCertVerificationError as error:
        raise ClusterError(
            f"{address}: the scheduler's certificate is not accepted: {error.verify_message} "
            f"(checked with {security.tls_ca_file})"
        ) from None
    except ssl.SSLError as error:
        raise ClusterError(f"{address}: {_refusal(error.reason or str(error), security)}") from None
    except (TimeoutError, ConnectionResetError):
        said = b""
    if not said:
        raise ClusterError(f"{address}: something listens there, but does not answer as a TLS scheduler does")


def _refusal(reason: str, security: Security) -> str:
    if "ALERT" not in reason:
        return f"what answers there does not speak TLS: use tcp:// if the scheduler has none ({reason})"
    said = next(
        (words for name, words in _REFUSALS.items() if name in reason), reason.lower().replace("_", " ")
    )
    return f"the scheduler refuses the certificate {security.tls_client_cert}: {said}"


def _context(address: str, security: Security) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext | None = security.get_connection_args("client")["ssl_context"]
    except (OSError, ssl.SSLError) as error:
        files = f"{security.tls_ca_file}, {security.tls_client_cert}, {security.tls_client_key}"
        raise UsageError(
            f"{address}: {files}: {error.strerror or error}; expected a CA, a certificate and its key, as PEM"
        ) from None
    if context is None:
        raise UsageError(
            f"{address}: tls:// needs certificates: name a --profile with security: ca_file, cert and key"
        )
    return context


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
