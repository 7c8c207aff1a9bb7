"""Whether a row of an encoder depends on its image alone, and what to take instead where it does not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UnsafeInputError, parameter
from latentscan.models.backend import keras
from latentscan.models.foreign import foreign_layers
from latentscan.models.graph import calls, heads_model, part, runs_foreign_code, tensors_of
from latentscan.models.outputs import SPREADS, Head, meaning_of
from latentscan.models.ranges import SIDE
from latentscan.models.steady_rows import is_same, is_steady, of_same_images, two_batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def steady_heads(
    model: Any, heads: tuple[Head, ...], path: Path, limits: tuple[float, float]
) -> tuple[tuple[Head, ...], list[str]]:
    """Return outputs whose rows depend on their image alone, and what to say of it.

    An encoder that gives a sampled z alone, and whose layers call themselves mu and logvar (or alike), is
    taken to give these.

    Parameters
    ----------
    model
        The model.
    heads
        Its outputs, or layers, that are asked for.
    path
        The model's file, for errors.
    limits
        The range of its pixels.

    Raises
    ------
    ParameterError
        If rows depend on other things, with what to give instead if there is something.
    """
    if hidden := foreign_layers(heads_model(model, heads)):
        return _in_front(model, heads, path, limits, ", ".join(hidden)), []
    if _is_steady(model, heads, limits):
        return heads, []
    culprit, node = _culprit(model, heads, limits)
    said = (
        f"its output {heads[0].name} is random, or depends on the other images of a batch: the same images "
        f"gave other values in another batch, from layer {culprit} on"
    )
    named = _named_layers(model)
    if heads[0].array == "z" and named and _usable(model, named, limits):
        mu, logvar = (head.name for head in named)
        return named, [f"{said}; mu and logvar are taken from the layers {mu} and {logvar} in front of it"]
    raise ParameterError(f"{said}; {_remedy(model, heads, node, limits)}", field="model", value=path)


def _in_front(
    model: Any, heads: tuple[Head, ...], path: Path, limits: tuple[float, float], hidden: str
) -> tuple[Head, ...]:
    """Return mu and logvar where layers in front of foreign ones are called so, instead of what is behind."""
    named = _named_layers(model)
    if heads[0].array == "z" and named and _usable(model, named, limits):
        return named
    before = [operation.name for operation, _, node in calls(model) if _is_point(node, model)]
    names = f"; in front of it are {', '.join(before[-6:])}" if before else ""
    raise UnsafeInputError(
        f"{path}: {heads[0].name} is computed by {hidden}, whose code is not in the file, or not trusted"
        f"{names}: name what is in front of it by {parameter('outputs')} or {parameter('layer')}, or if you "
        f"know who made it, give the file of its code, {parameter('custom_objects', 'FILE.py')}, and "
        f"{parameter('trust_model', True)}"
    )


def _is_point(node: Any, model: Any) -> bool:
    """Return whether a call gives rows of components, without a foreign layer."""
    shape = node.output_tensors[0].shape
    return (
        len(shape) == 2 and None not in shape[1:] and not foreign_layers(part(model, node.output_tensors[:1]))
    )


def _is_steady(model: Any, heads: Sequence[Head], limits: tuple[float, float]) -> bool:
    selected = heads_model(model, heads)
    if foreign_layers(selected):
        return False
    batches = _batches(selected, limits)
    if runs_foreign_code(selected):  # noise that is as small as rounding differs from one call to the next
        return is_steady(partial(_run, selected), batches)
    first, again = (_run(selected, batch) for batch in batches)
    return all(is_same(*pair) for pair in of_same_images(first, again))


def _batches(selected: Any, limits: tuple[float, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    entry = selected.inputs[0]
    sides = [side or SIDE for side in entry.shape[1:]]
    return two_batches(sides, str(entry.dtype), limits, entry.shape[0])


def _run(selected: Any, pixels: NDArray[Any]) -> list[NDArray[Any]]:
    outputs = keras.tree.flatten(selected(keras.ops.convert_to_tensor(pixels), training=False))
    return [np.asarray(keras.ops.convert_to_numpy(output)) for output in outputs]


def _culprit(model: Any, heads: Sequence[Head], limits: tuple[float, float]) -> tuple[str, Any]:
    """Return the name of the first operation whose output changes, and its call; None where none does."""
    selected = heads_model(model, heads)
    made = [(operation, node) for operation, _, node in calls(selected)]
    tensors = [(at, tensor) for at, (_, node) in enumerate(made) for tensor in node.output_tensors]
    tensors = [(at, tensor) for at, tensor in tensors if tensor.shape[:1] == selected.inputs[0].shape[:1]]
    whole = part(selected, [tensor for _, tensor in tensors])
    first, again = (_run(whole, batch) for batch in _batches(whole, limits))
    for (at, _), pair in zip(tensors, of_same_images(first, again), strict=True):
        if not is_same(*pair):
            operation, node = made[at]
            return f"{operation.name} ({type(operation).__name__})", node
    return heads[0].name, None


def _named_layers(model: Any) -> tuple[Head, ...]:
    """Return the layers of a model that call themselves mu and logvar (or alike), if it has one of each."""
    names = [operation.name for operation, _, _ in calls(model)]
    found = {meaning: [name for name in names if meaning_of(name) == meaning] for meaning in ("mu", *SPREADS)}
    spread = next((meaning for meaning in SPREADS if found[meaning]), None)
    if spread is None or len(found["mu"]) != 1 or len(found[spread]) != 1:
        return ()
    return _pair(found["mu"][0], found[spread][0], spread)


def _pair(mu: str, spread: str, meaning: str = "logvar") -> tuple[Head, ...]:
    return Head("mu", "mu", mu, mu), Head("logvar", meaning, spread, spread)


def _usable(model: Any, heads: Sequence[Head], limits: tuple[float, float]) -> bool:
    try:
        tensors = tensors_of(model, [head.source for head in heads])
    except (ValueError, AttributeError):
        return False
    shapes = {tuple(tensor.shape) for tensor in tensors}
    return len(shapes) == 1 and len(shapes.pop()) >= 2 and _is_steady(model, heads, limits)


def _remedy(model: Any, heads: Sequence[Head], node: Any, limits: tuple[float, float]) -> str:
    """Return what can be given instead; an option is named after it was tried."""
    inputs = node.input_tensors if node is not None else []
    names = [tensor._keras_history.operation.name for tensor in inputs]  # noqa: SLF001
    if len(names) == 2 and _usable(model, _pair(*names), limits):
        mu, logvar = names
        option = parameter("outputs", f"mu={mu},logvar={logvar}")
        return f"if {mu} is mu and {logvar} is logvar, give {option}"
    outputs = tensors_of(model, [head.source for head in heads])
    is_last = len(names) == 1 and any(made is output for made in node.output_tensors for output in outputs)
    if is_last and _usable(model, (Head("z", "z", names[0], names[0]),), limits):
        return f"give {parameter('outputs', f'z={names[0]}')} for what is in front of it"
    return "save a model without it, with mu and logvar, or z, as its outputs"
