"""What encoding takes beside a model, images and a store, for the command and for job files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.encoding.parameters import DEFAULT_LIMIT, ON_DISK, Noise
from latentscan.errors import UsageError
from latentscan.paths import as_path, is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from latentscan.encoding.parameters import EncodeParameters
    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.summary import Summary


def encode_images(
    model: str,
    images: str,
    store: str,
    parameters: EncodeParameters,
    preprocessing: Mapping[str, Any],
    *,
    open_workers: Callable[[], AbstractContextManager[Executor]],
    progress: Progress,
) -> Summary:
    """Load an encoder and write the latents of images into a store, or what is missing of them.

    Parameters
    ----------
    model
        A run folder, or a model file, which is loaded in this process.
    preprocessing
        Those fields of `Preprocessing` that are asked for; the others are those of the training.
    open_workers
        Gives the workers, once all else is found to be right.

    Raises
    ------
    UsageError
        If the model or the images do not exist, or what is asked for does not fit the encoder or the store.
    StoreError
        If the store is damaged.
    """
    if is_url(model):
        raise UsageError(f"--model {model}: expected {ON_DISK}")
    for name, path in (("--model", Path(model)), ("--images", as_path(images))):
        if not path.exists():
            raise UsageError(f"{name} {path}: does not exist")
    from latentscan.encoding.pipeline import chosen_preprocessing, encode, open_source
    from latentscan.models.encoder import load_encoder

    named = named_outputs(parameters.outputs)
    encoder = load_encoder(Path(model), outputs=named, trust=parameters.trust_model)
    chosen = chosen_preprocessing(encoder, preprocessing, override=parameters.override_preprocessing)
    if "logvar" not in encoder.outputs:
        _refuse_noise(parameters)
    noise = Noise(
        parameters.seed or 0,
        _first(parameters.epsilon_limit, encoder.epsilon_limit, DEFAULT_LIMIT),
        _first(parameters.epsilon_factor, encoder.epsilon_factor, 1.0),
    )
    root = None if parameters.root is None else as_path(parameters.root)
    encoder = encoder.with_preprocessing(chosen)
    source = open_source(as_path(images), chosen, root=root, pixel_limit=parameters.pixel_limit)
    with open_workers() as executor:
        return encode(
            encoder,
            source,
            store,
            noise=noise,
            chunk_rows=parameters.chunk_rows,
            compression=parameters.compression,
            retry_rejected=parameters.retry_rejected,
            executor=executor,
            progress=progress,
        )


def named_outputs(text: str | None) -> dict[str, int] | None:
    """Read which output of a model is which.

    Raises
    ------
    UsageError
        If it says something else.

    Examples
    --------
    >>> named_outputs("mu=0,logvar=1")
    {'mu': 0, 'logvar': 1}
    """
    if text is None:
        return None
    try:
        return {name.strip(): int(number) for name, number in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise UsageError(f"--outputs {text}: expected name=number pairs, such as mu=0,logvar=1") from None


def _refuse_noise(parameters: EncodeParameters) -> None:
    given = [
        name for name in ("epsilon_factor", "epsilon_limit", "seed") if getattr(parameters, name) is not None
    ]
    if given:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"leave out {flags}: the encoder has no logvar")


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
