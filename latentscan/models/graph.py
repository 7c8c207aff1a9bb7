"""Walks over the graph of a Keras model: its outputs by name, and the parts of it that can be run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from latentscan.models.outputs import Head, Source

INACTIVE = ("keras", "latentscan")  # whose layers are random in training alone
CODE = frozenset({"Lambda", "TFSMLayer"})  # Keras's own layers that run code of others


def output_names(model: Any) -> list[list[str]]:
    """Return the names of each output: its key in a dictionary of outputs, if any, and its layer's."""
    found = []
    for path, tensor in keras.tree.flatten_with_path(model.output):
        keys = [str(key) for key in path if isinstance(key, str)]
        found.append([*keys[-1:], str(tensor._keras_history.operation.name)])  # noqa: SLF001
    return found


def part(model: Any, outputs: Sequence[Any]) -> Any:
    """Return the part of a model that leads to some of its tensors, as a model."""
    return keras.Model(model.inputs[0] if len(model.inputs) == 1 else model.inputs, list(outputs))


def tensors_of(model: Any, sources: Sequence[Source]) -> list[Any]:
    """Return the outputs with these positions, or of the layers with these names.

    Raises
    ------
    ValueError
        If there is no such layer, or it has several outputs.
    """
    tensors = []
    for source in sources:
        found = model.outputs[source] if isinstance(source, int) else model.get_layer(source).output
        if isinstance(found, list | tuple | dict):
            raise ValueError(f"layer {source} has several outputs")  # noqa: TRY004
        tensors.append(found)
    return tensors


def heads_model(model: Any, heads: Sequence[Head]) -> Any:
    """Return the part of a model that leads to these outputs and layers."""
    return part(model, tensors_of(model, [head.source for head in heads]))


def calls(model: Any) -> Iterator[tuple[Any, list[Any], Any]]:
    """Yield each call of an operation in a model, first ones first: operation, its inputs, its node."""
    known = {id(tensor) for tensor in model.inputs}
    for operation in model.operations:
        for node in operation._inbound_nodes:  # noqa: SLF001 (Keras has no other way)
            inputs = node.input_tensors
            if inputs and all(id(tensor) in known for tensor in inputs):
                known.update(id(tensor) for tensor in node.output_tensors)
                yield operation, inputs, node


def functional(model: Any) -> Any:
    """Return a Sequential model as one whose graph can be walked; others as they are."""
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return model


def is_nested(operation: Any) -> bool:
    """Return whether an operation is a model whose graph can be walked."""
    return isinstance(operation, keras.Model) and bool(getattr(operation, "inputs", None))


def runs_foreign_code(model: Any) -> bool:
    """Return whether something in a model could draw random numbers, or mix images, unseen.

    Keras's own layers do so in training alone, also where they were called with ``training=True``.
    """
    for operation, _, _ in calls(model):
        if type(operation).__name__ in CODE:
            return True
        if is_nested(operation):
            if runs_foreign_code(functional(operation)):
                return True
        elif type(operation).__module__.partition(".")[0] not in INACTIVE:
            return True
    return False
