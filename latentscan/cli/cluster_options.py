"""Options of the verbs whose work can run on a Dask cluster, and which print what they find."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from latentscan.cli.signatures import replace_parameter
from latentscan.cli.terminal import note
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.execution.executor import Executor

JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON document")]
ColourOption = Annotated[
    str | None,
    typer.Option(
        "--colour",
        metavar="NAME",
        help="what images are coloured by in the plot: radius, split, cluster (of the newest cached "
        "kmeans, of the k that it suggests), cluster:K, or an attribute  [default: radius]",
        show_default=False,
    ),
]
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


TrustClusterOption = Annotated[
    bool,
    typer.Option("--trust-cluster", help="let the cluster file run code, though others may have written it"),
]


class Connection(NamedTuple):
    """What the user says of where tasks are to run."""

    scheduler: str | None
    cluster: Path | None
    profile: str | None
    insecure: bool
    trust_cluster: bool = False

    @property
    def named(self) -> bool:
        """Whether a cluster is named at all."""
        return any(value is not None for value in self[:3])

    def open(self) -> AbstractContextManager[Executor]:
        """Return the executor that is meant: the threads of this process where no cluster is named.

        Raises
        ------
        UsageError
            If `insecure` or `trust_cluster` is said of no cluster.
        """
        if self.named:
            return self.open_cluster()
        if self.insecure:
            raise UsageError("--insecure: expected with --scheduler, --cluster or --profile")
        if self.trust_cluster:
            raise UsageError("--trust-cluster: expected with --cluster or --profile")
        from latentscan.execution.threaded import IN_PROCESS

        return nullcontext(IN_PROCESS)

    @property
    def starts(self) -> bool:
        """Whether the cluster that is meant would be started for the command alone.

        See `latentscan.cluster.connect.stays`.
        """
        from latentscan.cluster.connect import stays

        return not stays(self.scheduler, self.cluster, self.profile, trust_cluster=self.trust_cluster)

    def require_staying(self) -> None:
        """Check, before a cluster is started, that one is meant that runs already.

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
        """Return the cluster that is meant, that of the default profile where none is named.

        See `latentscan.cluster.connect.connect`.
        """
        from latentscan.cluster.connect import connect

        return connect(**self._asdict(), say=note, idle=idle)


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "scheduler": (SchedulerOption, None),
    "cluster": (ClusterOption, None),
    "profile": (ProfileOption, None),
    "insecure": (InsecureOption, False),
    "trust_cluster": (TrustClusterOption, False),
}


def on_workers(command: Any) -> Any:
    """Add the options that name a cluster to a command, and pass it what they say as `connection`.

    ``with connection.open() as executor:`` reaches or starts the cluster that is named, after the command has
    looked at its other options; it is the threads of this process where none is named, and nothing of
    distributed is imported then. A cluster that was started is closed afterwards.
    """
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]
    return replace_parameter(command, "connection", added, lambda named: Connection(**named))
