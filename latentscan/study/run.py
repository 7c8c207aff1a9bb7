"""The study from images to its page, each step going on where it was interrupted."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.encoding.encode import encode_all
from latentscan.encoding.parameters import EncodeParameters
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS
from latentscan.images.open import open_images
from latentscan.progress import SILENT, labelled
from latentscan.store.atomic import require_folder_of
from latentscan.study.answers import answers
from latentscan.study.figures import grid_of
from latentscan.study.grid import SEEDS, runs_of
from latentscan.study.layout import Found, Layout
from latentscan.study.present import FIGURES, PAGE, PICTURE, present
from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.report.study import Grid
    from latentscan.store.results import Result
    from latentscan.study.grid import Run, Size

OF_ALL_RUNS = ("stats", "collapse", "ledger", "pca", "shape", "labels", "logvar", "randoms")
OF_FIRST_RUNS = ("axes", "outliers", "kmeans", "tsne")  # what is looked at, and not averaged over seeds
OF_KINDS = ("compare",)  # of the first run of every kind
OF_GRID = ("runs",)
OWN = {"faces", "runs", "stores", PAGE, f"{PAGE}.partial", FIGURES, PICTURE}
PROBED = 4  # batches of which a training's speed is known before it begins


def run_study(
    out: Path,
    size: Size,
    *,
    seeds: int = SEEDS,
    open_executor: Callable[[], AbstractContextManager[Executor]] = lambda: nullcontext(IN_PROCESS),
    progress: Progress = SILENT,
    say: Callable[[str], None] = lambda _: None,
) -> Grid:
    """Paint faces, train the grid, encode it in one pass, analyse and report it; nothing is done twice.

    Parameters
    ----------
    out
        The folder to fill.
    size
        How large the study is.
    seeds
        Runs of each kind.
    open_executor
        Returns where blocks are encoded and analysed; trainings run in this process.
    progress
        Hears of all work.
    say
        Called with each step before it begins.

    Returns
    -------
    The figures of every run, and the answers.

    Raises
    ------
    UsageError
        If the folder holds anything else, or was begun with another size.
    """
    require_folder_of(str(out), OWN)
    layout, grid = Layout(out), list(runs_of(size, seeds))
    say(f"1 of 5: {size.images:,} synthetic faces")
    synthesize(layout.faces, size.images, progress=progress)
    _train_all(layout, grid, size, progress, say)
    say(f"3 of 5: encode every face with {len(grid)} models, in one pass")
    (out / "stores").mkdir(exist_ok=True)
    with open_executor() as executor:
        encode_all(
            [str(layout.run(run)) for run in grid],
            str(layout.faces),
            [layout.store(run) for run in grid],
            EncodeParameters(),
            open_executor=lambda: nullcontext(executor),
            progress=progress,
        )
        say("4 of 5: analyses of each store, and of all together")
        execution = Execution(executor, progress)
        found = analyse(layout, grid, size, execution)
        say(f"5 of 5: {PAGE}")
        measured = grid_of(size.kinds, grid, found)
        measured = replace(measured, answers=tuple(answers(layout, grid, found, measured)))
        present(layout, grid, size, measured, {name: found.of_grid[name] for name in OF_GRID}, execution)
    return measured


def analyse(layout: Layout, grid: Sequence[Run], size: Size, execution: Execution) -> Found:
    """Make every analysis of the study; what is cached is read."""
    of_run: dict[str, dict[str, Result]] = {}
    for run in grid:
        names = [*OF_ALL_RUNS, *(OF_FIRST_RUNS if run.number == 0 else ())]
        where = Execution(execution.executor, labelled(execution.progress, run.name))
        of_run[run.name] = dict(_of_store(layout, run, names, size, where))
    first = [run for run in grid if run.number == 0]
    of_grid = {
        name: _together(name, layout, members, size, execution)
        for names, members in ((OF_KINDS, first), (OF_GRID, grid))
        for name in names
        if name in ANALYSES
    }
    return Found(of_run, of_grid)


def estimate_s(size: Size, seeds: int = SEEDS) -> float:
    """Return how many seconds the trainings would take here, by a few steps of the first kind.

    Encoding and the analyses come on top of it.
    """
    from latentscan.models.autoencoder import build_autoencoder

    grid = list(runs_of(size, seeds))
    parameters = grid[0].parameters(size)
    model = build_autoencoder(parameters, size.side, (0.0, 1.0))
    shape = (parameters.batch_size, size.side, size.side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    taken = []
    for _ in range(1 + PROBED):  # the first one builds the graph
        began_s = time.perf_counter()
        model.train_on_batch(pixels, return_dict=True)
        taken.append(time.perf_counter() - began_s)
    steps = -(-size.images // parameters.batch_size) * size.epochs * len(grid)
    return float(np.median(taken[1:])) * steps


def _train_all(
    layout: Layout, grid: Sequence[Run], size: Size, progress: Progress, say: Callable[[str], None]
) -> None:
    from latentscan.models.run_folder import RunFolder
    from latentscan.models.training import train_rest

    source = open_images(layout.faces, size.preprocessing)
    for number, run in enumerate(grid, start=1):
        folder = layout.run(run)
        if not RunFolder(folder).is_done(size.epochs):
            say(f"2 of 5: train {run.name}, {number} of {len(grid)}: {run.kind.words}, seed {run.seed}")
        own = labelled(progress, run.name)
        train_rest(source, folder, run.parameters(size), size.preprocessing, progress=own)


def _of_store(
    layout: Layout, run: Run, names: Sequence[str], size: Size, execution: Execution
) -> Iterator[tuple[str, Result]]:
    named = {
        "store": layout.store(run),
        "model": str(layout.run(run)),
        "images": str(layout.faces),
    }
    opened: dict[type, Any] = {}
    cache = Cache(execution=execution)
    for name in names:
        if name not in ANALYSES or not _fits(name, run):
            continue
        inputs = ANALYSES[name].inputs
        if inputs not in opened:
            wanted = {argument.name for argument in inputs.arguments}
            opened[inputs] = inputs.open({key: value for key, value in named.items() if key in wanted})
        yield name, cache.result(_request(name, size), opened[inputs])


def _fits(name: str, run: Run) -> bool:
    """Check whether an analysis says anything of a kind: an autoencoder has no logvar."""
    return name != "logvar" or run.kind.trained["kind"] == "vae"


def _together(name: str, layout: Layout, members: Sequence[Run], size: Size, execution: Execution) -> Result:
    stores = {run.name: layout.store(run) for run in members}
    return Cache(execution=execution).result(_request(name, size), SeveralStores.open({"stores": stores}))


def _request(name: str, size: Size) -> Request:
    analysis = ANALYSES[name]
    given: dict[str, Any] = dict(size.analyses.get(name, {}))
    if name in OF_KINDS:  # takes up the inertia and the maps of each store
        for part in ("kmeans", "tsne"):
            given |= size.analyses.get(part, {})
    if name in OF_GRID:
        given["kind"] = [f"{kind.name}={kind.name}-[0-9]*" for kind in size.kinds]
    return Request(analysis, analysis.parameters.model_validate(given))
