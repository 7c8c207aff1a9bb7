"""The verb that reads several stores: `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from latentscan.analyses.compare import CompareParameters, compare
from latentscan.analyses.keeping import Run
from latentscan.cli.analyses import (
    AGAIN,
    PLOT_ENDINGS,
    ForceOption,
    JsonOption,
    PartialOption,
    PlotOption,
    ResultsOption,
    show,
)
from latentscan.cli.connection import Connection, on_workers
from latentscan.cli.options import with_options
from latentscan.cli.reporting import check_picture, reported
from latentscan.cli.terminal import terminal_progress
from latentscan.errors import UsageError
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
    from latentscan.store.latent_store import open_store

    if plot is not None:
        check_picture(plot, "--plot", PLOT_ENDINGS)
    opened = {name: open_store(store) for name, store in zip(names_of(stores), stores, strict=True)}
    parameters = CompareParameters(**options)
    run = Run(results, force, allow_partial=allow_partial, progress=terminal_progress())
    found = connection.found(run, lambda run: compare(opened, parameters, run))
    show(
        document=lambda: compare_json(found),
        text=lambda: compare_table(found),
        figure=lambda: compare_plot(found.pairs),
        as_json=as_json,
        plot=plot,
    )


def names_of(stores: list[str]) -> list[str]:
    """Name stores by their folders, or by their paths where two folders are called the same.

    Raises
    ------
    UsageError
        If a path is given twice.

    Examples
    --------
    >>> names_of(["ae/z.zarr", "vae.zarr"]), names_of(["ae/z.zarr", "vae/z.zarr"])
    (['z.zarr', 'vae.zarr'], ['ae/z.zarr', 'vae/z.zarr'])
    """
    for store in stores:
        if stores.count(store) > 1:
            raise UsageError(f"{store} is given twice; name each store once")
    names = [Path(store).name or store for store in stores]
    return names if len(set(names)) == len(names) else stores
