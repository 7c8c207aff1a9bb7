from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.cluster.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.cluster.profiles import Profile

SHIPPED = Path(__file__).parents[3] / "cluster.yaml"


def test_pods_run_commands_that_dask_has(keywords_of: Callable[[Profile], dict[str, Any]]) -> None:
    kubernetes = pytest.importorskip("dask_kubernetes.operator")
    profile = load_profile(SHIPPED, "kubernetes")
    spec = keywords_of(profile)["custom_cluster_spec"]
    text = json.dumps(spec)
    assert "dask-scheduler" not in text
    assert "dask-worker" not in text
    scheduler, worker = (spec["spec"][role]["spec"]["containers"][0] for role in ("scheduler", "worker"))
    assert scheduler["args"][:2] == ["dask", "scheduler"]
    assert worker["args"][:2] == ["dask", "worker"]
    assert {"name": "TF_NUM_INTRAOP_THREADS", "value": "1"} in worker["env"]
    assert spec["spec"]["worker"]["replicas"] == 4

    # otherwise it is what the class would have made itself
    own = kubernetes.make_cluster_spec(
        name=spec["metadata"]["name"],
        image=worker["image"],
        n_workers=4,
        resources=worker["resources"],
        worker_command=["dask", "worker", "--nthreads", "1"],
    )
    own["spec"]["scheduler"]["spec"]["containers"][0]["args"][:1] = ["dask", "scheduler"]
    for role in ("scheduler", "worker"):
        own["spec"][role]["spec"]["containers"][0]["env"] = worker["env"]
    assert spec == own


def test_pods_of_ones_own_spec_get_commands_and_environment_too(
    keywords_of: Callable[[Profile], dict[str, Any]], written: Callable[[str], Path]
) -> None:
    pytest.importorskip("dask_kubernetes")
    container = "{spec: {containers: [{name: a, args: [dask-%s, --x], env: [{name: A, value: b}]}]}}"
    path = written(
        "profiles:\n  k:\n    class: dask_kubernetes.operator.KubeCluster\n    env: {HELLO: 1}\n    kwargs:\n"
        "      custom_cluster_spec: {metadata: {name: k}, spec: "
        f"{{scheduler: {container % 'scheduler'}, worker: {container % 'worker'}}}}}\n"
    )
    spec = keywords_of(load_profile(path, "k"))["custom_cluster_spec"]["spec"]
    worker = spec["worker"]["spec"]["containers"][0]
    assert worker["args"] == ["dask", "worker", "--x"]
    assert worker["env"][-2:] == [{"name": "HELLO", "value": "1"}, {"name": "A", "value": "b"}]
