"""The verb that makes everything once: `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscan.cli.terminal import note, print_line, print_text
from latentscan.progress import terminal_progress


def demo(
    out: Annotated[Path, typer.Option(help="the folder to fill")] = Path("latentscan-demo"),
) -> None:
    """Make synthetic faces, train an AE and two VAEs on them, encode them, and compare the three."""
    from latentscan.demo import run_demo

    table = run_demo(out, progress=terminal_progress(brief=True), say=note)
    print_text(table)
    print_line(farewell(out))


def farewell(out: Path) -> str:
    """Return what the demo has made, and commands to go on with."""
    return f"""
{out} now holds
  report.html             open it: all that was found, on one page
  faces/                  the images, their attributes and partitions
  ae/ vae/ vae-kl/        trained models: encoder.keras, history.csv, ...
  *.zarr/                 the latents of every image, and the results
  *-plots/                a picture of every analysis
  compared.png            how alike the three are
  reconstructions.png     faces, and what each of the three makes of them
  *-gaussian.png          decoded from a Gaussian with the moments of z
  *-normal.png            decoded from a standard normal distribution

Try next
  latentscan pca --store {out}/vae.zarr
  latentscan kmeans --store {out}/vae.zarr --k 2:40:2 --json
  latentscan generate --model {out}/vae --uniform 3 --out uniform.png
  latentscan images --store {out}/vae.zarr --outliers --out out.png
  latentscan encode --help"""
