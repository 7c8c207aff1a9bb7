"""The verbs that make something: images, trained models, stores, pictures, and the demo that makes all."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentscan.cli.cluster_options import Connection, on_workers
from latentscan.cli.demo import demo
from latentscan.cli.exit_codes import TO_RESUME, counted, reported
from latentscan.cli.generate import SeedOption, generate, note_start
from latentscan.cli.model_options import pick, with_options
from latentscan.cli.study import study
from latentscan.cli.terminal import note
from latentscan.encoding.parameters import EncodeParameters
from latentscan.errors import SOME_REJECTED, UsageError, parameter
from latentscan.images.location import KINDS
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters, of_a_vae_alone
from latentscan.paths import local_path
from latentscan.progress import terminal_progress
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.scan.rejects import Summary

ImagesOption = Annotated[
    str,
    typer.Option(
        "--images",
        help=f"{KINDS}; FILE:NAME is a column or an array of several",
        show_default=False,
    ),
]
RootOption = Annotated[str | None, typer.Option(help="the folder that a list's paths are relative to")]
NewStoreOption = Annotated[str, typer.Option("--store", help="the store to write", show_default=False)]
ChunkRowsOption = Annotated[int, typer.Option(min=1, help="images of a block")]
CompressionOption = Annotated[
    Literal["none", "zstd", "lz4"], typer.Option(help="of the chunks; pays off on a slow network only")
]


def add_making(app: typer.Typer) -> None:
    """Add the verbs that make something."""
    for command in (demo, study, synth, encode, ingest):
        app.command()(reported(command, resuming=TO_RESUME))
    app.command()(reported(train, resuming="repeat with --resume to go on after the last finished epoch"))
    app.command()(reported(generate))


def synth(
    directory: Annotated[Path, typer.Argument(help="the folder to fill", show_default=False)],
    images: Annotated[int, typer.Option(min=1, help="how many", show_default=False)],
    seed: SeedOption = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; one a processor if left out")] = None,
) -> None:
    """Paint faces with CelebA's forty attributes, in CelebA's layout."""
    from latentscan.synth.dataset import synthesize

    synthesize(directory, images, seed=seed, workers=workers, progress=terminal_progress())
    note(f"{directory} holds {images:,} faces and their attributes")


@with_options(TrainParameters, Preprocessing, skip=("kind", "value_range", "channels", "mean", "std"))
def train(
    kind: Annotated[Literal["ae", "vae"], typer.Argument(help="which autoencoder", show_default=False)],
    images: ImagesOption,
    out: Annotated[Path, typer.Option(help="the run folder", show_default=False)],
    root: RootOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on after the last finished epoch")] = False,
    resume_from: Annotated[
        int | None, typer.Option(min=1, help="go on after this epoch, setting later ones aside")
    ] = None,
    *,
    options: dict[str, Any],
) -> None:
    """Train an autoencoder or a variational autoencoder; a resumed run keeps what is not named anew."""
    from latentscan.encoding.sources import open_source
    from latentscan.models.run_folder import RunFolder

    if kind == "ae" and (variational := of_a_vae_alone(options)):
        left_out = " and ".join(map(parameter, variational))
        raise UsageError(f"leave out {left_out}: an autoencoder has no KL loss")
    if resume and resume_from is not None:
        raise UsageError("give --resume or --resume-from EPOCH, not both")
    recorded = None
    if (resume or resume_from is not None) and not RunFolder(out).begins_anew():
        begun = RunFolder(out).read_record()
        recorded = begun.source
        options = {**begun.preprocessing.model_dump(), **begun.parameters.model_dump(), **options}
    parameters = pick(TrainParameters, options, kind=kind)
    preprocessing = pick(Preprocessing, options)
    _start_tensorflow()
    from latentscan.models.training import train as run_training

    progress = terminal_progress()
    source = open_source(images, preprocessing, root=root, recorded=recorded, progress=progress)
    training = run_training(
        source,
        out,
        parameters,
        preprocessing,
        resume=resume,
        resume_from=resume_from,
        progress=progress,
    )
    note(f"trained on {training.images:,} images, {len(training.history)} epochs; the encoder is in {out}")
    if training.rejected:
        note(f"{counted(training.rejected, 'image')} rejected:")
        for path, reason in list(training.reasons.items())[:10]:
            note(f"  {one_line(path)}: {one_line(reason)}")
        raise typer.Exit(SOME_REJECTED)


def _start_tensorflow() -> None:
    note("starting TensorFlow")
    from latentscan.models.backend import SET_ASIDE

    for line in SET_ASIDE:
        note(line)


@on_workers
@with_options(EncodeParameters)
def encode(
    model: Annotated[
        list[str],
        typer.Option(
            help="a run folder, a .keras or .onnx encoder, or FILE.py:FUNCTION; given several times, images "
            "are read once for all",
            show_default=False,
        ),
    ],
    images: ImagesOption,
    store: Annotated[
        list[str],
        typer.Option(help="the store to write, one for each model in the same order", show_default=False),
    ],
    *,
    options: dict[str, Any],
    connection: Connection,
) -> None:
    """Write mu, logvar and z of every image into a store."""
    from latentscan.encoding.encode import encode_all

    parameters = pick(EncodeParameters, options)
    note_start(*map(local_path, model))
    summaries = encode_all(
        *(model, images, store, parameters),
        open_executor=connection.open,
        progress=terminal_progress(),
    )
    _report(dict(zip(store, summaries, strict=True)))


@on_workers
def ingest(
    z: Annotated[
        str,
        typer.Option(
            metavar="FILE[:KEY]",
            help="an array, (images, components) or of more axes, in a .npy, .npz, .safetensors, .pt, .h5, "
            ".h5ad, .parquet or .csv file or in a Zarr folder; KEY names one of several, as in "
            "a.npz:latents, a.h5ad:obsm/X_vae, a.csv:z*",
            show_default=False,
        ),
    ],
    store: NewStoreOption,
    mu: Annotated[
        str | None, typer.Option(metavar="FILE[:KEY]", help="the same of mu", show_default=False)
    ] = None,
    logvar: Annotated[
        str | None, typer.Option(metavar="FILE[:KEY]", help="the same of logvar", show_default=False)
    ] = None,
    paths: Annotated[
        str | None,
        typer.Option(help="a .txt or .csv list of the paths of the images, a row each", show_default=False),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            help="a table of what is known of the images (.csv, .tsv, .txt or .parquet): a column has their "
            "paths, or rows are in their order",
            show_default=False,
        ),
    ] = None,
    chunk_rows: ChunkRowsOption = 4096,
    compression: CompressionOption = "none",
    *,
    connection: Connection,
) -> None:
    """Bring latents that were made elsewhere into a store."""
    from latentscan.encoding.ingest import ingest as run_ingest

    files = {"z": z, "mu": mu, "logvar": logvar}
    with connection.open() as executor:
        summary = run_ingest(
            {name: file for name, file in files.items() if file is not None},
            store,
            paths=paths,
            attributes=attributes,
            chunk_rows=chunk_rows,
            compression=compression,
            executor=executor,
            progress=terminal_progress(),
        )
    _report({store: summary})


def _report(summaries: Mapping[str, Summary]) -> None:
    for store, summary in summaries.items():
        _describe(store, summary)
    if any(summary.rejected for summary in summaries.values()):
        raise typer.Exit(SOME_REJECTED)


def _describe(store: str, summary: Summary) -> None:
    from latentscan.scan.rejects import describe

    before = summary.images - summary.written
    note(
        f"{store} is complete: {counted(summary.images, 'image')}"
        + (f", {before:,} of them from before" if before else "")
    )
    if summary.retried:
        note(
            f"{counted(summary.retried, 'rejected image')} read again, {summary.recovered:,} of them with "
            "latents now; rows that have latents were left as they are, and their images not read"
        )
    if not summary.rejected:
        return
    counts = ", ".join(f"{count:,} {describe(status)}" for status, count in summary.rejected.items())
    note(f"{counted(sum(summary.rejected.values()), 'image')} rejected ({counts}), NaN in the store:")
    for path, reason in summary.named:
        note(f"  {one_line(path)}: {one_line(reason)}")
