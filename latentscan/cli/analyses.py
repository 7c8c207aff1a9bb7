"""The verbs that read a store: one for every line of the table of analyses, and `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscan.cli.options import with_options
from latentscan.cli.reporting import reported
from latentscan.cli.terminal import note, terminal_progress
from latentscan.errors import StoreError, UsageError
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from latentscan.table import Analysis

StoreOption = Annotated[str, typer.Option("--store", help="the latent store", show_default=False)]
PLOT_ENDINGS = (".png", ".svg", ".pdf")


def add_analyses(app: typer.Typer) -> None:
    """Add a verb for every analysis, and `check`."""
    for name, analysis in ANALYSES.items():
        app.command(name, help=_summary(analysis))(reported(_verb(analysis)))
    app.command()(reported(check))


def _summary(analysis: Analysis) -> str:
    return (analysis.run.__doc__ or "").strip().splitlines()[0]


def _verb(analysis: Analysis) -> Any:
    @with_options(analysis.parameters)
    def verb(
        store: StoreOption,
        as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
        force: Annotated[bool, typer.Option("--force", help="compute anew what is there already")] = False,
        plot: Annotated[Path | None, typer.Option(help="also draw it: a .png, .svg or .pdf file")] = None,
        allow_partial: Annotated[
            bool, typer.Option("--allow-partial", help="go ahead with an incomplete store")
        ] = False,
        results: Annotated[
            str | None, typer.Option(help="keep the result in this store instead, for read-only data")
        ] = None,
        *,
        options: dict[str, Any],
    ) -> None:
        from latentscan.store.latent_store import open_store

        if plot is not None and plot.suffix.lower() not in PLOT_ENDINGS:
            raise UsageError(f"--plot {plot}: expected a file ending in {', '.join(PLOT_ENDINGS)}")
        result = analysis.run(
            open_store(store),
            analysis.parameters(**options),
            results=results,
            force=force,
            allow_partial=allow_partial,
            progress=terminal_progress(),
        )
        name = Path(store).name
        if as_json:
            typer.echo(json.dumps(analysis.json(result)))
        else:
            from rich.console import Console

            Console(highlight=False).print(analysis.text({name: result}))
        if plot is not None:
            from latentscan.report.style import save_figure

            save_figure(analysis.plot({name: result}), plot)
            note(f"drawn: {plot}")

    return verb


def check(
    store: StoreOption,
    repair: Annotated[
        bool, typer.Option("--repair", help="mark damaged blocks as not written, to be written anew")
    ] = False,
) -> None:
    """Compare every committed block with its digest, and name what is damaged or missing."""
    from latentscan.engine.check import check_store, repair_store
    from latentscan.store.latent_store import open_store

    opened = open_store(store)
    found = check_store(opened, progress=terminal_progress())
    for damage in found.damages:
        typer.echo(f"{damage.chunk}: {damage.problem} (images {damage.first}..{damage.last})")
    typer.echo(
        f"{store}: {found.blocks - len(found.unwritten)} of {found.blocks} blocks are written, "
        f"{len(found.damaged_blocks)} of them damaged"
    )
    if repair and found.damages:
        repair_store(opened, found)
        note(f"{len(found.damaged_blocks)} blocks are marked as not written")
    if found.damages or found.unwritten:
        remedy = opened.completing_command()
        if found.damages and not repair:
            remedy = f"latentscan check --store {store} --repair, then {remedy}"
        raise StoreError(f"{store} is not whole; to mend it: {remedy}")
