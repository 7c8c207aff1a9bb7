"""images -> encoder -> store: the one function behind the command, the step of a job, and Python."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.parameters import DEFAULT_LIMIT, ON_DISK, Noise
from latentscan.encoding.pipeline import EncodingTask
from latentscan.encoding.resume_command import encode_command
from latentscan.encoding.retry import Retried, RetryTask
from latentscan.errors import ParameterError, UsageError, parameter, spelled
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS
from latentscan.images.endings import FIRST_RULES, RULES
from latentscan.images.labelled import label
from latentscan.images.location import exists
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing, as_recorded, assumed
from latentscan.images.source import PIXEL_LIMIT, Status
from latentscan.models.kinds import function_of
from latentscan.models.outputs import named_outputs
from latentscan.paths import absolute, as_path, is_url, local_path
from latentscan.progress import SILENT, remark
from latentscan.scan.reduce import map_reduce
from latentscan.scan.rejects import summarise
from latentscan.scan.snapshot import block_label
from latentscan.store.atomic import remove_leftovers
from latentscan.store.image_array import is_zarr, open_array_source
from latentscan.store.metadata import read_root
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

    from latentscan.encoding.parameters import EncodeParameters
    from latentscan.execution.executor import Executor
    from latentscan.images.endings import Rules
    from latentscan.images.source import ImageSource
    from latentscan.models.encoder import Encoder
    from latentscan.paths import AnyPath
    from latentscan.progress import Advance, Progress
    from latentscan.scan.rejects import Summary
    from latentscan.store.reader import LatentStore

PROBE_ROWS = 16  # images with which an encoder is tried before anything is written


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

    Parameters
    ----------
    model
        A run folder, or a model file, which is loaded in this process.
    images
        A folder of images, CelebA's folder, a list of paths, archives, tables, or an array; a path or a URL.
    store
        The store to write, or to go on with; a path or a URL.
    parameters
        How images become rows.
    open_executor
        Returns where blocks are encoded; called once all else is found to be right.
    progress
        Hears of images that are encoded.

    Raises
    ------
    UsageError
        If the model or the images do not exist, or what is asked for does not fit the encoder or the store.
    UnsafeInputError
        If the model could run code, and is not trusted.
    StoreError
        If the store is damaged.
    """
    if is_url(model):
        raise ParameterError(f"expected {ON_DISK}", field="model", value=model)
    file, _ = function_of(local_path(model))
    for field, location in (("model", str(file)), ("images", images)):
        if not exists(location):
            raise ParameterError("does not exist", field=field, value=as_path(location))
    from latentscan.models.encoder import load_encoder  # Keras takes seconds to start

    encoder = load_encoder(
        local_path(model),
        outputs=named_outputs(parameters.outputs),
        trust=parameters.trust_model,
        asked=parameters.preprocessing,
        layer=parameters.layer,
        custom_objects=None if parameters.custom_objects is None else local_path(parameters.custom_objects),
    )
    chosen = chosen_preprocessing(
        encoder,
        parameters.preprocessing,
        override=parameters.override_preprocessing,
        begun=_begun(store, "preprocessing"),
    )
    noise = _noise(encoder, parameters)
    source = open_source(
        images,
        chosen,
        root=parameters.root,
        pixel_limit=parameters.pixel_limit,
        attributes=parameters.attributes,
        recorded=_begun(store, "source"),
    )
    trained = encoder.preprocessing is not None
    encoder = encoder.with_preprocessing(chosen, override=parameters.override_preprocessing)
    loading = _loading(chosen, parameters, trained=trained)
    for line in (*source.notes, loading, *encoder.notes, *_range_notes(encoder, source, parameters)):
        remark(progress, spelled(line, "command line"))
    with open_executor() as executor:
        return encode(
            encoder,
            source,
            store,
            noise=noise,
            chunk_rows=parameters.chunk_rows,
            compression=parameters.compression,
            retry_rejected=parameters.retry_rejected,
            # for whoever reads the store, with latentscan or without
            resume_command=spelled(encode_command(model, images, store, parameters), "command line"),
            executor=executor,
            progress=progress,
        )


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

    Parameters
    ----------
    encoder
        A trained encoder; one without mu and logvar writes `z` alone.
    source
        The images, prepared as the encoder takes them.
    location
        The store to write, or to go on with.
    noise
        How z is sampled; an image has the same z whatever the chunking or the number of runs.
    chunk_rows
        Images of a block: what is encoded, committed and resumed as one.
    compression
        Of the chunks.
    retry_rejected
        Read rejected images again, and write the rows of those that can be encoded now; no other row changes.
    resume_command
        The command that writes the rest, which a new store records.
    executor
        Where blocks are encoded: by this process, one after another, or by workers, a block a task, for which
        the worker reads the images itself.
    progress
        Hears of images that are encoded.

    Raises
    ------
    UsageError
        If the encoder gives no finite number for a probe batch of good images, or the store was begun with
        other images, another encoder or other parameters; or if not even one of the first images exists.
    StoreError
        If the store is damaged.
    """
    _probe(encoder, source)
    schema = _schema(encoder, source, chunk_rows, compression)
    provenance = _provenance(encoder, source, noise, _begun(location, "preprocessing"))
    store = create_store(location, schema, provenance, resume_command=resume_command)
    finish_rewrites(store)
    threads = executor.count if executor.in_process else 1
    retried = Retried(0, 0, {})
    if retry_rejected:
        retried = _retry(RetryTask(encoder, source, store, noise, threads), executor, progress)
    missing: list[int] = np.flatnonzero(~store.committed()).tolist()
    written = sum(len(schema.rows(block)) for block in missing)
    with progress.task("encode", len(source), "images", done=len(source) - written) as advance:
        task = EncodingTask(encoder, source, store, noise, threads)
        reasons = {**retried.reasons, **_write_blocks(task, missing, executor, advance)}
    remove_leftovers(location)
    summary = summarise(store, written + retried.recovered, reasons, Execution(executor, progress))
    return replace(summary, retried=retried.images, recovered=retried.recovered)


def open_source(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    *,
    root: str | AnyPath | None = None,
    pixel_limit: int | None = None,
    attributes: str | None = None,
    recorded: Mapping[str, Any] | None = None,
    rules: Rules = RULES,
) -> ImageSource:
    """Open images of any kind that `open_images` knows, or a Zarr array of them.

    Parameters
    ----------
    location
        Path or URL of the images.
    preprocessing
        How they are cropped and resized.
    root
        The folder of a list's paths; its own if None.
    pixel_limit
        Images of more pixels are rejected; `PIXEL_LIMIT` if None.
    attributes
        A table of what is known of the images, by their paths or in their order.
    recorded
        What a store or a training that was begun with these images says of them: a folder is listed as it
        was then, where it is the same.
    rules
        Which files of a folder are images by their names.

    Raises
    ------
    UsageError
        If there are no images, or `root` or `pixel_limit` is given for an array; or if the table is not one
        of these images.
    """
    opened = partial(_open_images, location, preprocessing, root, pixel_limit)
    source = opened(rules)
    if recorded is not None and not _is_of(source, recorded):
        as_then = opened(FIRST_RULES)
        if _is_of(as_then, recorded):
            source, rules = as_then, FIRST_RULES
    if attributes is None:
        return source
    return label(source, as_path(attributes)).opened_by(
        open_source,
        absolute(location),
        preprocessing=preprocessing,
        root=None if root is None else absolute(root),
        pixel_limit=pixel_limit,
        attributes=absolute(attributes),
        rules=rules,
    )


def _open_images(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    root: str | AnyPath | None,
    pixel_limit: int | None,
    rules: Rules,
) -> ImageSource:
    if is_zarr(location):
        for field, value in (("root", root), ("pixel_limit", pixel_limit)):
            if value is not None:
                raise ParameterError(f"{location} is an array; leave it out", field=field, value=value)
        return open_array_source(location, preprocessing)
    return open_images(
        location, preprocessing, root=root, pixel_limit=pixel_limit or PIXEL_LIMIT, rules=rules
    )


def _is_of(source: ImageSource, recorded: Mapping[str, Any]) -> bool:
    found = source.describe()
    return all(found[name] == recorded.get(name) for name in ("images", "sha256"))


def chosen_preprocessing(
    encoder: Encoder, asked: Mapping[str, Any], *, override: bool, begun: Mapping[str, Any] | None = None
) -> Preprocessing:
    """Return the preprocessing of an encoder's training, with those fields replaced that are asked for.

    Parameters
    ----------
    encoder
        Knows the preprocessing of its training, or what fits its input.
    asked
        Fields of `Preprocessing`, by name.
    override
        Whether they may differ from those of the training.
    begun
        The record of the preprocessing in the store that is to be gone on with: where the training is not
        known, images are loaded as for the rows before.

    Raises
    ------
    ParameterError
        If they differ, and must not.
    """
    own = encoder.default_preprocessing
    if encoder.preprocessing is None:
        own = assumed(own, begun)
    chosen = Preprocessing.model_validate({**own.model_dump(), **asked})
    changed = [name for name in asked if getattr(chosen, name) != getattr(own, name)]
    if encoder.preprocessing is not None and changed and not override:
        trained = ", ".join(parameter(name, getattr(own, name)) for name in changed)
        raise ParameterError(
            f"encoder {encoder.name} was trained with {trained}; leave it out, or give "
            f"{parameter('override_preprocessing', True)} to encode otherwise all the same",
            field=changed[0],
            value=getattr(chosen, changed[0]),
        )
    return chosen


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
    name = partial(block_label, task.store)
    found = executor.run_tasks(
        task,
        [(block,) for block in blocks],
        describe=lambda one: name(one[0]),
        report=advance,
        accelerated=True,
    )
    return {row: reason for part in found for row, reason in part.items()}


def _noise(encoder: Encoder, parameters: EncodeParameters) -> Noise:
    """Return how z is sampled: what is asked for, else that of the training.

    Raises
    ------
    ParameterError
        If something is asked for of an encoder that has no logvar.
    """
    names = ("seed", "epsilon_limit", "epsilon_factor")
    given = {name: value for name in names if (value := getattr(parameters, name)) is not None}
    if given and "logvar" not in encoder.outputs:
        field, value = next(iter(given.items()))
        left_out = " and ".join(parameter(name) for name in given)
        raise ParameterError(f"the encoder has no logvar; leave out {left_out}", field=field, value=value)
    return Noise(
        parameters.seed or 0,
        _first(parameters.epsilon_limit, encoder.epsilon_limit, DEFAULT_LIMIT),
        _first(parameters.epsilon_factor, encoder.epsilon_factor, 1.0),
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _probe(encoder: Encoder, source: ImageSource) -> None:
    """Try the encoder on the first images, before anything is written."""
    probe = source.read(0, min(PROBE_ROWS, len(source)))
    encoder.probe(probe.values[probe.status == Status.GOOD])
    if (probe.status == Status.MISSING).all():
        raise UsageError(
            f"none of the first {len(probe.status)} images exists ({source.paths[0]}, ...); "
            f"give the folder that their paths are relative to as {parameter('root')}"
        )


def _range_notes(encoder: Encoder, source: ImageSource, parameters: EncodeParameters) -> list[str]:
    """Return what to say of the range of pixels of a model whose training is not known."""
    asked = "value_range" in parameters.preprocessing
    if encoder.takes.value_range is not None:
        return encoder.range_notes(None, asked=asked)
    probe = source.read(0, min(PROBE_ROWS, len(source)))
    return encoder.range_notes(probe.values[probe.status == Status.GOOD], asked=asked)


def _begun(location: str, name: str) -> dict[str, Any] | None:
    """Return a record, such as that of the preprocessing, in a store that was begun; None without one."""
    begun = (read_root(location) or {}).get("attributes", {}).get(name)
    return begun if isinstance(begun, dict) else None


def _loading(chosen: Preprocessing, parameters: EncodeParameters, *, trained: bool) -> str:
    if parameters.model_fields_set & {"loader", "orientation", "alpha"}:
        why = "as asked for"
    elif trained:
        why = "as in the training"
    else:
        why = f"assumed; other ways: {parameter('loader')}"
    return f"images: {chosen.in_words} ({why})"


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


def _loading_record(encoder: Encoder) -> dict[str, str]:
    """Return what besides its file decides an encoder: a function, a layer, the code of layers.

    An encoder of a caller's own has none of it.
    """
    loading = getattr(encoder, "loading", None)
    found = {name: getattr(loading, name, "") for name in ("function", "layer")}
    if (code := getattr(loading, "custom_objects", None)) is not None:
        found["custom_objects"] = hashlib.sha256(code.text.encode()).hexdigest()
    return {name: value for name, value in found.items() if value}


def _retry(task: RetryTask, executor: Executor, progress: Progress) -> Retried:
    """Read the rejected images of all blocks that are written again."""
    rejected = _rejects_by_block(task.store, executor, progress)
    name = partial(block_label, task.store)
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
