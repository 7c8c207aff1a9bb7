"""images -> encoder -> store: the one function behind the command, the step of a job, and Python."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.pipeline import EncodingTask, Target
from latentscan.encoding.prepare import PROBE_ROWS, prepare
from latentscan.encoding.resume_command import encode_command
from latentscan.encoding.retry import Retried, RetryTask
from latentscan.encoding.sources import begun_with
from latentscan.errors import ParameterError, UsageError, parameter, spelled
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS
from latentscan.images.preprocessing import as_recorded
from latentscan.images.source import Status
from latentscan.paths import absolute, as_path
from latentscan.progress import SILENT, remark
from latentscan.scan.reduce import map_reduce
from latentscan.scan.rejects import summarise
from latentscan.scan.snapshot import block_label
from latentscan.store.atomic import remove_leftovers
from latentscan.store.rewrite import finish_rewrites
from latentscan.store.schema import (
    DEFAULT_CHUNK_ROWS,
    Compression,
    Schema,
    attribute_record,
    label_fields,
    shape_record,
)
from latentscan.store.writer import create_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from latentscan.encoding.parameters import EncodeParameters, Noise
    from latentscan.execution.executor import Executor
    from latentscan.images.source import ImageSource
    from latentscan.models.encoder import Encoder
    from latentscan.progress import Advance, Progress
    from latentscan.scan.rejects import Summary
    from latentscan.store.reader import LatentStore


@dataclass(frozen=True)
class Encoding:
    """An encoder, and the store that it writes.

    Parameters
    ----------
    encoder
        A trained encoder; one without mu and logvar writes `z` alone.
    location
        The store to write, or to go on with.
    noise
        How z is sampled; an image has the same z whatever the chunking or the number of runs.
    resume_command
        The command that writes the rest of this store, which a new store records.
    """

    encoder: Encoder
    location: str
    noise: Noise
    resume_command: str = ""


def encode_images(
    model: str,
    images: str,
    store: str,
    parameters: EncodeParameters,
    *,
    open_executor: Callable[[], AbstractContextManager[Executor]] = lambda: nullcontext(IN_PROCESS),
    progress: Progress = SILENT,
) -> Summary:
    """Load an encoder and write the latents of images into a store, or what is missing of them.

    As `encode_all` does with several.
    """
    (summary,) = encode_all(
        [model], images, [store], parameters, open_executor=open_executor, progress=progress
    )
    return summary


def encode_all(
    models: Sequence[str],
    images: str,
    stores: Sequence[str],
    parameters: EncodeParameters,
    *,
    open_executor: Callable[[], AbstractContextManager[Executor]] = lambda: nullcontext(IN_PROCESS),
    progress: Progress = SILENT,
) -> list[Summary]:
    """Load encoders and write the latents of images, a store for each, or what is missing of them.

    An image is read and decoded once for all encoders that take the same pixels. Every store has the bytes
    that it has when its encoder is the only one, and is committed and resumed by itself.

    Parameters
    ----------
    models
        Run folders, or model files, which are loaded in this process.
    images
        A folder of images, CelebA's folder, a list of paths, archives, tables, or an array; a path or a URL.
    stores
        The store to write, or to go on with, of each model; paths or URLs.
    parameters
        How images become rows.
    open_executor
        Returns where blocks are encoded; called once all else is found to be right.
    progress
        Hears of images that are encoded.

    Returns
    -------
    What came of each store.

    Raises
    ------
    UsageError
        If a model or the images do not exist, or what is asked for does not fit an encoder or a store.
    UnsafeInputError
        If a model could run code, and is not trusted.
    StoreError
        If a store is damaged.
    """
    _require_pairs(models, stores)
    prepared = prepare(models, images, stores, parameters, progress)
    for line in dict.fromkeys(line for one in prepared for line in one.notes):
        remark(progress, spelled(line, "command line"))
    found: dict[str, Summary] = {}
    with open_executor() as executor:
        for one in prepared:
            encodings = [
                Encoding(
                    each.encoder,
                    each.store,
                    each.noise,
                    # for whoever reads the store, with latentscan or without
                    spelled(encode_command(each.model, images, each.store, each.parameters), "command line"),
                )
                for each in one.members
            ]
            summaries = encode_together(
                encodings,
                one.source,
                chunk_rows=parameters.chunk_rows,
                compression=parameters.compression,
                retry_rejected=parameters.retry_rejected,
                executor=executor,
                progress=progress,
            )
            found |= {each.store: summary for each, summary in zip(one.members, summaries, strict=True)}
    return [found[store] for store in stores]


def encode(
    encoder: Encoder,
    source: ImageSource,
    location: str,
    *,
    noise: Noise,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    retry_rejected: bool = False,
    resume_command: str = "",
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> Summary:
    """Write `mu`, `logvar` and `z` of every image into a store, or what is missing of it.

    As `encode_together` does with several encoders.
    """
    (summary,) = encode_together(
        [Encoding(encoder, location, noise, resume_command)],
        source,
        chunk_rows=chunk_rows,
        compression=compression,
        retry_rejected=retry_rejected,
        executor=executor,
        progress=progress,
    )
    return summary


def encode_together(
    encodings: Sequence[Encoding],
    source: ImageSource,
    *,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    compression: Compression = "none",
    retry_rejected: bool = False,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> list[Summary]:
    """Write `mu`, `logvar` and `z` of every image into the stores of some encoders, or what is missing.

    Parameters
    ----------
    encodings
        The encoders, which take the same pixels, and their stores.
    source
        The images, prepared as the encoders take them.
    chunk_rows
        Images of a block: what is encoded, committed and resumed as one.
    compression
        Of the chunks.
    retry_rejected
        Read rejected images again, and write the rows of those that can be encoded now; no other row changes.
    executor
        Where blocks are encoded: by this process, one after another, or by workers, a block of every store a
        task, for which the worker reads the images itself.
    progress
        Hears of images that are encoded.

    Raises
    ------
    UsageError
        If an encoder gives no finite number for a probe batch of good images, or a store was begun with
        other images, another encoder or other parameters; or if not even one of the first images exists.
    StoreError
        If a store is damaged.
    """
    for one in encodings:
        _probe(one.encoder, source)
    threads = executor.count if executor.in_process else 1
    targets: list[Target] = []
    for one in encodings:
        schema = _schema(one.encoder, source, chunk_rows, compression)
        provenance = _provenance(one.encoder, source, one.noise, begun_with(one.location, "preprocessing"))
        store = create_store(one.location, schema, provenance, resume_command=one.resume_command)
        finish_rewrites(store)
        targets.append(Target(one.encoder, store, one.noise))
    retried = [Retried(0, 0, {})] * len(targets)
    if retry_rejected:
        retried = [_retry(RetryTask(one, source, threads), executor, progress) for one in targets]
    missing = np.array([~target.store.committed() for target in targets])
    rows = np.array([len(schema.rows(block)) for block in range(schema.blocks)])
    blocks: list[int] = np.flatnonzero(missing.any(axis=0)).tolist()
    done = len(source) - int(rows[blocks].sum())
    with progress.task("encode", len(source), "images", done=done) as advance:
        reasons = _write_blocks(EncodingTask(targets, source, threads), blocks, executor, advance)
    summaries = []
    for target, own, again in zip(targets, missing, retried, strict=True):
        remove_leftovers(target.store.location)
        found = summarise(
            target.store,
            int(rows[own].sum()) + again.recovered,
            {**again.reasons, **reasons},
            Execution(executor, progress),
        )
        summaries.append(replace(found, retried=again.images, recovered=again.recovered))
    return summaries


def _require_pairs(models: Sequence[str], stores: Sequence[str]) -> None:
    """Check that there is a store for each model, and no store twice."""
    if len(models) != len(stores):
        raise UsageError(
            f"{len(models)} of {parameter('model')} and {len(stores)} of {parameter('store')}; give a store "
            "for each model, in the same order"
        )
    paths = [absolute(store) for store in stores]
    for position, store in enumerate(stores):
        if paths[position] in paths[:position]:
            raise ParameterError("given twice; name each store once", field="store", value=as_path(store))


@dataclass(frozen=True)
class _ByThisThread:
    """Ties a task to the thread that runs it itself: an interruption stops it by itself."""

    advance: Advance

    def stopped(self) -> bool:
        return False


def _write_blocks(
    task: EncodingTask, blocks: Sequence[int], executor: Executor, advance: Advance
) -> dict[int, str]:
    """Write blocks, and return why images were rejected, by row.

    This process takes all blocks as one task, so that the stages overlap across their borders.
    """
    if executor.in_process:
        return task(blocks, _ByThisThread(advance))
    name = partial(block_label, task.targets[0].store)
    found = executor.run_tasks(
        task,
        [(block,) for block in blocks],
        describe=lambda one: name(one[0]),
        report=advance,
        accelerated=True,
    )
    return {row: reason for part in found for row, reason in part.items()}


def _probe(encoder: Encoder, source: ImageSource) -> None:
    """Try the encoder on the first images, before anything is written."""
    probe = source.read(0, min(PROBE_ROWS, len(source)))
    encoder.probe(probe.values[probe.status == Status.GOOD])
    if (probe.status == Status.MISSING).all():
        raise UsageError(
            f"none of the first {len(probe.status)} images exists ({source.paths[0]}, ...); "
            f"give the folder that their paths are relative to as {parameter('root')}"
        )


def _provenance(
    encoder: Encoder, source: ImageSource, noise: Noise, begun: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "encoder": {
            "name": encoder.name,
            "sha256": encoder.sha256,
            "outputs": dict(zip(encoder.outputs, encoder.positions, strict=True)),
            **_loading_record(encoder),
        },
        "source": source.describe(),
        **attribute_record(source.attributes),
        # an encoder of a caller's own may know its components alone
        **shape_record(getattr(encoder, "latent_shape", ())),
        "preprocessing": as_recorded(encoder.default_preprocessing, begun),
        "seed": noise.seed,
        "epsilon_limit": noise.limit,
        "epsilon_factor": noise.factor,
        "versions": {**encoder.versions, "zarr": version("zarr"), "pillow": version("pillow")},
    }


def _loading_record(encoder: Encoder) -> dict[str, Any]:
    """Return what besides its file is known of an encoder: a function, a layer, code of layers, its training.

    An encoder of a caller's own has none of it.
    """
    loading = getattr(encoder, "loading", None)
    found = {name: getattr(loading, name, "") for name in ("function", "layer")}
    if (code := getattr(loading, "custom_objects", None)) is not None:
        found["custom_objects"] = hashlib.sha256(code.text.encode()).hexdigest()
    known: dict[str, Any] = {**found, "training": dict(getattr(encoder, "training", {}))}
    return {name: value for name, value in known.items() if value}


def _retry(task: RetryTask, executor: Executor, progress: Progress) -> Retried:
    """Read the rejected images of all blocks that are written again."""
    store = task.target.store
    rejected = _rejects_by_block(store, executor, progress)
    name = partial(block_label, store)
    with progress.task("retry", sum(rejected.values()), "images") as advance:
        if executor.in_process:
            found = [task(block, _ByThisThread(advance)) for block in rejected]
        else:
            found = executor.run_tasks(task, list(rejected), describe=name, report=advance, accelerated=True)
    return Retried(
        sum(part.images for part in found),
        sum(part.recovered for part in found),
        {row: reason for part in found for row, reason in part.reasons.items()},
    )


def _rejects_by_block(store: LatentStore, executor: Executor, progress: Progress) -> dict[int, int]:
    digests = store.digests()

    def rejected(block: int) -> dict[int, int]:
        count = int(np.count_nonzero(store.read_block(block, ("status",), digests[block])["status"]))
        return {block: count} if count else {}

    written = np.flatnonzero(digests.any(axis=(1, 2))).tolist()
    if not written:
        return {}
    return map_reduce(
        written,
        rejected,
        dict.__or__,
        Execution(executor, progress),
        label="look for rejected images",
        describe=partial(block_label, store),
    )


def _schema(encoder: Encoder, source: ImageSource, chunk_rows: int, compression: Compression) -> Schema:
    return Schema(
        images=len(source),
        components=encoder.components,
        latents=("mu", "logvar", "z") if "logvar" in encoder.outputs else ("z",),
        chunk_rows=chunk_rows,
        split=source.split is not None,
        compression=compression,
        **label_fields(source.attributes),
    )
