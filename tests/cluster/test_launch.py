"""What the clusters of profiles are started with, and what they refuse."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import pytest

from latentscan.cluster.backends.registry import OTHER, backend_of
from latentscan.cluster.launch import cluster_class, dask_settings
from latentscan.cluster.profiles import SchedulerAddress, load_profile
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.cluster.profiles import ClusterSpec, Profile

SHIPPED = Path(__file__).parents[2] / "cluster.yaml"
NAMES = ("local", "existing", "ssh", "slurm", "kubernetes", "gateway")
LIBRARY = {
    "ssh": "asyncssh",
    "slurm": "dask_jobqueue",
    "kubernetes": "dask_kubernetes",
    "gateway": "dask_gateway",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("queue")
def test_every_shipped_profile_is_valid(
    keywords_of: Callable[[Profile], dict[str, Any]],
    spec_of: Callable[[Profile], ClusterSpec],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tls://scheduler:8786")
    profile = load_profile(SHIPPED, name)
    if name == "existing":
        assert profile.settings == SchedulerAddress(address="tls://scheduler:8786")
        return
    if name in LIBRARY:
        pytest.importorskip(LIBRARY[name])
    found = cluster_class(spec_of(profile), profile.where)
    inspect.signature(found).bind(**keywords_of(profile))
    assert backend_of(found) is not OTHER


REFUSED = {
    "class: os.system": "os.system: expected a class of Dask clusters",
    "class: subprocess.Popen": "subprocess.Popen: expected a class of Dask clusters",
    "class: dask.distributed.Nothing": "no such class",
    "class: no_such_module.Cluster": "no such class",
    "class: dask.distributed.LocalCluster, kwargs: {nworkers: 2}": r"kwargs\.nworkers: 2: .*no such argument",
    "class: dask.distributed.LocalCluster, args: [1, 2], kwargs: {n_workers: 2}": "multiple values",
    "class: dask.distributed.SSHCluster, scale: 2": "scale and adapt: expected neither",
    "class: dask.distributed.SSHCluster, security: true": "expected ca_file, cert and key",
    "class: dask_gateway.GatewayCluster, env: {A: b}": "env: expected none",
    "class: dask_gateway.GatewayCluster": "expected scale: N or adapt",
    "class: dask_kubernetes.operator.KubeCluster, security: true": "security: expected none",
    "class: dask_jobqueue.SLURMCluster, kwargs: {cores: 1, memory: 1GiB}": "expected scale: N or adapt",
    "class: dask_jobqueue.SLURMCluster, scale: 1, kwargs: {quue: x}": r"kwargs\.quue: 'x'",
}


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.usefixtures("queue")
def test_classes_and_arguments_that_do_not_fit_are_refused(
    keywords_of: Callable[[Profile], dict[str, Any]], text: str, written: Callable[[str], Path]
) -> None:
    for library in LIBRARY.values():
        if library in text:
            pytest.importorskip(library)
    profile = load_profile(written(f"default: a\nprofiles: {{a: {{{text}}}}}\n"), None, trust=True)
    with pytest.raises(UsageError, match=REFUSED[text]) as caught:
        keywords_of(profile)
    assert str(caught.value).startswith(profile.where)


def test_settings_of_dask_are_joined_and_stand_beside_the_users(
    spec_of: Callable[[Profile], ClusterSpec], written: Callable[[str], Path]
) -> None:
    path = written(
        "default: a\nprofiles:\n  a:\n    class: dask.distributed.LocalCluster\n"
        "    config: {distributed: {comm: {timeouts: {connect: 3s}}},\n"
        "      distributed.worker.memory.spill: false}\n"
    )
    settings = spec_of(load_profile(path, None))
    given = dask_settings(cluster_class(settings, "a"), settings)
    with dask.config.set({"distributed.comm.timeouts.tcp": "7s"}), dask.config.set(given):
        assert dask.config.get("distributed.comm.timeouts.connect") == "3s"
        assert dask.config.get("distributed.comm.timeouts.tcp") == "7s"
        assert dask.config.get("distributed.worker.memory.spill") is False
        assert dask.config.get("distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_") == 65536


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_a_missing_extra_is_one_line(
    keywords_of: Callable[[Profile], dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [module for module in sys.modules if module.startswith(LIBRARY[name])]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, LIBRARY[name], None)
    with pytest.raises(UsageError, match=rf'is not installed: pip install "latentscan\[{name}\]"$'):
        keywords_of(load_profile(SHIPPED, name))
