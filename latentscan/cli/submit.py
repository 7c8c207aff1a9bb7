"""`submit`: a job file is run, planned, or left running on a cluster."""

from __future__ import annotations

import shlex
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentscan.cli.cluster_options import Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import counted, reported
from latentscan.cli.terminal import note, print_json, print_line, print_text
from latentscan.errors import LatentscanError, UsageError
from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import terminal_progress
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from latentscan.execution.executor import Executor
    from latentscan.jobs.record import JobRecord, StepRecord
    from latentscan.jobs.spec import Job
    from latentscan.scan.rejects import Summary

JobOption = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="the job file", show_default=False)]
AGAIN = "what is finished is saved; submit the same job again to go on from there"


def add_submit(app: typer.Typer) -> None:
    """Add `submit`."""
    app.command("submit")(reported(submit, resuming=AGAIN))


@on_workers
def submit(
    job: JobOption,
    plan: Annotated[bool, typer.Option("--plan", help="only say what would be run")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="leave it running on the cluster")] = False,
    force: Annotated[bool, typer.Option("--force", help="compute anew what is cached")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="with --plan: how many tasks would run at once"),
    ] = None,
    as_json: JsonOption = False,
    *,
    connection: Connection,
) -> None:
    """Run a job file: write stores, analyse each of them, and compare them; only what is not cached."""
    from latentscan.jobs.run import require_stores
    from latentscan.jobs.spec import read_job

    if plan and detach:
        raise UsageError("give --plan or --detach, not both")
    if workers is not None and not plan:
        raise UsageError(f"--workers {workers}: expected with --plan; a job runs on the workers there are")
    read = read_job(job)
    if plan:
        _plan(read, workers or _workers_of(connection), force=force, as_json=as_json)
        return
    require_stores(read)
    if detach:
        record = _left_running(read, connection, force=force)
    else:
        record = _run(read, connection, force=force, say_step=_say_nothing if as_json else _say_step)
    if as_json:
        print_json(record.document())
    elif detach:
        print_line(record.id)
    if record.exit_code:
        raise typer.Exit(record.exit_code)


def _left_running(job: Job, connection: Connection, *, force: bool) -> JobRecord:
    from latentscan.jobs.detached import submit_detached

    connection.require_staying()
    with connection.open_cluster() as cluster:
        record = submit_detached(job, cluster, force=force)
    note("it goes on without this command; to follow it, wait for it, or end it:")
    for verb in ("logs --follow", "wait", "cancel"):
        note(f"latentscan jobs {verb} {record.id} --store {shlex.quote(job.home)}")
    return record


def _run(
    job: Job, connection: Connection, *, force: bool, say_step: Callable[[StepRecord], object]
) -> JobRecord:
    from latentscan.jobs.run import begin_record, submit_job

    with _workers_for(job, connection, force=force) as workers:
        record = begin_record(job, workers)
        note(f"job {record.id}, recorded in {job.home}")
        return submit_job(
            *(job, workers, record),
            force=force,
            progress=terminal_progress(),
            on_step_done=say_step,
            on_rejects=_say_rejected,
        )


def _workers_for(job: Job, connection: Connection, *, force: bool) -> AbstractContextManager[Executor]:
    """Open the cluster that is meant; one that would be started is not, where all results are cached."""
    if connection.starts and not force:
        from latentscan.jobs.plan import all_cached

        with suppress(LatentscanError):  # the job itself fails with it, and is recorded so
            if all_cached(job):
                return nullcontext(IN_PROCESS)
    return connection.open_cluster()


def _plan(job: Job, workers: int, *, force: bool, as_json: bool) -> None:
    from latentscan.cli.job_tables import plan_table
    from latentscan.jobs.plan import plan_job

    planned = plan_job(job, tasks_at_once=workers, force=force)
    if as_json:
        print_json(planned.document())
    else:
        print_text(plan_table(planned))


def _workers_of(connection: Connection) -> int:
    """Guess how many tasks run at once on a cluster that is not asked: as many as its profile says."""
    from latentscan.cluster.backends.registry import backend_of
    from latentscan.cluster.launch import cluster_class
    from latentscan.cluster.profiles import ClusterSpec, load_profile
    from latentscan.processors import processors

    if connection.scheduler is None:
        chosen = load_profile(connection.cluster, connection.profile, trust=connection.trust_cluster)
        settings = chosen.settings
        if isinstance(settings, ClusterSpec):
            most = (
                settings.adapt.maximum if settings.adapt is not None else settings.keywords.get("n_workers")
            )
            said = settings.scale or most
            if isinstance(said, int):
                with suppress(UsageError):  # the class is not installed here
                    return said * backend_of(cluster_class(settings, chosen.where)).threads(settings)
                return said
            if settings.cluster_class.endswith(".LocalCluster"):
                return processors()
    note("a plan connects to nothing; give --workers N for a cluster that runs N tasks at once")
    return processors()


def _say_nothing(_step: StepRecord) -> None:
    return


def _say_step(step: StepRecord) -> None:
    how = "cached" if step.cached else f"computed in {step.wall_s or 0:,.1f} s"
    print_line(f"{one_line(step.name)}: {how}: {one_line(step.result)}")


def _say_rejected(store: str, summary: Summary) -> None:
    from latentscan.scan.rejects import describe

    counts = ", ".join(f"{count:,} {describe(status)}" for status, count in summary.rejected.items())
    note(f"{store}: {counted(sum(summary.rejected.values()), 'image')} rejected ({counts}):")
    for path, reason in summary.named:
        note(f"  {one_line(path)}: {one_line(reason)}")
