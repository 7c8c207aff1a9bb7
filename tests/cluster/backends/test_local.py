from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.cluster.launch import cluster_class, dask_settings
from latentscan.cluster.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.cluster.profiles import ClusterSpec, Profile


def test_a_local_cluster_is_on_this_machine_alone_unless_the_profile_says_otherwise(
    keywords_of: Callable[[Profile], dict[str, Any]],
    spec_of: Callable[[Profile], ClusterSpec],
    written: Callable[[str], Path],
) -> None:
    path = written(
        "default: a\nprofiles:\n  a: {class: dask.distributed.LocalCluster}\n"
        "  b: {class: dask.distributed.LocalCluster, kwargs: {host: 0.0.0.0, threads-per-worker: 3}}\n"
    )
    plain, other = (load_profile(path, name) for name in ("a", "b"))
    assert keywords_of(plain)["host"] == "127.0.0.1"
    assert keywords_of(plain)["dashboard_address"].startswith("127.0.0.1:")
    assert keywords_of(plain)["threads_per_worker"] == 1
    assert keywords_of(other)["host"] == "0.0.0.0"  # noqa: S104
    environ = dask_settings(cluster_class(spec_of(other), "b"), spec_of(other))
    assert environ["distributed.nanny.pre-spawn-environ"]["TF_NUM_INTRAOP_THREADS"] == "3"
