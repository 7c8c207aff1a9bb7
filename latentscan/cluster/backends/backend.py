"""What a backend knows about its family of cluster classes, and what several backends share."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from latentscan.cluster.profiles import Certificates
from latentscan.errors import UsageError
from latentscan.execution.worker import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from latentscan.cluster.profiles import ClusterSpec, Profile

LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8787
ROLES = ("client", "scheduler", "worker")


class Arguments(Protocol):
    """Return the keyword arguments of a cluster class: the profile's, and defaults for what it leaves out."""

    def __call__(self, cluster_class: Any, profile: Profile, spec: ClusterSpec, /) -> dict[str, Any]:
        """Return them."""


def threads_of_keywords(spec: ClusterSpec) -> int:
    """Return the number of threads of each worker where the keyword arguments say it, else 1."""
    keywords = spec.keywords
    return int(keywords.get("threads_per_worker") or keywords.get("worker_options", {}).get("nthreads") or 1)


def _no_addresses(_args: Sequence[Any], _keywords: Mapping[str, Any]) -> list[str]:
    return []


def _no_settings(_spec: ClusterSpec) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Backend:
    """A family of cluster classes.

    Parameters
    ----------
    arguments
        Returns the keyword arguments of a class.
    forwards_to
        Returns the callables that a class forwards its keyword arguments to; without it, nobody knows
        which arguments the class has.
    threads
        Returns the number of threads of each worker.
    addresses
        Returns where the machines will listen, without ports, as far as that is known before they start;
        from the positional and the keyword arguments.
    dask_settings
        Returns settings of Dask that hold while the cluster runs.
    """

    arguments: Arguments
    forwards_to: Callable[[Any], tuple[Any, ...]] | None = None
    threads: Callable[[ClusterSpec], int] = threads_of_keywords
    addresses: Callable[[Sequence[Any], Mapping[str, Any]], list[str]] = _no_addresses
    dask_settings: Callable[[ClusterSpec], dict[str, Any]] = _no_settings


def security_of(certificates: Certificates) -> Any:
    """Return Dask's security of TLS files, the same for every role."""
    from distributed.security import Security

    roles = {f"tls_{role}_{part}": getattr(certificates, part) for role in ROLES for part in ("cert", "key")}
    return Security(
        require_encryption=certificates.require_encryption, tls_ca_file=certificates.ca_file, **roles
    )


def encryption(spec: ClusterSpec) -> dict[str, Any]:
    """Return the keyword arguments that encrypt a cluster; none where the profile does not ask for it."""
    if spec.security is None:
        return {}
    files = spec.security if isinstance(spec.security, Certificates) else None
    return {"security": security_of(files) if files else True, "protocol": "tls://"}


def refuse_security(profile: Profile, spec: ClusterSpec) -> None:
    """Check that a profile has no `security`.

    Raises
    ------
    UsageError
        If it has: such clusters encrypt in their own way.
    """
    if spec.security is not None:
        raise UsageError(f"{profile.where}: security: expected none: {spec.cluster_class} brings its own")


def require_workers(profile: Profile, spec: ClusterSpec, keywords: Mapping[str, Any]) -> None:
    """Check that a profile says how many workers there will be.

    Raises
    ------
    UsageError
        If it does not: such clusters start with none.
    """
    if not (spec.scale or spec.adapt or keywords.get("n_workers")):
        raise UsageError(
            f"{profile.where}: expected scale: N or adapt: {{maximum: N}}, or the cluster has no workers"
        )


def worker_variables(spec: ClusterSpec, threads: int) -> dict[str, str]:
    """Return the environment of workers that are not started by a nanny of this machine."""
    return {**environment(threads), **spec.env}


def resource_options(spec: ClusterSpec) -> list[str]:
    """Return the options of `dask worker` for what each worker offers."""
    offered = " ".join(f"{name}={amount:g}" for name, amount in spec.resources.items())
    return ["--resources", offered] if offered else []


def dashboard_address() -> str:
    """Return a free address for the dashboard; Dask would warn about one that is in use."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return f"{LOOPBACK}:0"
    return f"{LOOPBACK}:{DASHBOARD_PORT}"
