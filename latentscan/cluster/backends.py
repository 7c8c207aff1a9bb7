"""What each family of Dask's cluster classes is told, besides what the profile says.

They differ in how workers learn of their environment, of what they offer, and of certificates.
"""

from __future__ import annotations

import inspect
import logging
import shlex
import shutil
import socket
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.cluster.profiles import Certificates, Started, read_yaml
from latentscan.errors import ClusterError, UsageError
from latentscan.execution.worker import environment
from latentscan.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latentscan.cluster.profiles import Profile

LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8787
ROLES = ("client", "scheduler", "worker")
_OUTDATED = {"dask-scheduler": ["dask", "scheduler"], "dask-worker": ["dask", "worker"]}


def family(found: Callable[..., Any]) -> str:
    """Name the class that decides how workers are told something; empty where it is none of the known."""
    names = [base.__name__ for base in getattr(found, "__mro__", (found,))]
    return next((name for name in names if name in FAMILIES), "")


def known_arguments(found: Callable[..., Any]) -> set[str]:
    """Name the arguments of a class and of what it hands them on to; none where that cannot be known."""
    from distributed import Nanny, Worker
    from distributed.deploy.cluster import Cluster
    from distributed.deploy.spec import SpecCluster

    handed_on: dict[str, tuple[Any, ...]] = {
        "LocalCluster": (Nanny, Worker),
        "SSHCluster": (SpecCluster,),
        "JobQueueCluster": getattr(getattr(found, "job_cls", None), "__mro__", ()),
        "KubeCluster": (Cluster,),
    }
    if family(found) not in handed_on:
        return set()
    takers = [*getattr(found, "__mro__", (found,)), *handed_on[family(found)]]
    return {name for taker in takers if taker is not object for name in inspect.signature(taker).parameters}


