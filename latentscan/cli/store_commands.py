"""The verbs that look after a store: what it holds, whether it is damaged, which results are cached."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latentscan.cli.cluster_options import ColourOption, Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import counted, reported
from latentscan.cli.terminal import note, print_json, print_line, print_text
from latentscan.errors import StoreError, UsageError, command, spelled
from latentscan.progress import terminal_progress
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from latentscan.analyses.inventory import CachedResult
    from latentscan.store.schema import Schema

StoreOption = Annotated[str, typer.Option("--store", help="the latent store", show_default=False)]


def add_plot(app: typer.Typer) -> None:
    """Add `plot`."""
    app.command("plot")(reported(plot_results))


def add_check(app: typer.Typer) -> None:
    """Add `check`."""
    app.command()(reported(check))


def add_info(app: typer.Typer) -> None:
    """Add `info`."""
    app.command()(reported(info))


def add_results(app: typer.Typer) -> None:
    """Add `results` with its verbs."""
    results = typer.Typer(
        help="List and remove the results that a store holds.", no_args_is_help=True, rich_markup_mode=None
    )
    results.command("list")(reported(list_))
    results.command("remove")(reported(remove))
    app.add_typer(results, name="results")


def info(
    store: Annotated[str, typer.Argument(help="the latent store", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Show what is in a store: arrays, encoder, source, results, what is missing, and what to do next."""
    from latentscan.analyses.inventory import describe_store
    from latentscan.cli.store_tables import store_table

    found = describe_store(store)
    if as_json:
        print_json(found.document())
    else:
        print_text(store_table(found, datetime.now(UTC)))
        for purpose, step in found.next_steps():  # on one line, whatever the width, to be copied
            print_line(f"\nto {purpose}:\n{spelled(step, 'command line')}")
    if found.damaged:
        first, more = found.damaged[0], len(found.damaged) - 1
        others = f", and {more:,} more" if more else ""
        raise StoreError(f"{store}: {first}{others}; {command('check', store=store)} lists all damage")


def list_(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the results that are cached, and which of them are stale."""
    from latentscan.analyses.inventory import cached_results
    from latentscan.cli.store_tables import results_table

    found = cached_results(store)
    if as_json:
        print_json([result.document() for result in found])
    elif found:
        print_text(results_table(found, datetime.now(UTC)))
    else:
        note(f"{store} holds no results")


def remove(
    store: StoreOption,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            help="results, as `results list` names them: NAME/KEY, or the beginning of a KEY",
            show_default=False,
        ),
    ] = None,
    stale: Annotated[bool, typer.Option("--stale", help="remove those that would be computed anew")] = False,
    all_: Annotated[bool, typer.Option("--all", help="remove all")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before all are removed")] = False,
) -> None:
    """Remove cached results; they are computed again when they are asked for."""
    from latentscan.analyses.inventory import cached_results, remove_results, select_results

    if [bool(keys), stale, all_].count(True) != 1:
        raise UsageError("give exactly one of KEY..., --stale and --all")
    found = cached_results(store)
    chosen = found if all_ else [one for one in found if one.why_stale] if stale else []
    chosen = chosen or select_results(found, keys or [])
    if all_ and chosen and not yes:
        _confirm(store, chosen)
    remove_results(store, chosen)
    for one in chosen:
        print_line(f"removed {one.name}/{one.key}")
    if not chosen:
        note("nothing to remove")


def is_asked() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty()


def _confirm(store: str, chosen: list[CachedResult]) -> None:
    if not is_asked():
        raise UsageError("--all removes every result; give --yes too")
    typer.confirm(f"remove all {counted(len(chosen), 'result')} of {store}?", abort=True)


def plot_results(
    store: StoreOption,
    out: Annotated[Path, typer.Option(help="the folder for the pictures", show_default=False)],
    kind: Annotated[Literal["png", "svg", "pdf"], typer.Option("--format", help="of the pictures")] = "png",
    colour: ColourOption = None,
) -> None:
    """Plot every result that a store holds."""
    from latentscan.report.gallery import draw_results

    for picture in draw_results(store, out, f".{kind}", colour=colour, progress=terminal_progress()):
        print_line(one_line(picture))


@on_workers
def check(
    store: StoreOption,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="restore metadata, remove damaged results, and mark damaged blocks to be written again",
        ),
    ] = False,
    *,
    connection: Connection,
) -> None:
    """Compare blocks, metadata and cached results with what was written; name what is damaged or missing."""
    from latentscan.execution.context import Execution
    from latentscan.scan.check import check_store, repair_store
    from latentscan.store.reader import open_store

    opened = open_store(store)
    with connection.open() as executor:
        found = check_store(opened, Execution(executor, terminal_progress()))
    for damage in found.damages:
        images = "" if damage.block is None else f" ({_images(opened.schema, damage.block, damage.block)})"
        print_line(f"{one_line(damage.file)} {one_line(damage.problem)}{images}")
    for file in found.leftovers:
        print_line(f"{one_line(file)} is left of a write that was killed")
    for first, last in _runs(found.unwritten):
        print_line(f"{_images(opened.schema, first, last)} are not written")
    written = found.blocks - len(found.unwritten)
    print_line(
        f"{store}: {written} of {counted(found.blocks, 'block')} written, "
        f"{len(found.damaged_blocks)} of them damaged"
    )
    if repair and (found.damages or found.leftovers):
        for done in repair_store(store, found):
            note(f"repaired: {done}")
    if found.damaged_blocks or found.unwritten or (found.damages and not repair):
        steps = [] if repair or not found.damages else [command("check", store=store, repair=True)]
        steps += [opened.completing_command()] if found.damaged_blocks or found.unwritten else []
        raise StoreError(f"{store} is incomplete or damaged; to repair it: {', then '.join(steps)}")


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
