"""The verb that looks at a cluster: `cluster check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from latentscan.cli.cluster_options import Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import counted, reported
from latentscan.cli.terminal import note, print_json, print_text
from latentscan.terminal import one_line

if TYPE_CHECKING:
    import typer
    from rich.table import Table

    from latentscan.cluster.diagnostics import Inspection

UNLIKE = "≠"
SHOWN = 20  # workers, in the table for people


def add_clusters(app: typer.Typer) -> None:
    """Make an application the group of verbs about clusters: `check` so far."""
    app.callback()(clusters)
    app.command("check")(reported(check_cluster))


def clusters() -> None:
    """Check the cluster that work would run on."""


@on_workers
def check_cluster(
    as_json: JsonOption = False,
    *,
    connection: Connection,
) -> None:
    """Reach or start a cluster, say what it consists of and where versions differ, and leave it."""
    from latentscan.cluster.diagnostics import inspect

    with connection.open_cluster() as cluster:
        found = inspect(cluster)
    for warning in found.warnings():
        note(f"warning: {warning}")
    if as_json:
        print_json(_document(found))
    else:
        _show(found)


def _document(found: Inspection) -> dict[str, Any]:
    return {
        "scheduler": found.scheduler,
        "dashboard": found.dashboard,
        "tls": found.tls,
        "workers": [asdict(worker) for worker in found.workers],
        "threads": sum(worker.threads for worker in found.workers),
        "memory_bytes": sum(worker.memory_bytes for worker in found.workers),
        "versions": {"here": found.here, "scheduler": found.there, "workers": found.on_workers},
        "warnings": found.warnings(),
    }


def _show(found: Inspection) -> None:
    encrypted = "encrypted (TLS)" if found.tls else "not encrypted"
    threads = sum(worker.threads for worker in found.workers)
    memory = sum(worker.memory_bytes for worker in found.workers)
    print_text(f"scheduler  {one_line(found.scheduler)}, {encrypted}", wrap=False)
    print_text(f"dashboard  {one_line(found.dashboard)}", wrap=False)
    print_text(
        f"{counted(len(found.workers), 'worker')}, {counted(threads, 'thread')}, {_memory(memory)} of memory"
    )
    print_text(_workers(found))
    print_text(_versions(found))


def _workers(found: Inspection) -> Table:
    from rich.table import Table

    table = Table("worker", "name", "threads", "memory", "resources", box=None, pad_edge=False)
    for worker in found.workers[:SHOWN]:
        offered = ", ".join(f"{name} {amount:g}" for name, amount in worker.resources.items())
        table.add_row(
            one_line(worker.address),
            one_line(worker.name),
            str(worker.threads),
            _memory(worker.memory_bytes),
            offered,
        )
    if len(found.workers) > SHOWN:
        table.add_row(f"and {len(found.workers) - SHOWN} more")
    return table


def _versions(found: Inspection) -> Table:
    from rich.table import Table

    from latentscan.cluster.diagnostics import PACKAGES, summed

    table = Table("", "", "here", "scheduler", "workers", box=None, pad_edge=False)
    for package in PACKAGES:
        mark = UNLIKE if found.unlike(package) else ""
        everywhere = [found.here], [found.there], list(found.on_workers.values())
        table.add_row(mark, package, *(summed(part, package) for part in everywhere))
    return table


def _memory(count_bytes: int) -> str:
    return f"{count_bytes / 2**30:.1f} GiB" if count_bytes else "no limit"