def threads_of(found: Callable[..., Any], settings: Started) -> int:
    """Give how many threads a worker has."""
    keywords = settings.keywords
    if family(found) == "JobQueueCluster":
        cores = keywords.get("cores") or 1
        return max(1, int(cores) // int(keywords.get("processes") or cores))
    said = keywords.get("threads_per_worker") or keywords.get("worker_options", {}).get("nthreads")
    return int(said or 1)


def _variables(found: Callable[..., Any], settings: Started) -> dict[str, str]:
    """Give what workers that no nanny of this machine starts are told by their environment."""
    return {**environment(threads_of(found, settings)), **settings.env}


def _offering(settings: Started) -> list[str]:
    """Give the options of `dask worker` that say what it offers."""
    offered = " ".join(f"{name}={amount:g}" for name, amount in settings.resources.items())
    return ["--resources", offered] if offered else []


def _local(_found: Callable[..., Any], _profile: Profile, settings: Started) -> dict[str, Any]:
    first = settings.scale or (settings.adapt.minimum if settings.adapt else processors())
    processes = settings.keywords.get("processes", True)
    keywords = {
        "n_workers": first,
        "threads_per_worker": 1,
        "processes": True,
        "host": LOOPBACK if processes else None,
        "dashboard_address": _dashboard(),
        "silence_logs": logging.CRITICAL,
        **_encrypted(settings),
        **settings.keywords,
    }
    if settings.env and processes:
        keywords["env"] = {**settings.env, **keywords.get("env", {})}  # stronger than what the shell says
    return keywords


def _ssh(_found: Callable[..., Any], profile: Profile, settings: Started) -> dict[str, Any]:
    if settings.security is True:
        raise UsageError(
            f"{profile.where}: security: True: expected ca_file, cert and key, which SSHCluster's machines "
            "read under the same paths"
        )
    if settings.scale is not None or settings.adapt is not None:
        raise UsageError(
            f"{profile.where}: scale and adapt: expected neither, for SSHCluster starts "
            "worker_options.n_workers workers on each of its hosts"
        )
    keywords = {"silence_logs": logging.CRITICAL, **settings.keywords}
    worker = {"nthreads": 1, "dashboard_address": f"{LOOPBACK}:0", **keywords.get("worker_options", {})}
    if settings.env:
        worker["env"] = {**settings.env, **worker.get("env", {})}
    # of the scheduler's machine, where nobody knows here which port is free
    dashboard = f"{LOOPBACK}:{DASHBOARD_PORT}"
    scheduler = {"dashboard_address": dashboard, **keywords.get("scheduler_options", {})}
    if isinstance(settings.security, Certificates):
        worker["protocol"] = scheduler["protocol"] = "tls://"
        keywords["security"] = security_of(settings.security)
    return {**keywords, "worker_options": worker, "scheduler_options": scheduler}


def addresses_of(found: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> list[str]:
    """Give where the machines of an SSHCluster will listen, without ports; others are asked once they run."""
    from dask.config import get

    if family(found) != "SSHCluster":
        return []
    hosts = args[0] if args else keywords.get("hosts") or ()
    default = keywords["scheduler_options"].get("protocol") or get("distributed.comm.default-scheme")
    schemes = [default, *[keywords["worker_options"].get("protocol") or default] * len(hosts)]
    return [
        f"{scheme.partition(':')[0]}://{f'[{host}]' if ':' in host else host}"
        for scheme, host in zip(schemes, hosts, strict=False)
    ]


def _jobqueue(found: Callable[..., Any], profile: Profile, settings: Started) -> dict[str, Any]:
    from dask.config import get

    job: Any = getattr(found, "job_cls", None)
    command = shlex.split(getattr(job, "submit_command", None) or "true")[0]
    if shutil.which(command) is None:
        raise ClusterError(f"{profile.where}: {command}: not found; expected a machine that can queue jobs")
    keywords = {
        "job_name": "latentscan",
        **_encrypted(settings),
        "silence_logs": "critical",
        **settings.keywords,
    }
    _counted(profile, settings, keywords)
    section = f"jobqueue.{keywords.get('config_name') or getattr(job, 'config_name', None)}"
    if "cores" in keywords:
        keywords.setdefault("processes", keywords["cores"])
    keywords["scheduler_options"] = {
        "dashboard_address": _dashboard(),
        **(keywords.get("scheduler_options") or get(f"{section}.scheduler-options", {})),
    }
    exports = [f"export {name}={shlex.quote(text)}" for name, text in _variables(found, settings).items()]
    own = keywords.get("job_script_prologue") or get(f"{section}.job-script-prologue", [])
    keywords["job_script_prologue"] = [*exports, *own]
    extra = keywords.get("worker_extra_args") or get(f"{section}.worker-extra-args", [])
    if "--dashboard-address" not in extra:
        extra = [*extra, "--dashboard-address", f"{LOOPBACK}:0"]
    keywords["worker_extra_args"] = [*extra, *map(shlex.quote, _offering(settings))]
    if keywords.get("security") and not get(f"{section}.shared-temp-directory", None):
        keywords.setdefault("shared_temp_directory", str(Path.home()))
    return keywords


def _kubernetes(found: Callable[..., Any], profile: Profile, settings: Started) -> dict[str, Any]:
    from dask_kubernetes.operator.kubecluster.kubecluster import make_cluster_spec

    _unencrypted(profile, settings)
    keywords = {"quiet": True, **settings.keywords}
    if settings.scale or settings.adapt:
        keywords["n_workers"] = settings.scale or getattr(settings.adapt, "minimum", 1)
    spec = keywords.get("custom_cluster_spec")
    if spec is None:
        _counted(profile, settings, keywords)
        taken = inspect.signature(make_cluster_spec).parameters
        given = {name: keywords[name] for name in list(keywords) if name in taken}
        command = ["dask", "worker", "--nthreads", "1", *_offering(settings)]
        name = f"latentscan-{uuid.uuid4().hex[:8]}"
        spec = make_cluster_spec(**{"name": name, "worker_command": command, **given})
    elif isinstance(spec, str):
        spec = read_yaml(Path(spec))
    return {**keywords, "custom_cluster_spec": _told(spec, _variables(found, settings))}


def _told(spec: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Give containers the environment, and commands that Dask still has."""
    told = dict(spec)
    told["spec"] = {**spec["spec"]}
    for role in ("scheduler", "worker"):
        part = told["spec"][role]
        containers = [
            {
                **container,
                "args": [
                    *_OUTDATED.get((container.get("args") or [""])[0], (container.get("args") or [])[:1]),
                    *(container.get("args") or [])[1:],
                ],
                "env": [
                    *({"name": name, "value": value} for name, value in variables.items()),
                    *(container.get("env") or []),
                ],
            }
            for container in part["spec"]["containers"]
        ]
        told["spec"][role] = {**part, "spec": {**part["spec"], "containers": containers}}
    return told


def _gateway(_found: Callable[..., Any], profile: Profile, settings: Started) -> dict[str, Any]:
    _unencrypted(profile, settings)
    if settings.env:
        raise UsageError(f"{profile.where}: env: expected none: a gateway's own options set the environment")
    _counted(profile, settings, settings.keywords)
    return dict(settings.keywords)


def other(_found: Callable[..., Any], _profile: Profile, settings: Started) -> dict[str, Any]:
    """Give the arguments of a class that is not known: what the profile says."""
    return {**_encrypted(settings), **settings.keywords}


FAMILIES: dict[str, Callable[[Callable[..., Any], Profile, Started], dict[str, Any]]] = {
    "LocalCluster": _local,
    "SSHCluster": _ssh,
    "JobQueueCluster": _jobqueue,
    "KubeCluster": _kubernetes,
    "GatewayCluster": _gateway,
}


def security_of(certificates: Certificates) -> Any:
    """Give Dask's security of TLS files, the same for every role."""
    from distributed.security import Security

    roles = {f"tls_{role}_{part}": getattr(certificates, part) for role in ROLES for part in ("cert", "key")}
    return Security(
        require_encryption=certificates.require_encryption, tls_ca_file=certificates.ca_file, **roles
    )


def _encrypted(settings: Started) -> dict[str, Any]:
    if settings.security is None:
        return {}
    files = settings.security if isinstance(settings.security, Certificates) else None
    return {"security": security_of(files) if files else True, "protocol": "tls://"}


def _unencrypted(profile: Profile, settings: Started) -> None:
    if settings.security is not None:
        raise UsageError(f"{profile.where}: security: expected none: {settings.cluster_class} brings its own")


def _counted(profile: Profile, settings: Started, keywords: Mapping[str, Any]) -> None:
    if not (settings.scale or settings.adapt or keywords.get("n_workers")):
        raise UsageError(
            f"{profile.where}: expected scale: N or adapt: {{maximum: N}}, or there are no workers"
        )


def _dashboard() -> str:
    """Give an address for the dashboard that is free; Dask would warn about one that is not."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, DASHBOARD_PORT))
        except OSError:
            return f"{LOOPBACK}:0"
    return f"{LOOPBACK}:{DASHBOARD_PORT}"
