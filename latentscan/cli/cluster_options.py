"""Options of the verbs whose work can run on a Dask cluster, and which print what they find."""

from __future__ import annotations

import functools
import inspect
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from latentscan.analyses.cache import NotKeptError, Run
from latentscan.cli.terminal import note
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.execution.executor import Executor

R = TypeVar("R")

JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON document")]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="run on the cluster of this scheduler")
]
ClusterOption = Annotated[
    Path | None, typer.Option("--cluster", metavar="FILE", help="run on a cluster that this file describes")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="which of its profiles, or of cluster.yaml")
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="allow traffic between machines that is not encrypted")
]


class Connection(NamedTuple):
    """What the user says of where tasks are to run."""

    scheduler: str | None
    cluster: Path | None
    profile: str | None
    insecure: bool

    @property
    def named(self) -> bool:
        """Whether a cluster is named at all."""
        return any(value is not None for value in self[:3])

    def open(self) -> AbstractContextManager[Executor]:
        """Give the workers that are meant: the threads of this process where no cluster is named.

        Raises
        ------
        UsageError
            If `insecure` is said of no cluster.
        """
        if self.named:
            return self.open_cluster()
        if self.insecure:
            raise UsageError("--insecure: expected with --scheduler, --cluster or --profile")
        from latentscan.execution.threaded import IN_PROCESS

        return nullcontext(IN_PROCESS)

    def compute(self, run: Run, analyse: Callable[[Run], R]) -> R:
        """Make an analysis where tasks are to run.

        A cluster that would be started for it is not, where all of it is kept already.
        """
        if self.named and self.starts and not run.force:
            with suppress(NotKeptError):
                return analyse(replace(run, kept_only=True))
        with self.open() as executor:
            return analyse(replace(run, executor=executor))

    @property
    def starts(self) -> bool:
        """Whether the cluster that is meant would be started for the command alone.

        See `latentscan.cluster.connect.stays`.
        """
        from latentscan.cluster.connect import stays

        return not stays(self.scheduler, self.cluster, self.profile)

    def require_staying(self) -> None:
        """Make sure, before a cluster is started, that one is meant that runs already.

        Raises
        ------
        UsageError
            If it would be started for the command alone.
        """
        if self.starts:
            raise UsageError(
                "the cluster of this profile ends with the command; name one that runs already, "
                "with --scheduler ADDRESS or a profile that has an address"
            )

    def open_cluster(self, *, idle: bool = False) -> AbstractContextManager[DistributedExecutor]:
        """Give the cluster that is meant, that of the default profile where none is named.

        See `latentscan.cluster.connect.connect`.
        """
        from latentscan.cluster.connect import connect

        return connect(**self._asdict(), say=note, idle=idle)


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "scheduler": (SchedulerOption, None),
    "cluster": (ClusterOption, None),
    "profile": (ProfileOption, None),
    "insecure": (InsecureOption, False),
}


def on_workers(command: Any) -> Any:
    """Give a command the options that name a cluster, and pass it what they say as `connection`.

    ``with connection.open() as workers:`` reaches or starts the cluster that is named, after the command has
    looked at its other options; these are the threads of this process where none is named, and nothing of
    distributed is imported then. A cluster that was started is closed afterwards.
    """
    command.__annotations__.pop("connection", None)  # a type that the command needs for checking alone
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        named = {name: given.pop(name) for name in _OPTIONS}
        command(**given, connection=Connection(**named))

    kept = [parameter for name, parameter in own.parameters.items() if name != "connection"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]
    signature = own.replace(parameters=[*kept, *added])
    del wrapped.__wrapped__
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return wrapped
