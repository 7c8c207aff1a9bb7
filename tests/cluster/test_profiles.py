"""Profiles: what a cluster.yaml may say, and what is said about one that is wrong."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import pytest

from latentscan.cluster.backends.registry import OTHER, backend_of
from latentscan.cluster.launch import arguments, cluster_class, dask_settings
from latentscan.cluster.profiles import ClusterSpec, SchedulerAddress, load_profile
from latentscan.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.cluster.profiles import Profile

SHIPPED = Path(__file__).parents[2] / "cluster.yaml"
NAMES = ("local", "existing", "ssh", "slurm", "kubernetes", "gateway")
LIBRARY = {
    "ssh": "asyncssh",
    "slurm": "dask_jobqueue",
    "kubernetes": "dask_kubernetes",
    "gateway": "dask_gateway",
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write a cluster.yaml."""

    def write(text: str) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has sbatch; it is found and not called."""
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def started(profile: Profile) -> ClusterSpec:
    assert isinstance(profile.settings, ClusterSpec)
    return profile.settings


def told(profile: Profile) -> dict[str, Any]:
    return arguments(cluster_class(started(profile), profile.where), profile, started(profile))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("queue")
def test_every_shipped_profile_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tls://scheduler:8786")
    profile = load_profile(SHIPPED, name)
    if name == "existing":
        assert profile.settings == SchedulerAddress(address="tls://scheduler:8786")
        return
    if name in LIBRARY:
        pytest.importorskip(LIBRARY[name])
    found = cluster_class(started(profile), profile.where)
    inspect.signature(found).bind(**told(profile))
    assert backend_of(found) is not OTHER


def test_the_shipped_file_has_these_profiles_and_its_default_is_local(written: Callable[[str], Path]) -> None:
    assert load_profile(SHIPPED, None).name == "local"
    with pytest.raises(UsageError, match=", ".join(NAMES)):
        load_profile(SHIPPED, "none of these")


def test_pods_run_commands_that_dask_has() -> None:
    kubernetes = pytest.importorskip("dask_kubernetes.operator")
    profile = load_profile(SHIPPED, "kubernetes")
    spec = told(profile)["custom_cluster_spec"]
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


def test_pods_of_ones_own_spec_get_commands_and_environment_too(written: Callable[[str], Path]) -> None:
    pytest.importorskip("dask_kubernetes")
    container = "{spec: {containers: [{name: a, args: [dask-%s, --x], env: [{name: A, value: b}]}]}}"
    path = written(
        "profiles:\n  k:\n    class: dask_kubernetes.operator.KubeCluster\n    env: {HELLO: 1}\n    kwargs:\n"
        "      custom_cluster_spec: {metadata: {name: k}, spec: "
        f"{{scheduler: {container % 'scheduler'}, worker: {container % 'worker'}}}}}\n"
    )
    spec = told(load_profile(path, "k"))["custom_cluster_spec"]["spec"]
    worker = spec["worker"]["spec"]["containers"][0]
    assert worker["args"] == ["dask", "worker", "--x"]
    assert worker["env"][-2:] == [{"name": "HELLO", "value": "1"}, {"name": "A", "value": "b"}]


@pytest.mark.usefixtures("queue")
def test_jobs_export_the_environment_and_offer_resources(written: Callable[[str], Path]) -> None:
    pytest.importorskip("dask_jobqueue")
    path = written(
        "profiles:\n  s:\n    class: dask_jobqueue.SLURMCluster\n    scale: 2\n    resources: {GPU: 1}\n"
        "    env: {HELLO: it's}\n    kwargs: {cores: 4, processes: 2, memory: 2GiB, "
        "job-script-prologue: [cd $HOME]}\n"
    )
    keywords = told(load_profile(path, "s"))
    prologue = keywords["job_script_prologue"]
    assert "export OMP_NUM_THREADS=2" in prologue
    assert "export TF_FORCE_GPU_ALLOW_GROWTH=true" in prologue
    assert prologue[-2:] == ["""export HELLO='it'"'"'s'""", "cd $HOME"]
    assert keywords["worker_extra_args"] == ["--dashboard-address", "127.0.0.1:0", "--resources", "GPU=1"]
    assert keywords["scheduler_options"]["dashboard_address"].startswith("127.0.0.1:")


def test_a_local_cluster_is_on_this_machine_alone_unless_the_profile_says_otherwise(
    written: Callable[[str], Path],
) -> None:
    path = written(
        "default: a\nprofiles:\n  a: {class: dask.distributed.LocalCluster}\n"
        "  b: {class: dask.distributed.LocalCluster, kwargs: {host: 0.0.0.0, threads-per-worker: 3}}\n"
    )
    plain, other = (load_profile(path, name) for name in ("a", "b"))
    assert told(plain)["host"] == "127.0.0.1"
    assert told(plain)["dashboard_address"].startswith("127.0.0.1:")
    assert told(plain)["threads_per_worker"] == 1
    assert told(other)["host"] == "0.0.0.0"  # noqa: S104
    environ = dask_settings(cluster_class(started(other), "b"), started(other))
    assert environ["distributed.nanny.pre-spawn-environ"]["TF_NUM_INTRAOP_THREADS"] == "3"


def test_dashboards_of_machines_reached_by_ssh_are_on_loopback_unless_the_profile_says_otherwise(
    written: Callable[[str], Path],
) -> None:
    pytest.importorskip("asyncssh")
    path = written(
        "profiles:\n  a: {class: dask.distributed.SSHCluster, kwargs: {hosts: [x, y]}}\n"
        "  b: {class: dask.distributed.SSHCluster, kwargs: {hosts: [x, y],\n"
        "    scheduler_options: {dashboard_address: ':1'}, worker_options: {dashboard_address: ':2'}}}\n"
    )
    for name, expected in {"a": ("127.0.0.1:8787", "127.0.0.1:0"), "b": (":1", ":2")}.items():
        keywords = told(load_profile(path, name))
        roles = (keywords["scheduler_options"], keywords["worker_options"])
        assert tuple(role["dashboard_address"] for role in roles) == expected


def test_without_a_file_the_profile_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_profile(None, None).name == "local"
    (tmp_path / "cluster.yaml").write_text("default: here\nprofiles: {here: {address: 'tcp://a:1'}}\n")
    assert load_profile(None, None).name == "here"


def test_tls_files_are_found_from_where_the_file_is(written: Callable[[str], Path], tmp_path: Path) -> None:
    path = written(
        "default: a\nprofiles: {a: {address: 'tls://a:1', security: {ca_file: a, cert: b, key: c}}}\n"
    )
    for name in "ab":
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"security\.key: .*/c: no such file"):
        load_profile(path, None)
    (tmp_path / "c").touch()
    security = load_profile(path, None).settings.security
    assert getattr(security, "ca_file", None) == str(tmp_path / "a")


def test_an_address_from_elsewhere_takes_what_fits_of_a_profile(written: Callable[[str], Path]) -> None:
    existing = load_profile(SHIPPED, "existing", address="tcp://there:1")  # its own variable is not set
    assert existing.settings == SchedulerAddress(address="tcp://there:1")
    path = written("default: a\nprofiles: {a: {class: y.z, scale: 2, resources: {GPU: 1}}}\n")
    started_elsewhere = load_profile(path, None, address="tcp://there:1")
    assert started_elsewhere.settings == SchedulerAddress(address="tcp://there:1", resources={"GPU": 1})


WRONG = {
    "a: {address: '${NOT_SET}'}": r"address: \$\{NOT_SET\}: set the environment variable NOT_SET",
    "a: {address: 'http://x:1'}": "address: 'http://x:1': expected tcp://HOST:PORT or tls://HOST:PORT",
    "a: {address: 'tcp://x:1', class: y.z}": "expected either address: or class:",
    "a: {resources: {GPU: 1}}": "expected either address: or class:",
    "a: 5": "a: 5: expected either address: or class:",
    "a: {address: 'tcp://x:1', env: {A: 1}}": "env: unknown key; expected .*address",
    "a: {address: 'tcp://x:1', security: true}": "security: True: expected ca_file, cert and key",
    "a: {address: 'tcp://x:1', security: {ca_file: x}}": r"security\.cert: missing",
    "a: {address: 'tcp://x:1', security: {ca: x}}": r"security\.ca: unknown key|security\.ca_file: missing",
    "a: {address: 'tcp://x:1', resources: {GPU: -1}}": r"resources\.GPU: -1: input should be greater than 0",
    "a: {address: 'tcp://x:1', workers_timeout: soon}": "workers_timeout: 'soon': .*number",
    "a: {class: LocalCluster}": "class: 'LocalCluster': expected a class with its module",
    "a: {class: y.z, scale: 1, adapt: {maximum: 2}}": "scale: 1: expected either scale or adapt, not both",
    "a: {class: y.z, adapt: {maximum: 2, minimum: 3}}": r"adapt\.maximum: 2: .* the minimum, 3",
    "a: {class: y.z, adapt: {maximum: 2, minimum: 0}}": r"adapt\.minimum: 0: .*greater than or equal to 1",
    "a: {class: y.z, security: maybe}": "security: 'maybe': expected true, or ca_file, cert and key",
    "a: {class: y.z, workers: 3}": "workers: unknown key; expected .*kwargs",
    "a: {class: y.z}\n  a: {class: y.z}": "line 4, column 3: the key a is given twice",
    "a: {class: y.z, kwargs: {b: 1, b: 2}}": r"line 3, column \d+: the key b is given twice",
    "a: {class: [}": "line 3, column 15: ",
    "a: {class: y.z}\nother: 1": "other: unknown key; expected default and profiles",
    "b: {class: y.z}": "default: 'a': expected one of the profiles: b",
}


@pytest.mark.parametrize("text", WRONG)
def test_one_line_says_what_is_wrong(text: str, written: Callable[[str], Path]) -> None:
    path = written(f"default: a\nprofiles:\n  {text}\n")
    with pytest.raises(UsageError, match=WRONG[text]) as caught:
        load_profile(path, None)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_mapping_or_not_there(written: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected keys with values"):
        load_profile(written("5"), None)
    with pytest.raises(UsageError, match="profiles: nothing: expected names"):
        load_profile(written("default: a"), None)
    with pytest.raises(UsageError, match="no default: give profile=a or b"):
        load_profile(written("profiles: {a: {}, b: {}}"), None)
    with pytest.raises(UsageError, match=r"nowhere\.yaml: No such file"):
        load_profile(tmp_path / "nowhere.yaml", None)


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
def test_classes_and_arguments_that_do_not_fit_are_refused(text: str, written: Callable[[str], Path]) -> None:
    for library in LIBRARY.values():
        if library in text:
            pytest.importorskip(library)
    profile = load_profile(written(f"default: a\nprofiles: {{a: {{{text}}}}}\n"), None)
    with pytest.raises(UsageError, match=REFUSED[text]) as caught:
        told(profile)
    assert str(caught.value).startswith(profile.where)


def test_settings_of_dask_are_joined_and_stand_beside_the_users(written: Callable[[str], Path]) -> None:
    path = written(
        "default: a\nprofiles:\n  a:\n    class: dask.distributed.LocalCluster\n"
        "    config: {distributed: {comm: {timeouts: {connect: 3s}}},\n"
        "      distributed.worker.memory.spill: false}\n"
    )
    settings = started(load_profile(path, None))
    given = dask_settings(cluster_class(settings, "a"), settings)
    with dask.config.set({"distributed.comm.timeouts.tcp": "7s"}), dask.config.set(given):
        assert dask.config.get("distributed.comm.timeouts.connect") == "3s"
        assert dask.config.get("distributed.comm.timeouts.tcp") == "7s"
        assert dask.config.get("distributed.worker.memory.spill") is False
        assert dask.config.get("distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_") == 65536


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_a_missing_extra_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.startswith(LIBRARY[name])]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, LIBRARY[name], None)
    with pytest.raises(UsageError, match=rf'is not installed: pip install "latentscan\[{name}\]"$'):
        told(load_profile(SHIPPED, name))


def test_a_machine_without_sbatch_cannot_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch: not found"):
        told(load_profile(SHIPPED, "slurm"))
