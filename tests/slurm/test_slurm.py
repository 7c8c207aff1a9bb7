"""The project's own profile and job on a real batch system, which is set up on this machine for the test."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from latentscan.encoding.ingest import ingest
from latentscan.store.reader import open_store
from tests.builders import analyse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized

PROJECT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("one_machine.sh")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
ABSENT = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run SLURM"),
    pytest.mark.skipif(
        bool(ABSENT), reason=f"{', '.join(ABSENT)} not found: apt-get install slurm-wlm munge"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("dask_jobqueue") is None, reason="needs the extra latentscan[slurm]"
    ),
]


def done(*command: str | Path, environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Run a command, show what it says where it fails, and give its output."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=False, env=environment, cwd=folder
    )
    assert ended.returncode == 0, f"{command}: exit code {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def processes_under(configuration: Path) -> list[str]:
    """Return the command lines of all processes that belong to the SLURM of this configuration."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if f"SLURM_CONF={configuration}".encode() in environment.split(b"\0"):
            found.append(command.replace(b"\0", b" ").decode())
    return found


def left(look: Callable[[], Sized]) -> Sized:
    """Return what is still there after a while, which is what it takes a job to end."""
    deadline = time.monotonic() + 20
    while len(there := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return there


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which sbatch and the others speak to a SLURM of this test's own."""
    folder = tmp_path / "slurm"
    configuration = folder / "slurm.conf"
    try:
        done(SCRIPT, "start", folder)
        yield {**os.environ, "SLURM_CONF": str(configuration)}
    finally:
        done(SCRIPT, "stop", folder)
    assert not left(lambda: processes_under(configuration))


def noise(folder: Path) -> Path:
    """Write a store of 20 blocks."""
    rng = np.random.default_rng(3)
    arrays = {name: folder / f"{name}.npy" for name in ("mu", "logvar", "z")}
    for path in arrays.values():
        np.save(path, rng.standard_normal((1000, 8)).astype(np.float32))
    ingest(arrays, str(folder / "z.zarr"), chunk_rows=50)
    return folder / "z.zarr"


def write_profile(folder: Path) -> Path:
    """Write the project's profile for this machine: other places and sizes, the same cluster."""
    clusters = yaml.safe_load((PROJECT / "cluster.yaml").read_text())
    profile = clusters["profiles"]["slurm"]
    site = {
        "queue": "main",
        "cores": 1,
        "memory": "1GiB",
        "interface": "lo",
        "log_directory": str(folder / "logs"),
        "shared_temp_directory": str(folder),
    }
    kept = {key: value for key, value in profile["kwargs"].items() if key != "account"}
    profile.pop("adapt", None)
    clusters["profiles"]["slurm"] = {**profile, "kwargs": {**kept, **site}, "scale": 2}
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(clusters))
    return path


def write_job(folder: Path, store: Path) -> Path:
    """Write the project's job for another store."""
    job = yaml.safe_load((PROJECT / "jobs" / "stats.yaml").read_text())
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**job, "store": str(store)}))
    return path


def test_a_job_is_queued_with_sbatch_and_finishes(slurm: dict[str, str], tmp_path: Path) -> None:
    store = noise(tmp_path)
    here = open_store(str(shutil.copytree(store, tmp_path / "here.zarr")))
    analyse(here, "stats")
    job, cluster = write_job(tmp_path, store), write_profile(tmp_path)
    submit = (sys.executable, "-m", "latentscan", "submit", job, "--cluster", cluster, "--profile", "slurm")
    done(*submit, environment=slurm, folder=tmp_path)

    queued = re.findall(r"JobId=(\d+)", done("scontrol", "show", "job", environment=slurm))
    assert len(queued) == 2
    logs = ["\n".join(log.read_text() for log in tmp_path.glob(f"logs/*-{number}.*")) for number in queued]
    assert any("Registered to" in log for log in logs), logs

    expected, found = (analyse(one, "stats", cached_only=True) for one in (here, open_store(str(store))))
    assert found.attributes["images"] == expected.attributes["images"] == 1000
    assert found.variables.keys() == expected.variables.keys()
    for name, variable in expected.variables.items():
        assert variable.values.tobytes() == found[name].tobytes(), name

    assert not left(lambda: done("squeue", "--noheader", environment=slurm))
    assert not left(lambda: [line for line in processes_under(Path(slurm["SLURM_CONF"])) if "dask" in line])
    assert not list(tmp_path.glob(".dask-jobqueue*"))  # the keys of temporary certificates
