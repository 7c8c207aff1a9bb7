"""Clusters of a Dask Gateway: `GatewayCluster`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import Backend, refuse_security, require_workers
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from latentscan.cluster.profiles import ClusterSpec, Profile


def _arguments(_class: Any, profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    refuse_security(profile, spec)
    if spec.env:
        raise UsageError(f"{profile.where}: env: expected none: a gateway's own options set the environment")
    require_workers(profile, spec, spec.keywords)
    return dict(spec.keywords)


GATEWAY = Backend(_arguments)
