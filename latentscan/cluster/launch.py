"""What it takes to start the cluster of a profile: its class, its arguments, and the settings of Dask."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends import (
    FAMILIES,
    LOOPBACK,
    ROLES,
    family,
    known_arguments,
    other,
    threads_of,
)
from latentscan.cluster.profiles import Certificates, Started
from latentscan.errors import UsageError
from latentscan.execution.worker import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latentscan.cluster.profiles import Profile

EXTRAS = {
    "dask_jobqueue": "slurm",
    "dask_kubernetes": "kubernetes",
    "dask_gateway": "gateway",
    "asyncssh": "ssh",
}
# not subclasses of Dask's Cluster, but clusters all the same
_ALSO = {("distributed.deploy.ssh", "SSHCluster"), ("dask_gateway.client", "GatewayCluster")}


def cluster_class(settings: Started, where: str) -> Callable[..., Any]:
    """Import the class that a profile names.

    Raises
    ------
    UsageError
        If it is not there, or is no cluster class: a file of settings must not call whatever it likes.
    """
    from distributed.deploy.cluster import Cluster

    module_name, _, name = settings.cluster_class.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{where}: class: {_absent(settings.cluster_class, error)}") from None
    named = (getattr(found, "__module__", ""), getattr(found, "__name__", ""))
    if named not in _ALSO and not (isinstance(found, type) and issubclass(found, Cluster)):
        raise UsageError(f"{where}: class: {settings.cluster_class}: expected a class of Dask clusters")
    if named[1] == "SSHCluster" and importlib.util.find_spec("asyncssh") is None:
        raise UsageError(f"{where}: class: {_absent(settings.cluster_class, ImportError(name='asyncssh'))}")
    return found  # type: ignore[no-any-return]


def arguments(found: Callable[..., Any], profile: Profile) -> dict[str, Any]:
    """Give the keyword arguments of a cluster: what the profile says, and defaults for what it does not.

    Raises
    ------
    UsageError
        If the profile says what such a cluster cannot do, or too little.
    """
    settings = profile.settings
    if not isinstance(settings, Started):
        raise TypeError(f"{profile.where}: expected a cluster that is started")
    keywords = FAMILIES.get(family(found), other)(found, profile, settings)
    known = known_arguments(found)
    for name, value in keywords.items():
        if known and name not in known:
            raise UsageError(
                f"{profile.where}: kwargs.{name}: {value!r}: {settings.cluster_class} takes none such"
            )
    try:
        inspect.signature(found).bind(*settings.args, **keywords)
    except TypeError as error:
        raise UsageError(f"{profile.where}: args, kwargs: {settings.cluster_class}: {error}") from None
    return keywords


def dask_settings(found: Callable[..., Any], settings: Started) -> dict[str, Any]:
    """Give the settings of Dask that hold while the cluster starts and runs; nannies hand them to workers."""
    from dask.config import get

    environ = "distributed.nanny.pre-spawn-environ"
    given: dict[str, Any] = {
        environ: {**environment(threads_of(found, settings)), **get(environ), **settings.env},
        "distributed.worker.resources": {**get("distributed.worker.resources"), **settings.resources},
    }
    if isinstance(settings.security, Certificates) and family(found) == "SSHCluster":
        comm = "distributed.comm"
        given |= {f"{comm}.require-encryption": True, f"{comm}.tls.ca-file": settings.security.ca_file}
        for role in ROLES:
            given[f"{comm}.tls.{role}.cert"] = settings.security.cert
            given[f"{comm}.tls.{role}.key"] = settings.security.key
    return {**given, **_flat(settings.config)}


def dashboard_settings(keywords: Mapping[str, Any]) -> dict[str, str]:
    """Let links lead to a dashboard that only its own machine, or a tunnel to it, can reach."""
    address = {**keywords, **keywords.get("scheduler_options", {})}.get("dashboard_address")
    local = str(address).startswith(LOOPBACK)
    return {"distributed.dashboard.link": f"http://{LOOPBACK}:{{port}}/status"} if local else {}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested names with dots: Dask would forget what stands beside a nested one."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict) and value
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def missing_extra(error: ImportError) -> str:
    """Say what to install for a module that is not there; empty where no extra of ours brings it."""
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    return f'pip install "latentscan[{extra}]"' if extra else ""


def _absent(name: str, error: ImportError | AttributeError) -> str:
    remedy = missing_extra(error) if isinstance(error, ImportError) else ""
    return f"{name} is not installed: {remedy}" if remedy else f"{name}: there is no such class ({error})"
