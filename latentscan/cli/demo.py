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
    """Make synthetic faces, train an AE and a VAE on them, encode them, and compare the two."""
    from latentscan.demo import run_demo

    table = run_demo(out, progress=terminal_progress(), say=note)
    print_text(table)
    print_line(farewell(out))


def farewell(out: Path) -> str:
    """Return what the demo has made, and commands to go on with."""
    return f"""
{out} now holds
  faces/                the images, their attributes and partitions
  ae/ vae/              trained models: encoder.keras, history.csv, ...
  ae.zarr/ vae.zarr/    the latents of every image
  ae-plots/ vae-plots/  a picture of every analysis
  compared.png          radii, inertia and t-SNE maps of both
  reconstructions.png   faces, what the AE, and what the VAE makes of them
  *-gaussian.png        decoded from a Gaussian with the moments of z
  *-normal.png          decoded from a standard normal distribution

Try next
  latentscan pca --store {out}/vae.zarr
  latentscan kmeans --store {out}/vae.zarr --k 2:40:2 --json
  latentscan generate --model {out}/vae --uniform 3 --out uniform.png
  latentscan train vae --images {out}/faces --out normal-vae --fact 5
  latentscan encode --help"""
