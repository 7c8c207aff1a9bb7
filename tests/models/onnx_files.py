"""ONNX files as exporters write them, small, and of other frameworks than PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

onnx_node = helper.make_node
Side = int | str | None
KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
}


def save(
    path: Path,
    nodes: Sequence[Any],
    entry: Sequence[Side],
    outputs: Mapping[str, Sequence[Side] | None],
    weights: Mapping[str, NDArray[Any]],
    *,
    kind: str = "float32",
    opsets: Mapping[str, int] | None = None,
    **options: Any,
) -> Path:
    """Save a graph whose input is called image; the shape of an output is None where the file is silent."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("image", KINDS[kind], list(entry))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    imports = [helper.make_opsetid(domain, number) for domain, number in {"": 17, **(opsets or {})}.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    onnx.save(model, str(path), **options)
    return path


def linear(
    path: Path,
    *,
    entry: Sequence[Side] = ("n", 3, 8, 8),
    names: Sequence[str] = ("mu", "logvar"),
    units: int = 3,
    declared: bool = True,
    kind: str = "float32",
    **options: Any,
) -> dict[str, NDArray[np.float32]]:
    """Save an encoder that is one matrix for each output, and return the matrices by its name."""
    sides = [side for side in entry[1:] if isinstance(side, int)]
    rng = np.random.default_rng(len(names))
    weights = {
        name: (rng.standard_normal((int(np.prod(sides)), units)) / np.sqrt(np.prod(sides))).astype(np.float32)
        for name in names
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["numbers"], to=TensorProto.FLOAT),
        *(helper.make_node("MatMul", ["numbers", f"w_{name}"], [name]) for name in names),
    ]
    shape = [entry[0], units] if declared else None
    save(
        path,
        nodes,
        entry,
        dict.fromkeys(names, shape),
        {f"w_{name}": values for name, values in weights.items()},
        kind=kind,
        **options,
    )
    return weights


def half_size(path: Path, entry: Sequence[Side] = ("n", 3, "h", "w")) -> Path:
    """Save an encoder of feature maps: images of half the size."""
    node = helper.make_node("AveragePool", ["image"], ["z"], kernel_shape=[2, 2], strides=[2, 2])
    return save(path, [node], entry, {"z": None}, {})
