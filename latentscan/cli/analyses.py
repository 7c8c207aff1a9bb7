"""The verbs that read a store: one for every line of the table of analyses, and `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentscan.analyses.keeping import Run
from latentscan.cli.options import with_options
from latentscan.cli.reporting import check_picture, counted, reported
from latentscan.cli.terminal import note, terminal_progress
from latentscan.errors import StoreError
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from latentscan.store.schema import Schema
    from latentscan.table import Analysis

StoreOption = Annotated[str, typer.Option("--store", help="the latent store", show_default=False)]
PLOT_ENDINGS = (".png", ".svg", ".pdf")


def add_analyses(app: typer.Typer) -> None:
    """Add a verb for every analysis, and `check`."""
    for name, analysis in ANALYSES.items():
        app.command(name, help=_summary(analysis))(reported(_verb(analysis)))
    app.command("plot")(reported(plot_results))
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

        if plot is not None:
            check_picture(plot, "--plot", PLOT_ENDINGS)
        run = Run(results, force, allow_partial, progress=terminal_progress())
        result = analysis.run(open_store(store), analysis.parameters(**options), run)
        name = Path(store).name
        if as_json:
            typer.echo(json.dumps({"store": store, **analysis.json(result)}, allow_nan=False))
        else:
            from rich.console import Console

            Console(highlight=False).print(analysis.text({name: result}))
        if plot is not None:
            from latentscan.report.style import save_figure

            save_figure(analysis.plot({name: result}), plot)
            note(f"drawn: {plot}")

    return verb


def plot_results(
    store: StoreOption,
    out: Annotated[Path, typer.Option(help="the folder to draw into", show_default=False)],
    kind: Annotated[Literal["png", "svg", "pdf"], typer.Option("--format", help="of the pictures")] = "png",
) -> None:
    """Draw every result that a store holds."""
    from latentscan.gallery import draw_results

    for picture in draw_results(store, out, f".{kind}", progress=terminal_progress()):
        typer.echo(picture)


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
        images = "" if damage.block is None else f" ({_images(opened.schema, damage.block, damage.block)})"
        typer.echo(f"{damage.file} {damage.problem}{images}")
    for first, last in _runs(found.unwritten):
        typer.echo(f"{_images(opened.schema, first, last)} are not written")
    written = found.blocks - len(found.unwritten)
    typer.echo(
        f"{store}: {written} of {counted(found.blocks, 'block')} written, "
        f"{len(found.damaged_blocks)} of them damaged"
    )
    if repair and found.damages:
        repair_store(store, found)
        note("repaired: metadata is restored, and damaged blocks are marked as not written")
    if found.damaged_blocks or found.unwritten or (found.damages and not repair):
        steps = [] if repair or not found.damages else [f"latentscan check --store {store} --repair"]
        steps += [opened.completing_command()] if found.damaged_blocks or found.unwritten else []
        raise StoreError(f"{store} is not whole; to mend it: {', then '.join(steps)}")


def _runs(blocks: tuple[int, ...]) -> list[tuple[int, int]]:
    """Join neighbouring blocks: the first and the last of each run."""
    runs: list[tuple[int, int]] = []
    for block in blocks:
        if runs and runs[-1][1] == block - 1:
            runs[-1] = (runs[-1][0], block)
        else:
            runs.append((block, block))
    return runs


def _images(schema: Schema, first: int, last: int) -> str:
    return f"images {schema.rows(first)[0]}..{schema.rows(last)[-1]}"
