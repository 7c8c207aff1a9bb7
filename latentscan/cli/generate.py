"""The verb that shows what a decoder makes of points: random ones, or those along an attribute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from latentscan.cli.cluster_options import Connection, on_workers
from latentscan.cli.exit_codes import check_picture, counted
from latentscan.cli.model_options import interval
from latentscan.cli.terminal import note
from latentscan.errors import UsageError
from latentscan.models.kinds import function_of, starts_tensorflow
from latentscan.progress import terminal_progress
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from latentscan.analyses.labels.walk import Walk
    from latentscan.models.decoder import Decoder

SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="seed of all that is random")]
MOST_SHOWN = 10_000  # in one picture
COUNT, WALKS, STEPS = 64, 4, 9
TrustOption = Annotated[
    bool, typer.Option("--trust-model", help="load a model file that can run code (.h5, SavedModel, Lambda)")
]


@on_workers
def generate(
    model: Annotated[
        Path, typer.Option(help="a run folder, or a decoder: a .keras or an .onnx file", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="the picture to write, a .png file", show_default=False)],
    normal: Annotated[bool, typer.Option("--normal", help="standard normal z-points")] = False,
    uniform: Annotated[float | None, typer.Option(help="z-points uniform in ±UNIFORM")] = None,
    store: Annotated[
        str | None,
        typer.Option(help="z-points from a Gaussian with the mean and the covariance of this store's z"),
    ] = None,
    covariance: Annotated[
        str,
        typer.Option(
            metavar="full|diagonal", help="of that Gaussian; diagonal: as if components were independent"
        ),
    ] = "full",
    along: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="strips of points that go along an attribute of --store, as `labels` finds it",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=2, max=99, help="images of a strip, from -3 to 3 standard deviations")
    ] = STEPS,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_SHOWN, help=f"how many images ({COUNT}), or strips ({WALKS})", show_default=False
        ),
    ] = None,
    seed: SeedOption = 0,
    value_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH", help="what black and white are in the decoder's images; tried out if left out"
        ),
    ] = None,
    trust_model: TrustOption = False,
    results: Annotated[
        str | None, typer.Option(help="where the result of `labels` is cached, if not in the store")
    ] = None,
    *,
    connection: Connection,
) -> None:
    """Decode random z-points into a grid of images, or points along an attribute."""
    _check(
        [normal, uniform is not None, store is not None].count(True),
        covariance,
        alone=store is None,
        walks=along is not None,
        named=connection.named or connection.insecure or connection.trust_cluster,
        stepped=steps != STEPS or results is not None,
    )
    many = count or (COUNT if along is None else WALKS)
    check_picture(out, "--out", (".png",))
    if not function_of(model)[0].exists():
        raise UsageError(f"--model {model}: does not exist")
    note_start(model)
    from latentscan.analyses.fitted_points import fitted_points
    from latentscan.analyses.labels.walk import walk_along
    from latentscan.execution.context import Execution
    from latentscan.models.decoder import load_decoder
    from latentscan.models.points import normal_points, uniform_points
    from latentscan.models.run_folder import is_another
    from latentscan.report.grid import save_grid
    from latentscan.store.reader import open_store

    limits = None if value_range is None else interval("value_range", value_range)
    decoder = load_decoder(model, trust=trust_model, value_range=limits)
    if limits is None and decoder.value_range != (0.0, 1.0):
        low, high = decoder.value_range
        note(f"its images are taken to be in {low:g}..{high:g}: {decoder.reason}")
    decoder.require_memory(many * (steps if along is not None else 1))
    if store is not None:
        opened = open_store(store)
        if is_another(model, opened.attributes.get("encoder")):
            note(f"{store} was written by another model; its points may mean nothing to {model}")
        if along is not None:
            with connection.open() as executor:
                walk = walk_along(
                    opened,
                    along,
                    steps=steps,
                    walks=many,
                    seed=seed,
                    results=results,
                    execution=Execution(executor, terminal_progress()),
                )
            _write_strips(decoder, walk, Path(store).name, out)
            return
        with connection.open() as executor:
            points = fitted_points(
                opened,
                many,
                seed,
                Execution(executor, terminal_progress()),
                covariance="diagonal" if covariance == "diagonal" else "full",
            )
    elif uniform is not None:
        points = uniform_points(many, decoder.components, uniform, seed)
    else:
        points = normal_points(many, decoder.components, seed)
    save_grid(decoder.decode(points), out)
    note(f"{out} shows {counted(many, 'image')}")


def _check(ways: int, covariance: str, *, alone: bool, walks: bool, named: bool, stepped: bool) -> None:
    """Check that options of points belong together.

    Raises
    ------
    UsageError
        If they do not.
    """
    if ways != 1:
        raise UsageError("give exactly one of --normal, --uniform B and --store STORE")
    if alone and named:
        raise UsageError("a cluster is for --store alone; leave it out")
    if covariance not in ("full", "diagonal"):
        raise UsageError(f"--covariance {covariance}: expected full or diagonal")
    if covariance != "full" and (alone or walks):
        raise UsageError("--covariance is for random points of --store alone; leave it out")
    if walks and alone:
        raise UsageError("--along is for --store alone: name the store whose attribute it is")
    if stepped and not walks:
        raise UsageError("--steps and --results are for --along alone; leave them out")


def _write_strips(decoder: Decoder, walk: Walk, store: str, out: Path) -> None:
    """Write a picture of a row a walk, whose steps are named below each image."""
    from latentscan.report.sheet import save_sheet

    images = decoder.decode(np.concatenate(walk.points))
    starts = ["the mean" if row < 0 else f"row {row}" for row in walk.rows.tolist()]
    offsets = [f"{offset:+.3g} σ" if abs(offset) > 1e-9 else "0" for offset in walk.offsets.tolist()]
    captions = [(offset, start) for start in starts for offset in offsets]
    measure = "AUC" if walk.is_binary else "correlation"
    title = f"{store}: along {one_line(walk.name)} ({measure} {walk.skill:.2f} on images held out)"
    save_sheet(list(images), captions, title, out, columns=len(offsets))
    note(f"{out} shows {counted(len(starts), 'strip')} of {len(offsets)} images along {one_line(walk.name)}")


def note_start(*models: Path) -> None:
    """Say what loading a model waits for."""
    if any(map(starts_tensorflow, models)):
        note("starting TensorFlow")
