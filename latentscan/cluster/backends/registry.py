"""The backend of each cluster class."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import Backend, encryption
from latentscan.cluster.backends.gateway import GATEWAY
from latentscan.cluster.backends.jobqueue import JOBQUEUE
from latentscan.cluster.backends.kubernetes import KUBERNETES
from latentscan.cluster.backends.local import LOCAL
from latentscan.cluster.backends.ssh import SSH

if TYPE_CHECKING:
    from latentscan.cluster.profiles import ClusterSpec, Profile


def _as_the_profile_says(_class: Any, _profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    return {**encryption(spec), **spec.keywords}


OTHER = Backend(_as_the_profile_says)
BACKENDS = {  # by the name of the class, or of one that it inherits from
    "LocalCluster": LOCAL,
    "SSHCluster": SSH,
    "JobQueueCluster": JOBQUEUE,
    "KubeCluster": KUBERNETES,
    "GatewayCluster": GATEWAY,
}


def backend_of(cluster_class: Any) -> Backend:
    """Return the backend of a cluster class, or function; `OTHER` where it is of no known family."""
    names = [base.__name__ for base in getattr(cluster_class, "__mro__", (cluster_class,))]
    return next((BACKENDS[name] for name in names if name in BACKENDS), OTHER)


def known_arguments(cluster_class: Any) -> set[str]:
    """Return the names of all arguments of a cluster class; an empty set where nobody knows."""
    backend = backend_of(cluster_class)
    if backend.forwards_to is None:
        return set()
    takers = [*getattr(cluster_class, "__mro__", (cluster_class,)), *backend.forwards_to(cluster_class)]
    return {name for taker in takers if taker is not object for name in inspect.signature(taker).parameters}
