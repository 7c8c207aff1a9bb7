"""The command that writes what is missing of a store, in whatever directory it is run.

It is made of what the user has set, not of a list of options that someone has to keep in step: a new field of
the parameters is in it by construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.errors import command
from latentscan.paths import absolute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.encoding.parameters import EncodeParameters
    from latentscan.paths import AnyPath

OF_ONE_RUN = frozenset({"retry_rejected"})  # fields that say nothing of the rows of a store


def encode_command(model: str, images: str, store: str, parameters: EncodeParameters) -> str:
    """Return the mark of the command that encodes images into a store.

    Parameters
    ----------
    model, images, store
        Where they are; the command has absolute paths.
    parameters
        Those fields that were set are in the command.

    Examples
    --------
    >>> from latentscan.encoding.parameters import EncodeParameters
    >>> from latentscan.errors import spelled
    >>> parameters = EncodeParameters(seed=0, value_range=(-1, 1))
    >>> spelled(encode_command("/run", "/faces", "/z.zarr", parameters), "command line")
    'latentscan encode --model /run --images /faces --value-range -1:1 --seed 0 --store /z.zarr'
    """
    given = parameters.model_dump(include=set(parameters.model_fields_set - OF_ONE_RUN))
    paths = {"model": absolute(model), "images": absolute(images)}
    return _command("encode", {**paths, **given, "store": absolute(store)})


def ingest_command(files: Mapping[str, AnyPath], store: str, options: Mapping[str, Any]) -> str:
    """Return the mark of the command that brings latents of .npy files into a store.

    Parameters
    ----------
    files
        The file of each of `mu`, `logvar`, `z`.
    store
        Where it is.
    options
        Further parameters of `ingest`, by name.
    """
    paths = {name: absolute(file) for name, file in files.items()}
    return _command("ingest", {**paths, **options, "store": absolute(store)})


def _command(name: str, arguments: Mapping[str, Any]) -> str:
    given = {field: value for field, value in arguments.items() if value is not None}
    return command(name, **given)
