"""Whether a row of an encoder depends on its image alone, and what to take instead where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, parameter
from latentscan.models.backend import keras
from latentscan.models.graph import calls, heads_model, part, runs_foreign_code, tensors_of
from latentscan.models.outputs import SPREADS, Head, meaning_of
from latentscan.models.ranges import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ROUNDING = 1e-5  # of the largest value: what an accelerator may do to the sums of Keras's own layers


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


def _is_steady(model: Any, heads: Sequence[Head], limits: tuple[float, float]) -> bool:
    selected = heads_model(model, heads)
    batches = _batches(selected, limits)
    first, again = (_run(selected, batch) for batch in batches)
    if not all(_same(*pair) for pair in _of_same_images(first, again)):
        return False
    # noise that is as small as rounding differs from one call to the next
    return not runs_foreign_code(selected) or all(
        np.array_equal(*pair, equal_nan=True) for pair in zip(first, _run(selected, batches[0]), strict=True)
    )


def _batches(selected: Any, limits: tuple[float, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two batches with the images 0 and 2 in common, each at another place and among others."""
    entry = selected.inputs[0]
    levels = np.random.default_rng(0).integers(0, 256, (6, *(side or SIDE for side in entry.shape[1:])))
    pixels = (limits[0] + levels * ((limits[1] - limits[0]) / 255)).astype(str(entry.dtype))
    return pixels[[0, 1, 2, 3]], pixels[[4, 2, 5, 0]]


def _of_same_images(
    first: Sequence[NDArray[Any]], again: Sequence[NDArray[Any]]
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return [(a[[0, 2]], b[[3, 1]]) for a, b in zip(first, again, strict=True)]


def _run(selected: Any, pixels: NDArray[Any]) -> list[NDArray[Any]]:
    outputs = keras.tree.flatten(selected(keras.ops.convert_to_tensor(pixels), training=False))
    return [np.asarray(keras.ops.convert_to_numpy(output)) for output in outputs]


def _same(first: NDArray[Any], again: NDArray[Any]) -> bool:
    tolerance = ROUNDING * max(1e-30, float(np.abs(np.nan_to_num(first)).max(initial=0)))
    return bool(np.allclose(first, again, rtol=0, atol=tolerance, equal_nan=True))


def _culprit(model: Any, heads: Sequence[Head], limits: tuple[float, float]) -> tuple[str, Any]:
    """Return the name of the first operation whose output changes, and its call; None where none does."""
    selected = heads_model(model, heads)
    made = [(operation, node) for operation, _, node in calls(selected)]
    tensors = [(at, tensor) for at, (_, node) in enumerate(made) for tensor in node.output_tensors]
    tensors = [(at, tensor) for at, tensor in tensors if tensor.shape[:1] == (None,)]
    whole = part(selected, [tensor for _, tensor in tensors])
    first, again = (_run(whole, batch) for batch in _batches(whole, limits))
    for (at, _), pair in zip(tensors, _of_same_images(first, again), strict=True):
        if not _same(*pair):
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
    return len(shapes) == 1 and len(shapes.pop()) == 2 and _is_steady(model, heads, limits)


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
