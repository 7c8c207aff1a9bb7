"""The verbs of jobs: `submit` runs a job file, `jobs` looks after what was submitted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscan.cli.connection import Connection, on_workers
from latentscan.cli.reporting import counted, reported
from latentscan.cli.terminal import note, terminal_progress
from latentscan.errors import ClusterError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from latentscan.jobs.jobfile import Job
    from latentscan.store.jobs import JobRecord, StepRecord
    from latentscan.store.summary import Summary

JobOption = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="the job file", show_default=False)]
IdOption = Annotated[str, typer.Argument(metavar="ID", help="the id of the job", show_default=False)]
HomeOption = Annotated[str | None, typer.Option("--store", help="the store that keeps the job's record")]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON document")]
AGAIN = "what is finished is kept; submit the same job again to go on from there"
ADDRESS = "DASK_SCHEDULER_ADDRESS"
ASK_EVERY_S = 1.0
CANCELLED_WITHIN_S = 20.0


def add_submit(app: typer.Typer) -> None:
    """Add `submit`."""
    app.command("submit")(reported(submit, resuming=AGAIN))


def add_jobs(app: typer.Typer) -> None:
    """Add `jobs` with its verbs."""
    jobs = typer.Typer(
        help="List, show, follow and cancel submitted jobs.", no_args_is_help=True, rich_markup_mode=None
    )
    for name, command in (
        ("list", list_),
        ("show", show),
        ("logs", logs),
        ("wait", wait),
        ("cancel", cancel),
    ):
        jobs.command(name)(reported(command, resuming="the job itself goes on"))
    app.add_typer(jobs, name="jobs")


@on_workers
def submit(
    job: JobOption,
    plan: Annotated[bool, typer.Option("--plan", help="only say what would be run")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="leave it running on the cluster")] = False,
    force: Annotated[bool, typer.Option("--force", help="compute anew what is there already")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="with --plan: how many tasks would run at once"),
    ] = None,
    as_json: JsonOption = False,
    *,
    connection: Connection,
) -> None:
    """Run a job file: write stores, analyse each of them, and compare them; only what is not there yet."""
    from latentscan.jobs.jobfile import read_job

    if plan and detach:
        raise UsageError("give --plan or --detach, not both")
    if workers is not None and not plan:
        raise UsageError(f"--workers {workers}: expected with --plan; a job runs on the workers there are")
    read = read_job(job)
    if plan:
        _plan(read, workers or _workers_of(connection), force=force, as_json=as_json)
        return
    from latentscan.jobs.submit import begin_record, submit_detached, submit_job

    if detach:
        _require_staying(connection)
    with connection.open_cluster() as running:
        if detach:
            record = submit_detached(read, running, force=force)
        else:
            record = begin_record(read, running)
            note(f"job {record.id}, recorded in {read.home}")
            record = submit_job(
                read,
                running,
                record,
                force=force,
                progress=terminal_progress(),
                finished=_say_nothing if as_json else _say_step,
                rejected=_say_rejected,
            )
    if as_json:
        typer.echo(json.dumps(record.document()))
    elif detach:
        typer.echo(record.id)
    if detach:
        where = f"{record.id} --store {read.home}"
        note(f"it goes on without this command; to follow it: latentscan jobs logs --follow {where}")
        note(f"to wait for it: latentscan jobs wait {where}; to end it: latentscan jobs cancel {where}")
    if record.exit_code:
        raise typer.Exit(record.exit_code)


@on_workers
def list_(
    store: HomeOption = None,
    as_json: JsonOption = False,
    *,
    connection: Connection,
) -> None:
    """List the jobs of a store, or of a scheduler."""
    from latentscan.cli.jobs_shown import jobs_table
    from latentscan.store.jobs import list_jobs, read_job

    found: list[JobRecord] = []
    if store is not None:
        found = list_jobs(store)
    else:
        for job_id, home in _announced(connection).items():
            try:
                found.append(read_job(home, job_id))
            except (UsageError, StoreError) as error:
                note(f"job {job_id}: {error}")
    if as_json:
        typer.echo(json.dumps([_shown(record) for record in found]))
    elif found:
        _print(jobs_table(found))
    else:
        note("no jobs")


@on_workers
def show(
    job_id: IdOption,
    store: HomeOption = None,
    as_json: JsonOption = False,
    *,
    connection: Connection,
) -> None:
    """Show what a job consists of, how far it is, and what came of it."""
    from latentscan.cli.jobs_shown import job_table
    from latentscan.store.jobs import read_job

    home = _home(job_id, store, connection)
    record = read_job(home, job_id)
    if as_json:
        typer.echo(json.dumps(_shown(record)))
    else:
        _print(job_table(record, home))


@on_workers
def logs(
    job_id: IdOption,
    follow: Annotated[bool, typer.Option("--follow", help="go on until the job ends")] = False,
    store: HomeOption = None,
    *,
    connection: Connection,
) -> None:
    """Print what happened in a job, a line each."""
    home = _home(job_id, store, connection)
    last = ""
    for record in _followed(home, job_id):
        for at, line in record.log:
            if at > last:
                typer.echo(f"{at}  {line}")
        last = max([last, *(at for at, _ in record.log)])
        if not follow:
            return


@on_workers
def wait(
    job_id: IdOption,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="give up after")] = None,
    store: HomeOption = None,
    *,
    connection: Connection,
) -> None:
    """Wait until a job ends, and exit as it did."""
    home = _home(job_id, store, connection)
    began = time.monotonic()
    for record in _followed(home, job_id):
        if record.has_ended:
            typer.echo(f"{job_id} {record.state}")
            if record.error:
                note(f"error: {record.error}")
            raise typer.Exit(record.exit_code or 0)
        if timeout is not None and time.monotonic() - began >= timeout:
            note(f"{job_id} is {record.state} after {timeout:g} s of waiting; it goes on")
            raise typer.Exit(1)


@on_workers
def cancel(
    job_id: IdOption,
    store: HomeOption = None,
    *,
    connection: Connection,
) -> None:
    """Ask a job to end; what is finished of it is kept."""
    from latentscan.store.jobs import read_job, request_cancel

    home = _home(job_id, store, connection)
    record = read_job(home, job_id)
    if not record.has_ended:
        request_cancel(home, job_id)
    began = time.monotonic()
    while not record.has_ended and time.monotonic() - began < CANCELLED_WITHIN_S:
        if record.shown_state() in ("waiting", "lost"):
            break
        time.sleep(ASK_EVERY_S / 2)
        record = read_job(home, job_id)
    state = record.shown_state()
    typer.echo(f"{job_id} {state}")
    if state == "waiting":
        note("it has not begun, and ends as soon as a worker takes it up")
    elif state == "lost":
        note(f"the process that ran it was last heard of at {record.heard}; should it go on, the job ends")
    elif state == "running":
        note(f"it was asked to end, and has not yet; `latentscan jobs wait {job_id}` tells when it does")


def _plan(job: Job, workers: int, *, force: bool, as_json: bool) -> None:
    from latentscan.cli.jobs_shown import plan_table
    from latentscan.jobs.plan import plan_job

    planned = plan_job(job, workers=workers, force=force)
    if as_json:
        typer.echo(json.dumps(planned.document()))
    else:
        _print(plan_table(planned))


def _workers_of(connection: Connection) -> int:
    """Guess how many tasks run at once on a cluster that is not asked: as many as its profile says."""
    from latentscan.engine.profiles import Started, load_profile
    from latentscan.processors import processors

    if connection.scheduler is None and connection.named:
        settings = load_profile(connection.cluster, connection.profile).settings
        if isinstance(settings, Started):
            most = (
                settings.adapt.maximum if settings.adapt is not None else settings.keywords.get("n_workers")
            )
            said = settings.scale or most
            if isinstance(said, int):
                return said * int(settings.keywords.get("threads_per_worker") or 1)
    if connection.named:
        note("a plan connects to nothing; give --workers N for a cluster that runs N tasks at once")
    return processors()


def _followed(home: str, job_id: str) -> Iterator[JobRecord]:
    """Give the record again and again until the job has ended.

    Raises
    ------
    ClusterError
        If the job is not heard of any more.
    """
    from latentscan.store.jobs import read_job

    while True:
        record = read_job(home, job_id)
        yield record
        if record.has_ended:
            return
        if record.shown_state() == "lost":
            raise ClusterError(
                f"job {job_id}: nothing was heard of it since {record.heard}; "
                "submit the same job again to go on from there"
            )
        time.sleep(ASK_EVERY_S)


def _home(job_id: str, store: str | None, connection: Connection) -> str:
    """Find the store that has the record of a job."""
    if store is not None:
        return store
    known = _announced(connection)
    if job_id not in known:
        raise UsageError(
            f"the scheduler knows no job {job_id}; it has {', '.join(known) or 'none'}. "
            "Jobs of a scheduler that is gone are found with --store STORE"
        )
    return known[job_id]


def _announced(connection: Connection) -> dict[str, str]:
    """Ask a scheduler which jobs it was given: the stores that keep their records, by id."""
    if not connection.named:
        address = os.environ.get(ADDRESS)
        if address is None:
            raise UsageError(
                "jobs are kept in stores and known to schedulers: "
                f"give --store STORE, --scheduler ADDRESS, or --profile NAME, or set {ADDRESS}"
            )
        connection = connection._replace(scheduler=address)
    _require_staying(connection)
    with connection.open_cluster(idle=True) as cluster:
        return {job_id: str(said["store"]) for job_id, said in cluster.announced().items()}


def _require_staying(connection: Connection) -> None:
    """Make sure, before a cluster is started, that one is meant that runs already."""
    from latentscan.engine.connecting import stays

    if not stays(connection.scheduler, connection.cluster, connection.profile):
        raise UsageError(
            "the cluster of this profile ends with the command; name one that runs already, "
            "with --scheduler ADDRESS or a profile that has an address"
        )


def _shown(record: JobRecord) -> dict[str, Any]:
    return {**record.document(), "state": record.shown_state()}


def _print(what: RenderableType) -> None:
    from rich.console import Console

    Console(highlight=False, markup=False).print(what)


def _say_nothing(_step: StepRecord) -> None:
    return


def _say_step(step: StepRecord) -> None:
    how = "there already" if step.kept else f"computed in {step.wall_s or 0:,.1f} s"
    typer.echo(f"{step.name}: {how}: {step.result}")


def _say_rejected(store: str, summary: Summary) -> None:
    from latentscan.store.summary import describe

    counts = ", ".join(f"{count:,} {describe(status)}" for status, count in summary.rejected.items())
    note(f"{store}: {counted(sum(summary.rejected.values()), 'image')} rejected ({counts}):")
    for path, reason in summary.named:
        note(f"  {path}: {reason}")
