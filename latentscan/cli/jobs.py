"""The verbs of `jobs`, which look after what was submitted."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscan.cli.cluster_options import Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import reported
from latentscan.cli.terminal import is_read, note, print_json, print_line, print_text
from latentscan.errors import ClusterError, StoreError, UsageError
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latentscan.jobs.record import JobRecord

IdOption = Annotated[str, typer.Argument(metavar="ID", help="the id of the job", show_default=False)]
HomeOption = Annotated[str | None, typer.Option("--store", help="the store that holds the job's record")]
ADDRESS = "DASK_SCHEDULER_ADDRESS"
SAY_EVERY_S = 10.0
ASK_EVERY_S = 1.0
CANCELLED_WITHIN_S = 20.0


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
def list_(
    store: HomeOption = None,
    as_json: JsonOption = False,
    *,
    connection: Connection,
) -> None:
    """List the jobs of a store, or of a scheduler."""
    from latentscan.cli.job_tables import jobs_table
    from latentscan.jobs.record import list_records, read_record

    found: list[JobRecord] = []
    if store is not None:
        _require_unconnected(connection)
        found = list_records(store, damaged=lambda error: note(error.spelled("command line")))
    else:
        for job_id, home in _announced(connection).items():
            try:
                found.append(read_record(home, job_id))
            except (UsageError, StoreError) as error:
                note(f"job {job_id}: {error.spelled('command line')}")
    if as_json:
        print_json([_shown(record) for record in found])
    elif found:
        print_text(jobs_table(found))
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
    from latentscan.cli.job_tables import job_table
    from latentscan.jobs.record import read_record

    home = _home(job_id, store, connection)
    record = read_record(home, job_id)
    if as_json:
        print_json(_shown(record))
    else:
        print_text(job_table(record, home))


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
    last: tuple[str, str] | None = None
    for record in _followed(home, job_id):
        known = [number for number, entry in enumerate(record.log) if entry == last]
        for at, line in record.log[known[-1] + 1 if known else 0 :]:
            print_line(f"{one_line(at)}  {one_line(line)}")
        last = record.log[-1] if record.log else None
        if not (follow and is_read()):
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
    if timeout is not None and math.isnan(timeout):
        raise UsageError("--timeout nan: expected seconds")
    home = _home(job_id, store, connection)
    began = said_at = time.monotonic()
    for record in _followed(home, job_id):
        if not record.has_ended and time.monotonic() - said_at >= SAY_EVERY_S:
            said_at = time.monotonic()
            if record.state == "waiting":
                note(f"it has not begun; should {record.cluster or record.host} be gone, submit it again")
            elif record.progress:
                note("{label}: {done:,} of {total:,} {unit}".format_map(record.progress))
        if record.has_ended:
            print_line(f"{job_id} {record.state}")
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
    """Ask a job to end; what is finished of it stays."""
    from latentscan.jobs.record import read_record, request_cancel

    home = _home(job_id, store, connection)
    record = read_record(home, job_id)
    if record.has_ended:
        note("it has ended already")
    else:
        request_cancel(home, job_id)
    began = time.monotonic()
    while not record.has_ended and time.monotonic() - began < CANCELLED_WITHIN_S:
        if record.shown_state() == "lost":
            break
        time.sleep(ASK_EVERY_S / 2)
        record = read_record(home, job_id)
    state = record.shown_state()
    print_line(f"{job_id} {state}")
    if state == "lost":
        note(
            f"the process that ran it gave no sign of life since {record.heard}; if it is alive, it will stop"
        )
    elif state == "running":
        note(f"it was asked to end, and has not yet; `latentscan jobs wait {job_id}` waits until it does")


def _followed(home: str, job_id: str) -> Iterator[JobRecord]:
    """Yield the record again and again until the job has ended.

    Raises
    ------
    ClusterError
        If it runs and gives no sign of life for long, by the clock of this process.
    """
    from latentscan.jobs.record import LOST_AFTER_S, read_record

    heard, since = None, time.monotonic()
    while True:
        record = read_record(home, job_id)
        yield record
        if record.has_ended:
            return
        if record.heard != heard:
            heard, since = record.heard, time.monotonic()
        if record.state == "running" and time.monotonic() - since > LOST_AFTER_S:
            raise ClusterError(
                f"job {job_id}: no sign of life since {record.heard}; "
                "submit the same job again to go on from there"
            )
        time.sleep(ASK_EVERY_S)


def _home(job_id: str, store: str | None, connection: Connection) -> str:
    """Return the store that has the record of a job."""
    if store is not None:
        _require_unconnected(connection)
        return store
    known = _announced(connection)
    if job_id not in known:
        raise UsageError(
            f"the scheduler knows no job {job_id}; it has {', '.join(known) or 'none'}. "
            "Jobs of a scheduler that is gone are found with --store STORE"
        )
    return known[job_id]


def _announced(connection: Connection) -> dict[str, str]:
    """Return the stores that hold the records of the jobs that a scheduler knows, by id."""
    if not connection.named:
        address = os.environ.get(ADDRESS)
        if address is None:
            raise UsageError(
                "the record of a job is in a store, and schedulers know where: "
                f"give --store STORE, --scheduler ADDRESS, or --profile NAME, or set {ADDRESS}"
            )
        note(f"asking the scheduler that {ADDRESS} names; --store STORE asks a store")
        connection = connection._replace(scheduler=address)
    connection.require_staying()
    with connection.open_cluster(idle=True) as cluster:
        return {job_id: str(said["store"]) for job_id, said in cluster.announced().items()}


def _require_unconnected(connection: Connection) -> None:
    if connection.named or connection.insecure or connection.trust_cluster:
        raise UsageError(
            "--store names where the record is, and no cluster is asked: "
            "leave out --scheduler, --cluster, --profile, --insecure and --trust-cluster"
        )


def _shown(record: JobRecord) -> dict[str, Any]:
    return {**record.document(), "state": record.shown_state()}
