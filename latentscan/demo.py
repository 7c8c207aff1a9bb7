"""The whole way in a few minutes: synthetic faces, an AE and a VAE, their stores, and how they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache
from latentscan.analyses.inputs import OneStore, SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.encoding.encode import encode_images
from latentscan.encoding.parameters import EncodeParameters
from latentscan.execution.context import Execution
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.progress import SILENT
from latentscan.report.gallery import draw_results
from latentscan.report.grid import save_grid
from latentscan.report.style import save_figure
from latentscan.report.views import view_of
from latentscan.scan.snapshot import Snapshot
from latentscan.store.atomic import require_folder_of
from latentscan.store.reader import open_store
from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from latentscan.images.source import ImageSource
    from latentscan.progress import Progress
    from latentscan.store.results import Result

IMAGES = 6000
EPOCHS = 8
HEADLINE = "compare"  # the analysis whose table and picture are shown in the end
SETTINGS = {"k": range(2, 41, 2), "points": IMAGES}  # of all analyses that have such parameters
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


def run_demo(
    out: Path,
    *,
    images: int = IMAGES,
    epochs: int = EPOCHS,
    progress: Progress = SILENT,
    say: Callable[[str], None] = lambda _: None,
) -> RenderableType:
    """Fill a folder with faces, runs, stores and pictures; what an earlier run made is used again.

    Parameters
    ----------
    out
        The folder.
    images
        How many faces.
    epochs
        Of training.
    progress
        Hears of all work.
    say
        Called with each step before it begins.

    Returns
    -------
    A table of how the two models compare.

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
        paths = (str(out / kind), str(faces), str(out / f"{kind}.zarr"))
        encode_images(*paths, EncodeParameters(), progress=progress)
    say("5. every analysis of both, and pictures")
    stores = {f"{kind}.zarr": Snapshot.of(open_store(str(out / f"{kind}.zarr"))) for kind in KINDS}
    together = _analyse(stores, Cache(execution=Execution(progress=progress)))
    for kind, snapshot in zip(KINDS, stores.values(), strict=True):
        draw_results(snapshot.location, out / f"{kind}-plots", ".png", progress=progress)
    comparison = {HEADLINE: together[HEADLINE]}
    save_figure(view_of(HEADLINE).figure(comparison), out / "compared.png")
    _draw(out, source)
    return view_of(HEADLINE).table(comparison)


def _analyse(stores: Mapping[str, Snapshot], cache: Cache) -> dict[str, Result]:
    """Make every analysis of the stores; return those of both together, by name."""
    together = {}
    for name, analysis in ANALYSES.items():
        own = {key: value for key, value in SETTINGS.items() if key in analysis.parameters.model_fields}
        request = Request(analysis, analysis.parameters.model_validate(own))
        if analysis.inputs is SeveralStores:
            together[name] = cache.result(request, SeveralStores(stores))
        elif analysis.inputs is OneStore:
            for snapshot in stores.values():
                cache.result(request, OneStore(snapshot))
    return together


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


def _draw(out: Path, source: ImageSource) -> None:
    from latentscan.analyses.fitted_points import fitted_points
    from latentscan.models.decoder import load_decoder
    from latentscan.models.points import normal_points

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
