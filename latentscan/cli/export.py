"""The verb that writes a table of one row an image for other tools."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import Annotated

import typer

from latentscan.cli.cluster_options import Connection, on_workers
from latentscan.cli.exit_codes import check_picture, counted, reported
from latentscan.cli.store_commands import StoreOption  # noqa: TC001 (typer reads it)
from latentscan.cli.terminal import note
from latentscan.errors import UsageError
from latentscan.progress import terminal_progress


def add_export(app: typer.Typer) -> None:
    """Add `export`."""
    app.command("export")(reported(export))


@on_workers
def export(
    store: StoreOption,
    out: Annotated[
        Path,
        typer.Option(
            help="a .parquet, .csv or .npz table; .npy: the latents; .h5ad: both, for AnnData",
            show_default=False,
        ),
    ],
    k: Annotated[int | None, typer.Option(min=1, help="add the cluster by the cached kmeans of k")] = None,
    map_: Annotated[
        str | None,
        typer.Option("--map", metavar="KEY", help="the map for x and y; the one of most images if left out"),
    ] = None,
    mapped: Annotated[
        bool, typer.Option("--mapped", help="leave out images that are not on the map")
    ] = False,
    axes: Annotated[int, typer.Option(min=0, max=1000, help="principal axes to project on")] = 2,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="radius, distances and density, of `outliers`")
    ] = True,
    array: Annotated[str, typer.Option(metavar="auto|mu|z", help="the points")] = "auto",
    results: Annotated[str | None, typer.Option(help="where results are cached, if not in the store")] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="go ahead with an incomplete store")
    ] = False,
    *,
    connection: Connection,
) -> None:
    """Write a table of one row an image: path, attributes, map, cluster, figures, principal components."""
    from latentscan.analyses.cache import Cache, CachePolicy
    from latentscan.analyses.inputs import OneStore
    from latentscan.analyses.point_table import TableParameters, point_table
    from latentscan.execution.context import Execution
    from latentscan.report.table_file import ENDINGS, write_rows, write_table
    from latentscan.scan.rows import choose_points

    check_picture(out, "--out", ENDINGS)
    if array not in ("auto", "mu", "z"):
        raise UsageError(f"--array {array}: expected auto, mu or z")
    inputs = OneStore.open({"store": store}, allow_partial=allow_partial)
    progress, is_latents = terminal_progress(), out.suffix.lower() == ".npy"
    asked = TableParameters(
        array,  # type: ignore[arg-type]
        map_,
        None if is_latents else k,
        0 if is_latents else axes,
        figures and not is_latents,
        mapped,
    )
    with connection.open() as executor:
        table = point_table(inputs, asked, Cache(CachePolicy(results), Execution(executor, progress)))
    if mapped and table.kept is None:
        raise UsageError("--mapped: no map is cached; make one first, or leave it out")
    if is_latents:
        write_rows(table, choose_points(inputs.snapshot.schema, asked.array), out, progress)
        note(f"{out} holds {counted(table.rows, 'row')} of latents")
    else:
        write_table(table, out, progress)
        note(
            f"{out} holds {counted(table.rows, 'row')}: {', '.join(c.name for c in table.columns[:12])}, ..."
        )
