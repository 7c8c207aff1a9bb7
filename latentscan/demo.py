"""The whole way in a few minutes: synthetic faces, an AE and two VAEs, their stores, and how they differ."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.encoding.encode import encode_all
from latentscan.encoding.parameters import EncodeParameters
from latentscan.execution.context import Execution
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.progress import SILENT, labelled
from latentscan.report.gallery import draw_results
from latentscan.report.grid import save_grid
from latentscan.report.page.render import write_report
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

    from latentscan.analyses.analysis import Analysis
    from latentscan.images.source import ImageSource
    from latentscan.progress import Progress
    from latentscan.store.results import Result

IMAGES = 5000
EPOCHS = 6
HEADLINE = "compare"  # the analysis whose table and picture are shown in the end
K, POINTS = range(2, 41, 2), IMAGES
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "kmeans": {"k": K},
    "tsne": {"points": POINTS},
    "compare": {"k": K, "points": POINTS},
}
FACES = "faces"
SHOWN = 8  # images in a row of a grid
MODELS: dict[str, tuple[dict[str, Any], str]] = {  # what each run is trained with, and what it is in words
    "ae": ({"kind": "ae"}, "the AE"),
    "vae": ({"kind": "vae"}, "the VAE whose KL loss is tiny, times 1e-5"),
    "vae-kl": ({"kind": "vae", "fact": 5}, "the VAE whose KL loss matters, times 5"),
}
STEPS = len(MODELS) + 4
PAGE = "report.html"
PICTURES = (
    "compared",
    "reconstructions",
    *(f"{name}-{points}" for name in MODELS for points in ("gaussian", "normal")),
)
OWN = {
    FACES,
    PAGE,
    f"{PAGE}.partial",
    *MODELS,
    *(f"{name}.zarr" for name in MODELS),
    *(f"{name}-plots" for name in MODELS),
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
    faces, steps = out / FACES, count(1)

    def step(what: str) -> None:
        say(f"{next(steps)} of {STEPS}: {what}")

    begun = faces.exists()
    step(f"{images:,} synthetic faces, in CelebA's layout")
    synthesize(faces, images, progress=progress)
    source = open_images(faces, preprocessing)
    trained = False
    for name, (kind, words) in MODELS.items():
        step(f"train {words}, into {name}/")
        trained |= _train(source, out / name, kind, epochs, preprocessing, labelled(progress, name))
    step("encode every face with each of them")
    summaries = encode_all(
        [str(out / name) for name in MODELS],
        str(faces),
        [str(out / f"{name}.zarr") for name in MODELS],
        EncodeParameters(),
        progress=progress,
    )
    written = sum(summary.written for summary in summaries)
    step("every analysis of each store, and of all together")
    stores = {f"{name}.zarr": Snapshot.of(open_store(str(out / f"{name}.zarr"))) for name in MODELS}
    together, computed = _analyse(out, stores, progress)
    if begun and not (trained or written or computed):
        say("all of it is there already; only pictures and the page are drawn again")
    step(f"pictures, and {PAGE}")
    for name, snapshot in zip(MODELS, stores.values(), strict=True):
        draw_results(snapshot.location, out / f"{name}-plots", ".png", progress=labelled(progress, name))
    comparison = {HEADLINE: together[HEADLINE]}
    save_figure(view_of(HEADLINE).figure(comparison), out / "compared.png")
    _draw(out, source)
    write_report(
        [snapshot.location for snapshot in stores.values()],
        out / PAGE,
        images=str(faces),
        models=[out / name for name in MODELS],
        execution=Execution(progress=progress),
    )
    return view_of(HEADLINE).table(comparison)


def _analyse(out: Path, stores: Mapping[str, Snapshot], progress: Progress) -> tuple[dict[str, Result], int]:
    """Make every analysis; return those of all stores together, by name, and how many were computed."""
    together, cache = {}, Cache(execution=Execution(progress=progress))
    own = {name: Cache(execution=Execution(progress=labelled(progress, name))) for name in stores}
    for name, analysis in ANALYSES.items():
        request = Request(analysis, analysis.parameters.model_validate(SETTINGS.get(name, {})))
        if analysis.inputs is SeveralStores:
            together[name] = cache.result(request, SeveralStores(stores))
            continue
        for store, snapshot in stores.items():
            if analysis.suits(snapshot.schema):
                own[store].result(request, analysis.inputs.open(_named(out, store, snapshot, analysis)))
    return together, sum(one.computed for one in (cache, *own.values()))


def _named(out: Path, store: str, snapshot: Snapshot, analysis: Analysis[Any]) -> dict[str, Any]:
    """Return what an analysis of a store is of: the store, its run, its images, as far as it asks."""
    known = {"store": snapshot.store, "model": out / store.removesuffix(".zarr"), "images": out / FACES}
    return {one.name: known[one.name] for one in analysis.inputs.arguments if one.name in known}


def _train(
    source: ImageSource,
    run: Path,
    kind: Mapping[str, Any],
    epochs: int,
    preprocessing: Preprocessing,
    progress: Progress,
) -> bool:
    """Train what is missing, and return whether anything was."""
    from latentscan.models.training import train_rest

    parameters = TrainParameters.model_validate(
        {
            **kind,
            "filters": (16, 32, 64, 128),
            "z_dim": 64,
            "epochs": epochs,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "split": "all",
        }
    )
    return train_rest(source, run, parameters, preprocessing, progress=progress) is not None


def _draw(out: Path, source: ImageSource) -> None:
    from latentscan.analyses.fitted_points import fitted_points
    from latentscan.models.decoder import load_decoder
    from latentscan.models.points import normal_points

    originals = source.read(0, 2 * SHOWN).values
    rows = [originals]
    for name in MODELS:
        decoder = load_decoder(out / name)
        store = open_store(str(out / f"{name}.zarr"))
        rows.append(decoder.decode(np.asarray(store.z[: 2 * SHOWN])))
        fitted = fitted_points(store, SHOWN**2, seed=0)
        save_grid(decoder.decode(fitted), out / f"{name}-gaussian.png", SHOWN)
        normal = normal_points(SHOWN**2, decoder.components, seed=0)
        save_grid(decoder.decode(normal), out / f"{name}-normal.png", SHOWN)
    save_grid(np.concatenate(rows), out / "reconstructions.png", 2 * SHOWN)
