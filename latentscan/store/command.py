"""The command that wrote a store, told from what the store knows of itself."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from latentscan.images.source import PIXEL_LIMIT
from latentscan.store.schema import DEFAULT_CHUNK_ROWS, LATENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.store.schema import Schema

_POSITIONAL = {"z=0", "mu=0,logvar=1"}  # the outputs that an encoder has unless it is told


def command_that_wrote(location: str, schema: Schema, attributes: Mapping[str, Any]) -> str:
    """Give the command, with those options that are not the usual ones; it writes what is missing."""
    source = attributes.get("source", {})
    if "encoder" in attributes:
        words = ["encode", "--model", attributes["encoder"]["name"], "--images", source["name"]]
        options = _options_of_encode(attributes, source)
    else:
        named = [name for name in LATENTS[::-1] if name in source]
        words = ["ingest", *(word for name in named for word in (f"--{name}", source[name]["name"]))]
        options = {}
    options["chunk-rows"] = (schema.chunk_rows, schema.chunk_rows == DEFAULT_CHUNK_ROWS)
    options["compression"] = (schema.compression, schema.compression == "none")
    words += ["--store", location]
    for name, (value, usual) in options.items():
        words += [] if usual else [f"--{name}", str(value)]
    return shlex.join(["latentscan", *words])


def _options_of_encode(known: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, tuple[Any, bool]]:
    """Give the value of each, and whether it is the usual one."""
    outputs = ",".join(f"{name}={at}" for name, at in known["encoder"]["outputs"].items())
    return {
        "outputs": (outputs, outputs in _POSITIONAL),
        "seed": (known["seed"], known["seed"] == 0),
        "epsilon-limit": (known["epsilon_limit"], known["epsilon_limit"] == 5),
        "epsilon-factor": (known["epsilon_factor"], known["epsilon_factor"] == 1),
        "pixel-limit": (source.get("pixel_limit"), source.get("pixel_limit") in {None, PIXEL_LIMIT}),
    }
