"""The typer application: global options, and the verbs in the order in which the data passes them."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from typing import Annotated

import typer

from latentscan import __version__
from latentscan.cli.lazy_group import APPEARANCE, Verbs
from latentscan.cli.terminal import note, print_line
from latentscan.cli.write_commands import add_making
from latentscan.errors import DEBUG, INTERRUPTED
from latentscan.terminal import open_streams

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    **APPEARANCE,
    help="What did an autoencoder do with its latent space, on the whole data set?",
)


def _show_version(context: typer.Context, version: bool) -> None:
    """Print the version, what changed, or both, and end; the option of the changes is read before."""
    changes = context.params.get("_changes", False)
    if version:
        print_line(f"latentscan {__version__}")
    if changes:
        print_line(files("latentscan").joinpath("changes.txt").read_text(encoding="utf-8").rstrip())
    if version or changes:
        raise typer.Exit


@app.callback()
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks, and what libraries say")] = False,
    _changes: Annotated[bool, typer.Option("--changes", help="show what changed", is_eager=True)] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="show the version", callback=_show_version)
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


add_making(app)


def main() -> None:
    """Run the command line."""
    out, err = open_streams()
    code: str | int | None = 0
    try:
        app()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as end:
        code = end.code
    out.flush()
    if out.failed is not None:
        note(f"error: the output could not be written: {out.failed.strerror}")
        code = code or 1
    err.flush()
    sys.exit(code)
