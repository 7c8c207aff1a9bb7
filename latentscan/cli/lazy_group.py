"""The group of verbs: those that read stores are made when they are asked for, so that others start fast."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from latentscan.cli.analysis_commands import add_analysis, add_check, add_plot
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Callable

APPEARANCE: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


def _add_comparing(app: typer.Typer) -> None:
    from latentscan.cli.compare import add_comparing

    add_comparing(app)


def _add_submit(app: typer.Typer) -> None:
    from latentscan.cli.submit import add_submit

    add_submit(app)


def _add_jobs(app: typer.Typer) -> None:
    from latentscan.cli.jobs import add_jobs

    add_jobs(app)


def _add_clusters(app: typer.Typer) -> None:
    from latentscan.cli.cluster import add_clusters

    add_clusters(app)


LATE: dict[str, Callable[[typer.Typer], None]] = {
    **{name: partial(add_analysis, name=name) for name in ANALYSES},
    "compare": _add_comparing,
    "plot": add_plot,
    "check": add_check,
    "submit": _add_submit,
    "jobs": _add_jobs,
    "cluster": _add_clusters,
}


class Verbs(TyperGroup):
    """The verbs, in the order in which the data passes them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all verbs."""
        return [*super().list_commands(ctx), *LATE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give a verb; None where there is none of that name."""
        if cmd_name not in LATE:
            return super().get_command(ctx, cmd_name)
        alone = typer.Typer(**APPEARANCE)
        LATE[cmd_name](alone)
        made = typer.main.get_command(alone)
        return made.commands.get(cmd_name, made) if isinstance(made, TyperGroup) else made
