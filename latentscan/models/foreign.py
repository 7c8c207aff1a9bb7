"""Layers whose code is not here, or not trusted: something stands in for them, and nothing behind it counts.

An encoder that ends in a layer of someone's own, which samples z, has mu and logvar in front of it. These are
computed by Keras's own layers: the other one need neither be run nor trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.models.backend import keras
from latentscan.models.graph import calls, functional, is_nested

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KERAS_2 = ("keras.src.engine.", "keras.engine.", "tf_keras.src.engine.")
_MODELS = {"Functional": "keras.src.models.functional", "Sequential": "keras"}
_CODE = ("Lambda", "TFSMLayer")


class Foreign(keras.layers.Layer):  # type: ignore[misc]
    """What stands in for a layer: it passes on the first of its inputs, and has no weights."""

    def call(self, *inputs: Any, **_: Any) -> Any:
        """Return the first input."""
        return keras.tree.flatten(inputs)[0]


def with_stand_ins(
    config: dict[str, Any], known: Mapping[str, Any], *, trust: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a model's configuration in which something stands in for foreign layers, and all custom objects.

    What Keras 2 wrote is put into the words of Keras 3.

    Parameters
    ----------
    config
        The configuration of a model, as `.keras` files hold it.
    known
        Custom objects, by name.
    trust
        Whether Keras's layers that hold code are left as they are.
    """
    objects = dict(known)

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(one) for one in value]
        if not isinstance(value, dict):
            return value
        if str(value.get("module")).startswith(_KERAS_2) and value.get("class_name") in _MODELS:
            value = {**value, "module": _MODELS[value["class_name"]], "registered_name": None}
        if value.get("class_name") == "BatchNormalization" and isinstance(value.get("config"), dict):
            value = {**value, "config": _one_axis(value["config"])}
        if "inbound_nodes" in value and _is_foreign(value, known, trust=trust):
            name, registered = str(value["class_name"]), f"foreign>{value['class_name']}"
            objects[registered] = type(name, (Foreign,), {})  # weights are found by the names of classes
            own = value.get("config")
            label = own.get("name") if isinstance(own, dict) else None
            return {
                **{key: one for key, one in value.items() if key != "build_config"},
                "module": None,
                "registered_name": registered,
                "config": {"name": label or value.get("name")},
            }
        return {key: changed(one) for key, one in value.items()}

    return changed(config), objects


def foreign_layers(model: Any) -> list[str]:
    """Return the layers of a model that something stands in for, in words."""
    return [f"{layer.name} ({type(layer).__name__})" for layer in _foreign(model)]


def _foreign(model: Any) -> Iterator[Any]:
    for operation, _, _ in calls(model):
        if isinstance(operation, Foreign):
            yield operation
        elif is_nested(operation):
            yield from _foreign(functional(operation))


def _one_axis(config: dict[str, Any]) -> dict[str, Any]:
    """Return the axis of a layer as a number: Keras 2 lists it."""
    axis = config.get("axis")
    return {**config, "axis": axis[0]} if isinstance(axis, list) and len(axis) == 1 else config


def _is_foreign(layer: Mapping[str, Any], known: Mapping[str, Any], *, trust: bool) -> bool:
    names = {str(layer.get("registered_name")), str(layer.get("class_name"))}
    if names & set(known):
        return False
    if str(layer.get("class_name")) in _CODE:
        return not trust
    return str(layer.get("module")).partition(".")[0] != "keras"
