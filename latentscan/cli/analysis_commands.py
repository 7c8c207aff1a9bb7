"""The verbs that read a store: one for every line of the table of analyses, and `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentscan.analyses.cache import Run
from latentscan.cli.cluster_options import Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import check_picture, counted, reported
from latentscan.cli.model_options import each, with_options
from latentscan.cli.terminal import draw, note, terminal_progress
from latentscan.errors import StoreError
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure
    from pydantic import BaseModel
    from rich.console import RenderableType

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result
    from latentscan.store.schema import Schema
    from latentscan.table import Analysis

StoreOption = Annotated[str, typer.Option("--store", help="the latent store", show_default=False)]
ForceOption = Annotated[bool, typer.Option("--force", help="compute anew what is there already")]
PlotOption = Annotated[Path | None, typer.Option(help="also draw it: a .png, .svg or .pdf file")]
PartialOption = Annotated[bool, typer.Option("--allow-partial", help="go ahead with an incomplete store")]
ResultsOption = Annotated[
    str | None, typer.Option(help="keep the result in this store instead, for read-only data")
]
AGAIN = "what is finished is kept, and the same command goes on from there"
PLOT_ENDINGS = (".png", ".svg", ".pdf")


def add_analysis(app: typer.Typer, name: str) -> None:
    """Add the verb of an analysis."""
    analysis = ANALYSES[name]
    app.command(name, help=_summary(analysis))(reported(_verb(analysis), resuming=AGAIN))


def add_plot(app: typer.Typer) -> None:
    """Add `plot`."""
    app.command("plot")(reported(plot_results))


def add_check(app: typer.Typer) -> None:
    """Add `check`."""
    app.command()(reported(check))


def _summary(analysis: Analysis) -> str:
    return (analysis.run.__doc__ or "").strip().splitlines()[0]


def _verb(analysis: Analysis) -> Any:
    @on_workers
    @with_options(analysis.parameters, lists=analysis.many is not None)
    def verb(
        store: StoreOption,
        as_json: JsonOption = False,
        force: ForceOption = False,
        plot: PlotOption = None,
        allow_partial: PartialOption = False,
        results: ResultsOption = None,
        *,
        options: dict[str, Any],
        connection: Connection,
    ) -> None:
        from latentscan.store.reader import open_store

        if plot is not None:
            check_picture(plot, "--plot", PLOT_ENDINGS)
        asked = _parameters(analysis, options)
        opened = open_store(store)
        run = Run(results, force, allow_partial=allow_partial, progress=terminal_progress())
        found = connection.compute(run, lambda run: _found(analysis, opened, asked, run))

        def document() -> dict[str, Any]:
            first, *others = (analysis.json(result) for result in found.values())
            return {"store": store, **({"maps": [first, *others]} if others else first)}

        show(
            document=document,
            text=lambda: analysis.text(found),
            figure=lambda: analysis.plot(found),
            as_json=as_json,
            plot=plot,
        )

    return verb


def _parameters(analysis: Analysis, options: dict[str, Any]) -> list[BaseModel]:
    """Read the options of an analysis: one or several sets of parameters."""
    sets = [options] if analysis.many is None else each(options)
    return [analysis.parameters(**one) for one in sets]


def _found(analysis: Analysis, store: LatentStore, asked: Sequence[BaseModel], run: Run) -> dict[str, Result]:
    """Run an analysis with one or several sets of parameters; name what it finds."""
    if analysis.many is None:
        return {Path(store.location).name: analysis.run(store, asked[0], run)}
    results = analysis.many(store, asked, run)
    if len(results) == 1:
        return {Path(store.location).name: results[0]}
    return {f"map {number}": result for number, result in enumerate(results, start=1)}


def show(
    *,
    document: Callable[[], dict[str, Any]],
    text: Callable[[], RenderableType],
    figure: Callable[[], Figure],
    as_json: bool,
    plot: Path | None,
) -> None:
    """Print what was found as a JSON document or as tables, and draw it where that is asked for."""
    if as_json:
        typer.echo(json.dumps(document(), allow_nan=False))
    else:
        draw(text())
    if plot is not None:
        from latentscan.report.style import save_figure

        save_figure(figure(), plot)
        note(f"drawn: {plot}")


def plot_results(
    store: StoreOption,
    out: Annotated[Path, typer.Option(help="the folder to draw into", show_default=False)],
    kind: Annotated[Literal["png", "svg", "pdf"], typer.Option("--format", help="of the pictures")] = "png",
) -> None:
    """Draw every result that a store holds."""
    from latentscan.gallery import draw_results

    for picture in draw_results(store, out, f".{kind}", progress=terminal_progress()):
        typer.echo(picture)


@on_workers
def check(
    store: StoreOption,
    repair: Annotated[
        bool, typer.Option("--repair", help="mark damaged blocks as not written, to be written anew")
    ] = False,
    *,
    connection: Connection,
) -> None:
    """Compare every committed block with its digest, and name what is damaged or missing."""
    from latentscan.scan.check import check_store, repair_store
    from latentscan.store.reader import open_store

    opened = open_store(store)
    with connection.open() as executor:
        found = check_store(opened, executor=executor, progress=terminal_progress())
    for damage in found.damages:
        images = "" if damage.block is None else f" ({_images(opened.schema, damage.block, damage.block)})"
        typer.echo(f"{damage.file} {damage.problem}{images}")
    for file in found.leftovers:
        typer.echo(f"{file} is left of a write that was killed")
    for first, last in _runs(found.unwritten):
        typer.echo(f"{_images(opened.schema, first, last)} are not written")
    written = found.blocks - len(found.unwritten)
    typer.echo(
        f"{store}: {written} of {counted(found.blocks, 'block')} written, "
        f"{len(found.damaged_blocks)} of them damaged"
    )
    if repair and (found.damages or found.leftovers):
        for done in repair_store(store, found):
            note(f"repaired: {done}")
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
