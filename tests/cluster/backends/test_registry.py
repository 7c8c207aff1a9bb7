from __future__ import annotations

from typing import Any

import pytest
from distributed import LocalCluster, SSHCluster

from latentscan.cluster.backends.local import LOCAL
from latentscan.cluster.backends.registry import BACKENDS, OTHER, backend_of, known_arguments
from latentscan.cluster.backends.ssh import SSH


class Derived(LocalCluster):  # type: ignore[misc,no-untyped-call,unused-ignore]
    """A class of a user's own."""


class JobQueueCluster:
    """As of dask-jobqueue, which is not always installed."""

    class job_cls:  # noqa: N801 (its name there)
        def __init__(self, queue: str) -> None: ...

    def __init__(self, cores: int) -> None: ...


@pytest.mark.parametrize(
    ("cluster_class", "backend"),
    [
        (LocalCluster, LOCAL),
        (Derived, LOCAL),
        (SSHCluster, SSH),  # a function
        (JobQueueCluster, BACKENDS["JobQueueCluster"]),
        (dict, OTHER),
    ],
)
def test_a_class_has_the_backend_of_its_family(cluster_class: Any, backend: Any) -> None:
    assert backend_of(cluster_class) is backend


def test_arguments_are_those_of_all_that_they_are_forwarded_to() -> None:
    assert {"n_workers", "threads_per_worker", "memory_limit", "resources"} <= known_arguments(LocalCluster)
    assert {"hosts", "worker_options", "name"} <= known_arguments(SSHCluster)
    assert {"cores", "queue"} <= known_arguments(JobQueueCluster)
    assert "nworkers" not in known_arguments(LocalCluster)


def test_nobody_knows_the_arguments_of_other_classes() -> None:
    assert known_arguments(dict) == set()
