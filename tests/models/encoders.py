"""Encoders as users make them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.models.backend import keras

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

layers = keras.layers
Shape = tuple[int | None, ...]


def save(
    path: Path,
    *,
    heads: tuple[int, ...] = (3, 3),
    names: tuple[str, ...] = ("z_mean", "z_log_var"),
    shape: Shape = (8, 8, 3),
    first: Any = None,
    last: Any = None,
) -> Path:
    """Save an encoder as a user would make it: Flatten and one Dense layer for each head.

    Heads beyond those with names get Keras's own, such as dense_7.
    """
    image = keras.Input(shape)
    x = layers.Flatten()(image if first is None else first(image))
    named = dict(enumerate(names if len(heads) > 1 else ()))
    outputs = [layers.Dense(units, name=named.get(at))(x) for at, units in enumerate(heads)]
    if last is not None:
        outputs.append(last(outputs))
    keras.Model(image, outputs if len(outputs) > 1 else outputs[0]).save(path)
    return path


def direct(path: Path, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    outputs = keras.tree.flatten(keras.models.load_model(path)(pixels / np.float32(255)))
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def as_keras_2(new: Path, old: Path) -> Path:
    """Write a functional model as Keras 2 did."""
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            is_config = name == "config.json"
            target.writestr(name, json.dumps(_of_keras_2(json.loads(content))) if is_config else content)
    return old


def _of_keras_2(config: dict[str, Any]) -> dict[str, Any]:
    """Describe a model as Keras 2 did."""
    for layer in config["config"]["layers"]:
        own = layer["config"]
        own["dtype"] = "float32"
        if "batch_shape" in own:
            own["batch_input_shape"] = own.pop("batch_shape")
        if "negative_slope" in own:
            own["alpha"] = own.pop("negative_slope")
        if layer["class_name"] == "BatchNormalization":
            own["axis"] = [3]
        histories = [
            node["args"][0]["config"]["keras_history"] for node in layer["inbound_nodes"] if node["args"]
        ]
        layer["inbound_nodes"] = [[[*history, {}]] for history in histories]
    for end in ("input_layers", "output_layers"):
        config["config"][end] = [config["config"][end]]
    return {**config, "module": "keras.src.engine.functional", "registered_name": "Functional"}
