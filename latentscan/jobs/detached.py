"""Jobs that are left running on a cluster, where a worker drives them."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.errors import LatentscanError, UsageError
from latentscan.images.location import exists
from latentscan.jobs.journal import Journal, ended_by_failure
from latentscan.jobs.record import read_record
from latentscan.jobs.run import begin_record, run_job
from latentscan.jobs.spec import job_of
from latentscan.models.kinds import function_of

if TYPE_CHECKING:
    from latentscan.encoding.parameters import Encode
    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.execution.executor import Control
    from latentscan.jobs.record import JobRecord
    from latentscan.jobs.spec import Job
    from latentscan.jobs.training import Train

LOOKED_WITHIN_S = 20.0


def submit_detached(job: Job, cluster: DistributedExecutor, *, force: bool = False) -> JobRecord:
    """Run a job on the workers of a cluster, whatever becomes of this process; return its record.

    Before that a worker looks whether it sees the record and what is to be encoded: nobody would ever hear
    of a job that cannot reach its record. Where all workers are busy for long, the job queues up unchecked.

    Raises
    ------
    UsageError
        If the cluster would end with this process, no record can be written, or workers do not see a path.
    StoreError
        If workers cannot read the store.
    ClusterError
        If the cluster is lost.
    """
    if not cluster.stays:
        raise UsageError("these workers end with this process; a detached job needs a cluster that stays")
    record = begin_record(job, cluster)
    from latentscan.cluster.detach import detach

    arguments = (job.home, job.document, job.name, record.id, force)
    with ended_by_failure(job.home, record):
        _require_seen(job, cluster, record.id)
        detach(cluster, run_detached, *arguments, key=f"latentscan-{record.id}")
    return record


def run_detached(
    cluster: DistributedExecutor, home: str, document: dict[str, Any], name: str, job_id: str, force: bool
) -> None:
    """Run a job in a task of a cluster; what it fails with is in the record.

    Where the worker of an earlier driver was lost, this one takes the record up.

    Parameters
    ----------
    cluster
        The cluster that runs this task.
    home
        The store that holds the record.
    document
        The job file's content, as JSON.
    name
        The job's name.
    job_id
        The record's id.
    force
        Compute anew what is cached.
    """
    record = read_record(home, job_id)
    if record.has_ended:
        return
    if record.started is not None:
        record = record.logged("taken up again: the process that ran it was lost")
    try:
        with ended_by_failure(home, record):
            job = job_of(document, name=name, origin=job_id)
        run_job(job, cluster, Journal(home, record), force=force)
    except LatentscanError:
        return  # a task that fails would be run again elsewhere, or reported to nobody


class _AllBusyError(Exception):
    """No worker had a thread for a task."""


def _require_seen(job: Job, cluster: DistributedExecutor, job_id: str) -> None:
    """Check on a worker that it sees what the driver of a job needs, unless none is free for a while."""
    encode, made = job.encode, {training.out for training in job.train}
    models = [] if encode is None else [model for model in encode.model if model not in made]
    files = [str(function_of(Path(model))[0]) for model in models]
    read: list[Train | Encode] = [*job.train, *filter(None, [encode])]
    paths = (*files, *(path for one in read for path in (one.images, one.root) if path is not None))
    until, before = time.monotonic() + LOOKED_WITHIN_S, cluster.heartbeat

    def heartbeat() -> None:
        before()
        if time.monotonic() > until:
            raise _AllBusyError

    cluster.heartbeat = heartbeat
    try:
        with suppress(_AllBusyError):
            cluster.run_tasks(
                _look, [(job.home, job_id, paths)], describe=lambda asked: f"looking for {asked[0]}"
            )
    finally:
        cluster.heartbeat = before


def _look(asked: tuple[str, str, tuple[str, ...]], _control: Control) -> None:
    """Check, as a task, that a worker sees the record of a job and some paths."""
    home, job_id, paths = asked
    try:
        read_record(home, job_id)
    except UsageError:
        raise _unseen(home) from None
    for path in paths:
        if not exists(path):
            raise _unseen(path)


def _unseen(path: str) -> UsageError:
    return UsageError(
        f"{path}: a worker of the cluster does not see it; a detached job needs paths that all machines "
        "share, or s3:// URLs of stores and images"
    )
