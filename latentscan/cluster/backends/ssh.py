"""Machines reached by ssh: `SSHCluster`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import DASHBOARD_PORT, LOOPBACK, ROLES, Backend, security_of
from latentscan.cluster.profiles import Certificates
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from latentscan.cluster.profiles import ClusterSpec, Profile


def _arguments(_class: Any, profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    if spec.security is True:
        raise UsageError(
            f"{profile.where}: security: True: expected ca_file, cert and key, which SSHCluster's machines "
            "read under the same paths"
        )
    if spec.scale is not None or spec.adapt is not None:
        raise UsageError(
            f"{profile.where}: scale and adapt: expected neither, for SSHCluster starts "
            "worker_options.n_workers workers on each of its hosts"
        )
    keywords = {"silence_logs": logging.CRITICAL, **spec.keywords}
    worker = {"nthreads": 1, "dashboard_address": f"{LOOPBACK}:0", **keywords.get("worker_options", {})}
    if spec.env:
        worker["env"] = {**spec.env, **worker.get("env", {})}
    # on the scheduler's machine, whose free ports are not known here
    dashboard = f"{LOOPBACK}:{DASHBOARD_PORT}"
    scheduler = {"dashboard_address": dashboard, **keywords.get("scheduler_options", {})}
    if isinstance(spec.security, Certificates):
        worker["protocol"] = scheduler["protocol"] = "tls://"
        keywords["security"] = security_of(spec.security)
    return {**keywords, "worker_options": worker, "scheduler_options": scheduler}


def _forwards_to(_class: Any) -> tuple[Any, ...]:
    from distributed.deploy.spec import SpecCluster

    return (SpecCluster,)


def _addresses(args: Sequence[Any], keywords: Mapping[str, Any]) -> list[str]:
    from dask.config import get

    hosts = args[0] if args else keywords.get("hosts") or ()
    default = keywords["scheduler_options"].get("protocol") or get("distributed.comm.default-scheme")
    schemes = [default, *[keywords["worker_options"].get("protocol") or default] * len(hosts)]
    return [
        f"{scheme.partition(':')[0]}://{f'[{host}]' if ':' in host else host}"
        for scheme, host in zip(schemes, hosts, strict=False)
    ]


def _dask_settings(spec: ClusterSpec) -> dict[str, Any]:
    """Return the TLS files as settings, which SSHCluster sends to its machines."""
    if not isinstance(spec.security, Certificates):
        return {}
    comm = "distributed.comm"
    settings: dict[str, Any] = {
        f"{comm}.require-encryption": True,
        f"{comm}.tls.ca-file": spec.security.ca_file,
    }
    for role in ROLES:
        settings[f"{comm}.tls.{role}.cert"] = spec.security.cert
        settings[f"{comm}.tls.{role}.key"] = spec.security.key
    return settings


SSH = Backend(_arguments, _forwards_to, addresses=_addresses, dask_settings=_dask_settings)
