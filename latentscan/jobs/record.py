"""The records of jobs, in a store: what was run, by whom, how far it is, and what came of it.

A record is the attributes of the Zarr group ``jobs/<id>``. One process writes it, the one that runs the
job; everybody else reads, or leaves the mark that asks for the job's end. Whoever cancels one that no
process has begun ends its record, too.
"""

from __future__ import annotations

import dataclasses
import getpass
import platform
import re
import secrets
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, get_args

from latentscan.errors import INTERRUPTED, StoreError, UsageError, command
from latentscan.store.atomic import METADATA, backing, exists, list_names, read_json, write_json
from latentscan.store.metadata import no_store, read_root
from latentscan.store.schema import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable

CANCEL = "cancel"
LOST_AFTER_S = 120.0  # more than a worker is stopped for when a machine is suspended
LOG_LINES = 500  # of the log
ID = re.compile(r"[A-Za-z0-9-]+")
PACKAGES = ("latentscan", "numpy", "zarr", "dask", "distributed", "scikit-learn", "opentsne", "tensorflow")

State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
ENDED = frozenset({"done", "failed", "cancelled", "interrupted"})


@dataclass(frozen=True)
class StepRecord:
    """What is known of a step of a job; times are UTC in ISO 8601, None where it is not that far.

    Parameters
    ----------
    name, store
        The step, and the store that it is of, or the stores with commas between.
    state
        As that of a job.
    cached
        Whether all of it was cached, or, of a store, written before.
    result
        Where its result is.
    """

    name: str
    store: str
    state: State = "waiting"
    started: str | None = None
    ended: str | None = None
    wall_s: float | None = None
    cached: bool | None = None
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class JobRecord:
    """All that is known of a job; times are UTC in ISO 8601, None where it is not that far.

    Parameters
    ----------
    job
        The job's document, as in its file.
    user, host
        Who submitted it, and where.
    cluster
        The address of the scheduler; none where the threads of the host are used.
    heard
        When the process that runs it gave its last sign of life.
    driver
        Names that process, so that one which was replaced notices it.
    progress
        The latest piece of work: its label, how much of how much is done, and of what unit.
    error
        What the job failed with.
    exit_code
        What the command ends with that runs the job or waits for it.
    log
        Times and lines.
    """

    id: str
    name: str
    job: dict[str, Any]
    state: State = "waiting"
    user: str = ""
    host: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    cluster: str | None = None
    submitted: str = ""
    started: str | None = None
    heard: str | None = None
    ended: str | None = None
    driver: str = ""
    steps: tuple[StepRecord, ...] = ()
    progress: dict[str, Any] | None = None
    error: str | None = None
    exit_code: int | None = None
    log: tuple[tuple[str, str], ...] = ()

    def shown_state(self, at: datetime | None = None) -> str:
        """Return its state at a time, now if None: ``lost`` where it runs and gave no sign of life for long.

        That compares the clock of this machine with that of the one which runs it.
        """
        if self.state != "running" or self.heard is None:
            return self.state
        silent_s = ((at or datetime.now(UTC)) - datetime.fromisoformat(self.heard)).total_seconds()
        return "lost" if silent_s > LOST_AFTER_S else self.state

    @property
    def has_ended(self) -> bool:
        """Whether no process works on it any more."""
        return self.state in ENDED

    def logged(self, line: str) -> JobRecord:
        """Return the record with another line in its log."""
        return dataclasses.replace(self, log=(*self.log, (timestamp(), line))[-LOG_LINES:])

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def new_record(name: str, job: dict[str, Any], *, cluster: str | None) -> JobRecord:
    """Make the record of a job that is submitted now by this user."""
    now = datetime.now(UTC)
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "job"
    return JobRecord(
        id=f"{stem}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}",
        name=name,
        job=job,
        user=_user(),
        host=socket.gethostname(),
        versions={"python": platform.python_version(), **_versions()},
        cluster=cluster,
        submitted=timestamp(),
    )


def timestamp() -> str:
    """Return the time, UTC in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_record(location: str, record: JobRecord) -> None:
    """Write a record as a whole, into a store or where one is to be."""
    node = {"zarr_format": 3, "node_type": "group", "attributes": record.document()}
    write_json(backing(location, read_only=False), _key(record.id, METADATA), node)


def read_record(location: str, job_id: str) -> JobRecord:
    """Read a record.

    Raises
    ------
    UsageError
        If there is none of that id.
    StoreError
        If it is damaged.
    """
    record = _read(location, job_id)
    if record is None:
        raise UsageError(
            f"{location} has no job {job_id}; {command('jobs list', store=location)} lists those it has"
        )
    return record


def list_records(
    location: str, *, damaged: Callable[[StoreError], object] = lambda _: None
) -> list[JobRecord]:
    """Read all records of a store, the latest last.

    Parameters
    ----------
    location
        The store, or the location of results alone.
    damaged
        Called with what is wrong with each record that cannot be read.

    Raises
    ------
    StoreError
        If there is neither a store nor a job.
    """
    entries = list_names(location, JOBS)
    if not entries and read_root(location) is None:
        raise no_store(location)
    found = []
    for entry in filter(ID.fullmatch, entries):
        try:
            found.append(_read(location, entry))
        except StoreError as error:
            damaged(error)
    return sorted(filter(None, found), key=lambda record: record.submitted)


def request_cancel(location: str, job_id: str) -> None:
    """Leave the mark that asks for a job's end; one that no process has begun ends with it.

    Raises
    ------
    UsageError
        If there is no such job.
    """
    record = read_record(location, job_id)
    write_json(backing(location, read_only=False), _key(job_id, CANCEL), {"user": _user(), "at": timestamp()})
    if record.state == "waiting":
        ended = dataclasses.replace(record, state="cancelled", ended=timestamp(), exit_code=INTERRUPTED)
        write_record(location, ended.logged("cancelled before it began"))


def cancel_requested(location: str, job_id: str) -> bool:
    """Check whether a job's end was asked for."""
    return exists(location, _key(job_id, CANCEL))


def _read(location: str, job_id: str) -> JobRecord | None:
    """Read a record; None where there is none, or not yet."""
    try:
        node = read_json(backing(location, read_only=True), _key(job_id, METADATA))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise _damaged(location, job_id, error) from None
    if node is None:
        return None
    try:
        known = _own(JobRecord, node["attributes"])
        steps = tuple(StepRecord(**_own(StepRecord, step)) for step in known["steps"])
        log = tuple((time, line) for time, line in known["log"])
        record = JobRecord(**{**known, "steps": steps, "log": log})
        record.shown_state()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(location, job_id, error) from None
    if record.state not in get_args(State):
        raise _damaged(location, job_id, ValueError(f"state is {record.state!r}"))
    return record


def _own(kind: type[JobRecord | StepRecord], known: dict[str, Any]) -> dict[str, Any]:
    """Leave out the keys that a later version has added."""
    names = {one.name for one in dataclasses.fields(kind)}
    return {name: value for name, value in known.items() if name in names}


def _key(job_id: str, name: str) -> str:
    if not ID.fullmatch(job_id):
        raise UsageError(f"job {job_id}: expected the id of a job, such as stats-20260131T120000-1a2b")
    return f"{JOBS}/{job_id}/{name}"


def _damaged(location: str, job_id: str, error: Exception) -> StoreError:
    return StoreError(
        f"{location}/{_key(job_id, METADATA)} is damaged: {type(error).__name__}: {error}; "
        "remove the folder of that job"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return ""


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
