"""Jobs of a batch system: the `JobQueueCluster` classes, such as `SLURMCluster`."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import (
    LOOPBACK,
    Backend,
    dashboard_address,
    encryption,
    require_workers,
    resource_options,
    worker_variables,
)
from latentscan.errors import ClusterError

if TYPE_CHECKING:
    from latentscan.cluster.profiles import ClusterSpec, Profile


def _arguments(cluster_class: Any, profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    from dask.config import get

    job: Any = getattr(cluster_class, "job_cls", None)
    command = shlex.split(getattr(job, "submit_command", None) or "true")[0]
    if shutil.which(command) is None:
        raise ClusterError(f"{profile.where}: {command}: not found; expected a machine that can queue jobs")
    keywords = {"job_name": "latentscan", **encryption(spec), "silence_logs": "critical", **spec.keywords}
    require_workers(profile, spec, keywords)
    section = f"jobqueue.{keywords.get('config_name') or getattr(job, 'config_name', None)}"
    if "cores" in keywords:
        keywords.setdefault("processes", keywords["cores"])
    keywords["scheduler_options"] = {
        "dashboard_address": dashboard_address(),
        **(keywords.get("scheduler_options") or get(f"{section}.scheduler-options", {})),
    }
    variables = worker_variables(spec, _threads(spec))
    exports = [f"export {name}={shlex.quote(text)}" for name, text in variables.items()]
    own = keywords.get("job_script_prologue") or get(f"{section}.job-script-prologue", [])
    keywords["job_script_prologue"] = [*exports, *own]
    extra = keywords.get("worker_extra_args") or get(f"{section}.worker-extra-args", [])
    if "--dashboard-address" not in extra:
        extra = [*extra, "--dashboard-address", f"{LOOPBACK}:0"]
    keywords["worker_extra_args"] = [*extra, *map(shlex.quote, resource_options(spec))]
    if keywords.get("security") and not get(f"{section}.shared-temp-directory", None):
        keywords.setdefault("shared_temp_directory", str(Path.home()))
    return keywords


def _forwards_to(cluster_class: Any) -> tuple[Any, ...]:
    return tuple(getattr(getattr(cluster_class, "job_cls", None), "__mro__", ()))


def _threads(spec: ClusterSpec) -> int:
    cores = spec.keywords.get("cores") or 1
    return max(1, int(cores) // int(spec.keywords.get("processes") or cores))


JOBQUEUE = Backend(_arguments, _forwards_to, threads=_threads)
