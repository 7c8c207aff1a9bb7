"""The verb that repeats the study: `study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscan.cli.cluster_options import Connection, on_workers
from latentscan.cli.terminal import note, print_line
from latentscan.progress import terminal_progress


@on_workers
def study(
    out: Annotated[Path, typer.Option(help="the folder to fill, or to go on with")] = Path(
        "latentscan-study"
    ),
    small: Annotated[
        bool, typer.Option("--small/--full", help="small: hours on two cores; full: 170,000 images, days")
    ] = True,
    plan: Annotated[bool, typer.Option("--plan", help="say what it would take, and do nothing")] = False,
    *,
    connection: Connection,
) -> None:
    """Train AEs and VAEs of several kinds and seeds, and say how alike they are, with error bars."""
    note("starting TensorFlow")
    from latentscan.study.grid import FULL, SEEDS, SMALL
    from latentscan.study.run import estimate_s, run_study

    size = SMALL if small else FULL
    passes = size.images * size.epochs
    hours = estimate_s(size) / 3600
    takes = f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.0f} days"
    note(
        f"{len(size.kinds)} kinds of models, {SEEDS} seeds of each, {passes:,} images trained on in each: "
        f"about {takes} on this machine if nothing is there yet, encoding and analyses not counted; "
        "interrupted, the same command goes on"
    )
    if plan:
        return
    run_study(out, size, open_executor=connection.open, progress=terminal_progress(brief=True), say=note)
    print_line(f"{out} holds the study")
