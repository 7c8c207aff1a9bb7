from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.cluster.profiles import load_profile
from latentscan.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.cluster.profiles import Profile

SHIPPED = Path(__file__).parents[3] / "cluster.yaml"


@pytest.mark.usefixtures("queue")
def test_jobs_export_the_environment_and_offer_resources(
    keywords_of: Callable[[Profile], dict[str, Any]], written: Callable[[str], Path]
) -> None:
    pytest.importorskip("dask_jobqueue")
    path = written(
        "profiles:\n  s:\n    class: dask_jobqueue.SLURMCluster\n    scale: 2\n    resources: {GPU: 1}\n"
        "    env: {HELLO: it's}\n    kwargs: {cores: 4, processes: 2, memory: 2GiB, "
        "job-script-prologue: [cd $HOME]}\n"
    )
    keywords = keywords_of(load_profile(path, "s"))
    prologue = keywords["job_script_prologue"]
    assert "export OMP_NUM_THREADS=2" in prologue
    assert "export TF_FORCE_GPU_ALLOW_GROWTH=true" in prologue
    assert prologue[-2:] == ["""export HELLO='it'"'"'s'""", "cd $HOME"]
    assert keywords["worker_extra_args"] == ["--dashboard-address", "127.0.0.1:0", "--resources", "GPU=1"]
    assert keywords["scheduler_options"]["dashboard_address"].startswith("127.0.0.1:")


def test_a_machine_without_sbatch_cannot_queue(
    keywords_of: Callable[[Profile], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch: not found"):
        keywords_of(load_profile(SHIPPED, "slurm"))
