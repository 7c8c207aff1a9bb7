"""Which cluster files are read, and what they may say without the word of the user."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from latentscan.cluster.profiles import load_profile
from latentscan.cluster.trust import CLASSES, require_known, require_own
from latentscan.errors import UnsafeInputError, UsageError, spelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOCAL = "class: dask.distributed.LocalCluster"
SLURM = "class: dask_jobqueue.SLURMCluster, scale: 1"
RUNS_CODE = {
    "class: this.s": "class: this.s: expected a known class",
    "class: os.system": "class: os.system: expected a known class",
    "class: dask.distributed.Nothing": "expected a known class",
    f"{LOCAL}, config: {{distributed.scheduler.preload: [a.py]}}": r"config: .*scheduler\.preload: .*a\.py",
    f"{LOCAL}, config: {{distributed: {{worker: {{preload: a.py}}}}}}": "config: distributed.worker.preload",
    f"{LOCAL}, config: {{distributed.nanny.preload-argv: [a]}}": "config: .*preload-argv",
    f"{LOCAL}, config: {{distributed.scheduler.http.routes: [mod]}}": r"config: .*http\.routes",
    f"{LOCAL}, config: {{logging: {{handlers: {{a: {{class: mod.B}}}}}}}}": r"config: logging\.handlers",
    f"{LOCAL}, config: {{gateway.auth.type: mod.Auth}}": r"config: gateway\.auth\.type",
    f"{LOCAL}, config: {{distributed.nanny.pre-spawn-environ.LD_PRELOAD: a.so}}": "config: .*LD_PRELOAD",
    f"{LOCAL}, config: {{distributed.nanny.pre_spawn_environ.PYTHONPATH: a}}": "config: .*PYTHONPATH",
    f"{LOCAL}, env: {{LD_PRELOAD: a.so}}": "env: LD_PRELOAD",
    f"{LOCAL}, env: {{PYTHONPATH: .}}": "env: PYTHONPATH",
    f"{LOCAL}, env: {{DASK_DISTRIBUTED__WORKER__PRELOAD: a.py}}": "env: DASK_DISTRIBUTED__WORKER__PRELOAD",
    f"{LOCAL}, kwargs: {{preload: [a.py]}}": "kwargs: preload",
    f"{LOCAL}, kwargs: {{scheduler_kwargs: {{preload-argv: a}}}}": "kwargs: scheduler_kwargs.preload-argv",
    f"{LOCAL}, kwargs: {{worker_class: mod.Worker}}": "kwargs: worker_class",
    f"{LOCAL}, kwargs: {{pre_import: mod}}": "kwargs: pre_import",
    f"{SLURM}, kwargs: {{worker_extra_args: [--preload, a.py]}}": "--preload",
    f"{SLURM}, kwargs: {{worker_extra_args: [--preload=a.py]}}": "--preload=a",
    f"{SLURM}, kwargs: {{worker_command: dask worker --preload a.py}}": "worker --preload",
    f"{LOCAL}, kwargs: {{env: {{PYTHONSTARTUP: a.py}}}}": "kwargs: env.PYTHONSTARTUP",
    "class: dask.distributed.SSHCluster, kwargs: {connect_options: [{proxy_command: rm}]}": "proxy_command",
    "class: dask_gateway.GatewayCluster, scale: 1, kwargs: {auth: mod.Auth}": "kwargs: auth: mod.Auth",
}


@pytest.mark.parametrize("text", RUNS_CODE)
def test_what_would_run_code_is_refused_unless_trusted(text: str, written: Callable[[str], Path]) -> None:
    path = written(f"default: a\nprofiles: {{a: {{{text}}}}}\n")
    with pytest.raises(UnsafeInputError, match=RUNS_CODE[text]) as caught:
        load_profile(path, None)
    assert caught.value.exit_code == 6
    assert "--trust-cluster" in spelled(caught.value.spelled("command line"), "command line")
    assert load_profile(path, None, trust=True).name == "a"


PLAIN = [
    "config: {distributed: {comm: {timeouts: {connect: 3s}, compression: zlib}}}",
    "config: {distributed.worker.memory: {target: 0.6, terminate: 95%}, temporary-directory: /tmp}",
    "config: {distributed.scheduler.preload: [], distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS: 2}",
    "config: {jobqueue.slurm.queue: normal, jobqueue.slurm.walltime: '01:00:00'}",
    "env: {CUDA_VISIBLE_DEVICES: 0, TF_CPP_MIN_LOG_LEVEL: 1, PYTHONHASHSEED: 0, HTTP_PROXY: 'http://a:1'}",
    "kwargs: {n_workers: 2, memory_limit: 4GiB, env: {OMP_NUM_THREADS: 1}, auth: jupyterhub}",
]


@pytest.mark.parametrize("text", PLAIN)
def test_settings_of_every_day_need_no_trust(text: str, written: Callable[[str], Path]) -> None:
    assert load_profile(written(f"profiles: {{a: {{{LOCAL}, {text}}}}}\n"), "a").name == "a"


def test_every_known_class_may_be_named() -> None:
    for module, names in CLASSES.items():
        for name in names:
            require_known("a", f"{module}.{name}", {}, {}, {})


def test_no_module_is_imported_to_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "trace.py").write_text("open('trace', 'w')\n")
    (tmp_path / "a.yaml").write_text("profiles: {a: {class: trace.Cluster}}\n")
    code = (
        "from latentscan.cluster.profiles import load_profile; from pathlib import Path; "
        "load_profile(Path('a.yaml'), 'a')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert "UnsafeInputError" in done.stderr
    assert not (tmp_path / "trace").exists()


def status_of(
    path: Path, *, mode: int = 0o644, user: int | None = None, group: int | None = None
) -> os.stat_result:
    """Return the status of a file, as if it had this mode, owner and group."""
    own = path.stat()
    changed = list(own)
    changed[0] = own.st_mode & ~0o7777 | mode
    changed[4] = own.st_uid if user is None else user
    changed[5] = own.st_gid if group is None else group
    return os.stat_result(changed)


@pytest.mark.skipif(os.name != "posix", reason="of owners and modes")
def test_a_file_that_others_can_write_is_refused(written: Callable[[str], Path]) -> None:
    path = written(f"profiles: {{a: {{{LOCAL}}}}}")
    foreign = 4_000_000_000
    for mode, user, group in (
        (0o644, None, None),
        (0o600, None, foreign),
        (0o640, None, foreign),
        (0o644, 0, 0),
    ):
        require_own(path, status_of(path, mode=mode, user=user, group=group))
    with pytest.raises(UnsafeInputError, match=r"belongs to user 4000000000.*a copy of your own"):
        require_own(path, status_of(path, user=foreign))
    for mode in (0o646, 0o666, 0o777):
        with pytest.raises(
            UnsafeInputError, match=r"other users can write it.*: chmod go-w /.*cluster\.yaml"
        ):
            require_own(path, status_of(path, mode=mode))
    with pytest.raises(UnsafeInputError, match="chmod go-w"):
        require_own(path, status_of(path, mode=0o664, group=foreign))


@pytest.mark.skipif(os.name != "posix", reason="of owners and modes")
def test_modes_of_the_file_and_its_folder_count(written: Callable[[str], Path]) -> None:
    path = written(f"profiles: {{a: {{{LOCAL}}}}}")
    path.chmod(0o666)
    with pytest.raises(UnsafeInputError, match="other users can write it"):
        load_profile(path, "a")
    assert load_profile(path, "a", trust=True).name == "a"
    path.chmod(0o644)
    for mode, refused in ((0o777, True), (0o1777, False), (0o755, False)):
        path.parent.chmod(mode)
        if refused:
            with pytest.raises(UnsafeInputError, match=r"every user can replace it.*chmod o-w"):
                load_profile(path, "a")
        else:
            assert load_profile(path, "a").name == "a"


def test_workers_have_a_bound(written: Callable[[str], Path]) -> None:
    for text in ("scale: 1000000", "adapt: {maximum: 1000000}", "workers_timeout: 1e300"):
        with pytest.raises(UsageError, match="less than or equal to"):
            load_profile(written(f"profiles: {{a: {{{LOCAL}, {text}}}}}"), "a")
