"""The group of verbs: those that read stores are made when they are asked for, so that others start fast."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from latentscan.analyses.registry import ANALYSES
from latentscan.cli.examples import with_examples

if TYPE_CHECKING:
    from collections.abc import Callable

APPEARANCE: dict[str, Any] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


def _late(module: str, function: str, **arguments: str) -> Callable[[typer.Typer], None]:
    """Return the function of a module that adds a verb; the module is imported when it is called."""

    def add(app: typer.Typer) -> None:
        getattr(import_module(f"latentscan.cli.{module}"), function)(app, **arguments)

    return add


LATE: dict[str, Callable[[typer.Typer], None]] = {
    **{name: _late("analysis_commands", "add_analysis", name=name) for name in ANALYSES},
    "images": _late("image_commands", "add_images"),
    "export": _late("export", "add_export"),
    "plot": _late("store_commands", "add_plot"),
    "report": _late("report_command", "add_report"),
    "info": _late("store_commands", "add_info"),
    "check": _late("store_commands", "add_check"),
    "results": _late("store_commands", "add_results"),
    "submit": _late("submit", "add_submit"),
    "jobs": _late("jobs", "add_jobs"),
    "cluster": _late("cluster", "add_clusters"),
}


# options that name a place or a thing; an empty one, as of a variable of the shell that is not set, would
# be the current directory, or as if it were left out
NAMING = frozenset(
    {
        *("store", "out", "model", "images", "results", "plot", "root", "z", "mu", "logvar", "outputs"),
        *("scheduler", "cluster", "profile", "run", "decoder", "encoder", "attributes", "assets", "along"),
    }
)


class Verbs(TyperGroup):
    """The verbs, in the order in which the data passes them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse what is named by an empty text, and leave the rest to the verbs."""
        for before, word in pairwise(["", *args]):
            flag, _, value = word.partition("=") if word.startswith("--") else (before, "", word)
            is_option = flag.startswith("--") and flag[2:] not in NAMING
            if not value and not is_option and word != flag:
                named = flag if flag.startswith("--") else "an argument"
                raise typer.BadParameter(f"{named} is empty; expected a name")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all verbs."""
        return [*super().list_commands(ctx), *LATE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb; None where there is none of that name."""
        if cmd_name not in LATE:
            return with_examples(super().get_command(ctx, cmd_name), cmd_name)
        alone = typer.Typer(add_completion=False, **APPEARANCE)
        LATE[cmd_name](alone)
        made = typer.main.get_command(alone)
        found = made.commands.get(cmd_name, made) if isinstance(made, TyperGroup) else made
        return with_examples(found, cmd_name)
