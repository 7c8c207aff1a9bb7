"""The verb that writes a page of one store or several."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from latentscan.cli.analysis_commands import ResultsOption  # noqa: TC001 (typer reads it)
from latentscan.cli.exit_codes import check_picture, reported
from latentscan.cli.generate import TrustOption  # noqa: TC001 (typer reads it)
from latentscan.cli.terminal import note, print_line
from latentscan.cli.write_commands import RootOption  # noqa: TC001 (typer reads it)
from latentscan.execution.context import Execution
from latentscan.progress import terminal_progress
from latentscan.terminal import one_line


def add_report(app: typer.Typer) -> None:
    """Add `report`."""
    app.command("report")(reported(report))


def report(
    store: Annotated[
        list[str], typer.Option("--store", help="a latent store; repeat for others", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="the page, an .html file", show_default=False)],
    images: Annotated[
        str | None, typer.Option(help="the images that the stores are of, for thumbnails", show_default=False)
    ] = None,
    root: RootOption = None,
    assets: Annotated[
        Path | None,
        typer.Option(help="a folder for larger thumbnails of all images, to be moved with the page"),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            help="the run folder, or the decoder, of each store in their order: adds the history of the "
            "training, decoded z-points and reconstructions",
            show_default=False,
        ),
    ] = None,
    trust_model: TrustOption = False,
    results: ResultsOption = None,
) -> None:
    """Write one page of all that is cached of stores: verdict, tables, linked maps, images."""
    from latentscan.report.page.render import write_report

    check_picture(out, "--out", (".html", ".htm"))
    written = write_report(
        store,
        out,
        images=images,
        root=root,
        assets=assets,
        results=results,
        models=model or (),
        trust_model=trust_model,
        execution=Execution(progress=terminal_progress()),
    )
    for line in written.notes:
        note(line)
    print_line(one_line(written.page))
