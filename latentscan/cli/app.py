"""The typer application: global options, and the verbs in the order in which the data passes them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from latentscan import __version__
from latentscan.cli.lazy_group import APPEARANCE, Verbs
from latentscan.cli.write_commands import add_making
from latentscan.errors import DEBUG, INTERRUPTED

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    **APPEARANCE,
    help="What did an autoencoder do with its latent space, on the whole data set?",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"latentscan {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks, and what libraries say")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="show the version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


add_making(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
