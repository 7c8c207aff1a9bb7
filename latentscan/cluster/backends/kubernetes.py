"""Pods of the operator of dask-kubernetes: `KubeCluster`."""

from __future__ import annotations

import inspect
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import (
    Backend,
    refuse_security,
    require_workers,
    resource_options,
    threads_of_keywords,
    worker_variables,
)
from latentscan.cluster.yaml_file import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.cluster.profiles import ClusterSpec, Profile

# scripts that Dask no longer has, though dask-kubernetes starts pods with them
_OUTDATED = {"dask-scheduler": ["dask", "scheduler"], "dask-worker": ["dask", "worker"]}


def _arguments(_class: Any, profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    from dask_kubernetes.operator.kubecluster.kubecluster import make_cluster_spec

    refuse_security(profile, spec)
    keywords = {"quiet": True, **spec.keywords}
    if spec.scale or spec.adapt:
        keywords["n_workers"] = spec.scale or getattr(spec.adapt, "minimum", 1)
    pods = keywords.get("custom_cluster_spec")
    if pods is None:
        require_workers(profile, spec, keywords)
        known = inspect.signature(make_cluster_spec).parameters
        given = {name: keywords[name] for name in list(keywords) if name in known}
        command = ["dask", "worker", "--nthreads", "1", *resource_options(spec)]
        name = f"latentscan-{uuid.uuid4().hex[:8]}"
        pods = make_cluster_spec(**{"name": name, "worker_command": command, **given})
    elif isinstance(pods, str):
        pods = read_yaml(Path(pods), "a specification of pods")
    variables = worker_variables(spec, threads_of_keywords(spec))
    return {**keywords, "custom_cluster_spec": _complete(pods, variables)}


def _complete(pods: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a specification whose containers have these variables, and start commands that Dask has."""
    roles = {}
    for role in ("scheduler", "worker"):
        part = pods["spec"][role]
        containers = [_container(container, variables) for container in part["spec"]["containers"]]
        roles[role] = {**part, "spec": {**part["spec"], "containers": containers}}
    return {**pods, "spec": {**pods["spec"], **roles}}


def _container(container: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    first, *rest = container.get("args") or [""]
    command = _OUTDATED.get(first, [first] if first else [])
    added = [{"name": name, "value": value} for name, value in variables.items()]
    return {**container, "args": [*command, *rest], "env": [*added, *(container.get("env") or [])]}


def _forwards_to(_class: Any) -> tuple[Any, ...]:
    from distributed.deploy.cluster import Cluster

    return (Cluster,)


KUBERNETES = Backend(_arguments, _forwards_to)
