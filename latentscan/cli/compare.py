"""The verb that reads several stores: `compare`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from latentscan.analyses.cache import Run
from latentscan.analyses.compare.analysis import CompareParameters, compare
from latentscan.cli.analysis_commands import (
    AGAIN,
    PLOT_ENDINGS,
    ForceOption,
    PartialOption,
    PlotOption,
    ResultsOption,
    show,
)
from latentscan.cli.cluster_options import Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import check_picture, reported
from latentscan.cli.model_options import with_options
from latentscan.cli.terminal import terminal_progress
from latentscan.errors import UsageError
from latentscan.paths import absolute, store_names
from latentscan.report.compare import compare_json, compare_plot, compare_table


def add_comparing(app: typer.Typer) -> None:
    """Add `compare`."""
    summary = (compare.__doc__ or "").strip().splitlines()[0]
    app.command("compare", help=summary)(reported(compare_stores, resuming=AGAIN))


@on_workers
@with_options(CompareParameters, skip=("labels", "all"))
def compare_stores(
    stores: Annotated[list[str], typer.Argument(help="two latent stores or more", show_default=False)],
    as_json: JsonOption = False,
    force: ForceOption = False,
    plot: PlotOption = None,
    allow_partial: PartialOption = False,
    results: ResultsOption = None,
    *,
    options: dict[str, Any],
    connection: Connection,
) -> None:
    """Compare stores."""
    from latentscan.store.reader import open_store

    if plot is not None:
        check_picture(plot, "--plot", PLOT_ENDINGS)
    places = list(map(absolute, stores))
    same = {store for store, place in zip(stores, places, strict=True) if places.count(place) > 1}
    if same:
        problem = "is given twice" if len(same) == 1 else "are the same store"
        raise UsageError(f"{' and '.join(sorted(same))} {problem}; name each store once")
    opened = {name: open_store(store) for name, store in zip(store_names(places), stores, strict=True)}
    parameters = CompareParameters(**options)
    run = Run(results, force, allow_partial=allow_partial, progress=terminal_progress())
    found = connection.compute(run, lambda run: compare(opened, parameters, run))
    show(
        document=lambda: compare_json(found),
        text=lambda: compare_table(found),
        figure=lambda: compare_plot(found.pairs),
        as_json=as_json,
        plot=plot,
    )
