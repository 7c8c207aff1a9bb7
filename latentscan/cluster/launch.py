"""What it takes to start the cluster of a profile: its class, its arguments, and the settings of Dask."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import LOOPBACK
from latentscan.cluster.backends.registry import backend_of, known_arguments
from latentscan.cluster.trust import flat
from latentscan.errors import UsageError
from latentscan.execution.worker import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latentscan.cluster.profiles import ClusterSpec, Profile

EXTRAS = {
    "dask_jobqueue": "slurm",
    "dask_kubernetes": "kubernetes",
    "dask_gateway": "gateway",
    "asyncssh": "ssh",
}
# not subclasses of Dask's Cluster, but clusters all the same
_NO_SUBCLASSES = {("distributed.deploy.ssh", "SSHCluster"), ("dask_gateway.client", "GatewayCluster")}


def cluster_class(spec: ClusterSpec, where: str) -> Callable[..., Any]:
    """Import the class that a profile names.

    Parameters
    ----------
    spec
        The settings of the profile.
    where
        File and profile, for messages.

    Raises
    ------
    UsageError
        If it does not exist, or is no cluster class.
    """
    from distributed.deploy.cluster import Cluster

    module_name, _, name = spec.cluster_class.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{where}: class: {_absent(spec.cluster_class, error)}") from None
    named = (getattr(found, "__module__", ""), getattr(found, "__name__", ""))
    if named not in _NO_SUBCLASSES and not (isinstance(found, type) and issubclass(found, Cluster)):
        raise UsageError(f"{where}: class: {spec.cluster_class}: expected a class of Dask clusters")
    if named[1] == "SSHCluster" and importlib.util.find_spec("asyncssh") is None:
        raise UsageError(f"{where}: class: {_absent(spec.cluster_class, ImportError(name='asyncssh'))}")
    return found  # type: ignore[no-any-return]


def arguments(found: Callable[..., Any], profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    """Return the keyword arguments of a cluster: the profile's, and defaults for what it leaves out.

    Parameters
    ----------
    found
        The class.
    profile
        Named in messages.
    spec
        Its settings.

    Raises
    ------
    UsageError
        If the profile contains what such a cluster does not support, or too little.
    """
    keywords = backend_of(found).arguments(found, profile, spec)
    known = known_arguments(found)
    for name, value in keywords.items():
        if known and name not in known:
            raise UsageError(
                f"{profile.where}: kwargs.{name}: {value!r}: {spec.cluster_class} has no such argument"
            )
    try:
        inspect.signature(found).bind(*spec.args, **keywords)
    except TypeError as error:
        raise UsageError(f"{profile.where}: args, kwargs: {spec.cluster_class}: {error}") from None
    return keywords


def dask_settings(found: Callable[..., Any], spec: ClusterSpec) -> dict[str, Any]:
    """Return the settings of Dask while a cluster starts and runs; nannies pass them to workers.

    Parameters
    ----------
    found
        The class.
    spec
        The settings of the profile.
    """
    from dask.config import get

    backend = backend_of(found)
    environ = "distributed.nanny.pre-spawn-environ"
    return {
        environ: {**environment(backend.threads(spec)), **get(environ), **spec.env},
        "distributed.worker.resources": {**get("distributed.worker.resources"), **spec.resources},
        **backend.dask_settings(spec),
        **flat(spec.config),
    }


def dashboard_settings(keywords: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of Dask under which links name loopback where the dashboard listens there alone.

    Parameters
    ----------
    keywords
        The arguments of the cluster.
    """
    address = {**keywords, **keywords.get("scheduler_options", {})}.get("dashboard_address")
    local = str(address).startswith(LOOPBACK)
    return {"distributed.dashboard.link": f"http://{LOOPBACK}:{{port}}/status"} if local else {}


def missing_extra(error: ImportError) -> str:
    """Return how to install a missing module; empty where no extra of ours brings it."""
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    return f'pip install "latentscan[{extra}]"' if extra else ""


def _absent(name: str, error: ImportError | AttributeError) -> str:
    remedy = missing_extra(error) if isinstance(error, ImportError) else ""
    return f"{name} is not installed: {remedy}" if remedy else f"{name}: no such class ({error})"
