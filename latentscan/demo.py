"""The whole way in a few minutes: synthetic faces, an AE and a VAE, their stores, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.axes import axes
from latentscan.analyses.cache import Run
from latentscan.analyses.compare.analysis import CompareParameters, Comparison, compare
from latentscan.analyses.pca import pca
from latentscan.encoding.encode import encode_images
from latentscan.encoding.parameters import EncodeParameters
from latentscan.gallery import draw_results
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.progress import SILENT
from latentscan.report.compare import compare_plot, compare_table
from latentscan.report.grid import save_grid
from latentscan.report.style import save_figure
from latentscan.store.atomic import require_folder_of
from latentscan.store.reader import open_store
from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import RenderableType

    from latentscan.images.source import ImageSource
    from latentscan.progress import Progress

IMAGES = 6000
EPOCHS = 8
# briefly trained, the radii of 64 components are large
COMPARED = CompareParameters(upper=70, width=1, k=range(2, 41, 2), points=IMAGES)
SHOWN = 8  # images in a row of a grid
KINDS = ("ae", "vae")
PICTURES = (
    "compared",
    "reconstructions",
    *(f"{kind}-{points}" for kind in KINDS for points in ("gaussian", "normal")),
)
OWN = {
    "faces",
    *KINDS,
    *(f"{kind}.zarr" for kind in KINDS),
    *(f"{kind}-plots" for kind in KINDS),
    *(f"{name}.png" for name in PICTURES),
}


@dataclass(frozen=True)
class DemoReport:
    """What the demo has to say: how the two models compare, and what it made."""

    table: RenderableType
    farewell: str


def run_demo(
    out: Path,
    *,
    images: int = IMAGES,
    epochs: int = EPOCHS,
    progress: Progress = SILENT,
    say: Callable[[str], None] = lambda _: None,
) -> DemoReport:
    """Fill a folder with faces, runs, stores and pictures; what is there from an earlier run is kept.

    Raises
    ------
    UsageError
        If the folder holds anything else.
    """
    require_folder_of(str(out), OWN)
    preprocessing = Preprocessing()
    faces = out / "faces"
    say(f"1. {images:,} synthetic faces, in CelebA's layout")
    synthesize(faces, images, progress=progress)
    source = open_images(faces, preprocessing)
    for number, kind in enumerate(KINDS, start=2):
        say(f"{number}. train the {kind.upper()}" + (" (KL loss times 1e-5)" if kind == "vae" else ""))
        _train(source, out / kind, kind, epochs, preprocessing, progress)
    say("4. encode every face with both")
    for kind in KINDS:
        places = (str(out / kind), str(faces), str(out / f"{kind}.zarr"))
        encode_images(*places, EncodeParameters(), progress=progress)
    say("5. every analysis of both, and pictures")
    stores = {f"{kind}.zarr": open_store(str(out / f"{kind}.zarr")) for kind in KINDS}
    run = Run(progress=progress)
    comparison = compare(stores, COMPARED, run)
    for kind, store in zip(KINDS, stores.values(), strict=True):
        axes(store, run=run)
        pca(store, run=run)
        draw_results(store.location, out / f"{kind}-plots", ".png", progress=progress)
    _draw(out, source, comparison)
    return DemoReport(compare_table(comparison), _farewell(out))


def _train(
    source: ImageSource,
    run: Path,
    kind: str,
    epochs: int,
    preprocessing: Preprocessing,
    progress: Progress,
) -> None:
    from latentscan.models.training import train

    parameters = TrainParameters.model_validate(
        {
            "kind": kind,
            "filters": (16, 32, 64, 128),
            "z_dim": 64,
            "epochs": epochs,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "split": "all",
        }
    )
    resume = (run / "run.json").exists()
    train(source, run, parameters, preprocessing, resume=resume, progress=progress)


def _draw(out: Path, source: ImageSource, comparison: Comparison) -> None:
    from latentscan.analyses.fitted_points import fitted_points
    from latentscan.models.decoder import load_decoder
    from latentscan.models.points import normal_points

    save_figure(compare_plot(comparison.pairs), out / "compared.png")
    originals = source.read(0, 2 * SHOWN).values
    rows = [originals]
    for kind in KINDS:
        decoder = load_decoder(out / kind)
        store = open_store(str(out / f"{kind}.zarr"))
        rows.append(decoder.decode(np.asarray(store.z[: 2 * SHOWN])))
        fitted = fitted_points(store, SHOWN**2, seed=0)
        save_grid(decoder.decode(fitted), out / f"{kind}-gaussian.png", SHOWN)
        normal = normal_points(SHOWN**2, decoder.components, seed=0)
        save_grid(decoder.decode(normal), out / f"{kind}-normal.png", SHOWN)
    save_grid(np.concatenate(rows), out / "reconstructions.png", 2 * SHOWN)


def _farewell(out: Path) -> str:
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
