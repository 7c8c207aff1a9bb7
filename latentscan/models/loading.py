"""The loading of model files, of which some can run code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.errors import ParameterError, UnsafeInputError, parameter
from latentscan.models.autoencoder import Sampling
from latentscan.models.backend import keras
from latentscan.models.graph import functional
from latentscan.models.model_file import check_model_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def load_model(path: Path, *, trust: bool) -> Any:
    """Load a `.keras` file; with `trust` also `.h5`, a SavedModel folder, and layers that hold code.

    A custom layer called Sampling is replaced by the one of this package.

    Raises
    ------
    UnsafeInputError
        If loading could run code, and the user did not vouch for it.
    UsageError
        If there is no such file, or Keras cannot read it.
    """
    if not path.exists():
        raise ParameterError(
            "does not exist; expected a run folder or a .keras file", field="model", value=path
        )
    kind = "SavedModel" if path.is_dir() else path.suffix.lower()
    if kind == "SavedModel" and not (path / "saved_model.pb").exists():
        raise ParameterError(
            "neither a run folder (no run.json) nor a SavedModel (no saved_model.pb); "
            "expected a run folder or a .keras file",
            field="model",
            value=path,
        )
    if kind not in {".keras", ".h5", ".hdf5", "SavedModel"}:
        raise ParameterError(
            "expected a run folder or a .keras file (or, trusted, .h5 or SavedModel)",
            field="model",
            value=path,
        )
    if kind != ".keras" and not trust:
        raise _unsafe(path, f"a model in the format {kind}")
    check_model_file(path, trust=trust)
    try:
        model = (
            _saved_model(path)
            if kind == "SavedModel"
            else keras.models.load_model(
                path, custom_objects={"Sampling": Sampling}, compile=False, safe_mode=not trust
            )
        )
    except Exception as error:  # noqa: BLE001 (what a damaged or hostile file makes of it can be anything)
        if "safe_mode=False" in str(error):
            raise _unsafe(path, "a layer that holds code (Lambda or alike)") from None
        raise ParameterError(
            f"expected a model that Keras {keras.__version__} can read, got {_reason(error)}; "
            "save it with model.save('encoder.keras') and layers that come with Keras",
            field="model",
            value=path,
        ) from None
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ParameterError(
            f"expected a model whose inputs and outputs are known, got a {type(model).__name__}; save one "
            "made with keras.Model(inputs, outputs) as a .keras file",
            field="model",
            value=path,
        )
    return functional(model)


def compile_fixed(
    forward: Callable[[Any], Any], shape: tuple[int, ...], dtype: str
) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
    """Make one function of `forward` for one input shape (batch, ...).

    On TensorFlow it is one graph, traced once; `predict` would cost three times as much.
    """
    inputs = keras.Input(batch_shape=shape, dtype=dtype)
    model = keras.Model(inputs, forward(inputs))
    if keras.backend.backend() != "tensorflow":
        return lambda values: [*keras.tree.flatten(model.predict_on_batch(values))]
    import tensorflow as tf  # only this backend has it

    graph = tf.function(
        lambda values: keras.tree.flatten(model(values, training=False)),
        input_signature=[tf.TensorSpec(shape, dtype)],
        autograph=False,
        jit_compile=False,
    )
    return lambda values: [output.numpy() for output in graph(values)]


def _saved_model(path: Path) -> Any:
    """Return a SavedModel as a model whose outputs have the names of its signature."""
    import tensorflow as tf  # only SavedModels need it

    signatures = tf.saved_model.load(str(path)).signatures
    if "serving_default" not in signatures:
        raise ValueError(f"no signature serving_default, but {', '.join(signatures) or 'none'}")
    signature = signatures["serving_default"]
    specs = list(signature.structured_input_signature[1].values())
    inputs = [keras.Input(spec.shape[1:], dtype=spec.dtype.name) for spec in specs]
    outputs = keras.layers.TFSMLayer(str(path), call_endpoint="serving_default")(*inputs)
    if isinstance(outputs, dict):  # output_10 comes after output_9
        outputs = {name: outputs[name] for name in sorted(outputs, key=lambda name: (len(name), name))}
        named = [keras.layers.Identity(name=name.replace("/", "."))(one) for name, one in outputs.items()]
        return keras.Model(inputs, named)
    return keras.Model(inputs, outputs)


def _unsafe(path: Path, what: str) -> UnsafeInputError:
    return UnsafeInputError(
        f"{path}: holds {what}, which can run any code while it is loaded: expected a .keras file of "
        f"plain layers; if you know who made it, repeat with {parameter('trust_model', True)}"
    )


def _reason(error: Exception) -> str:
    """Shorten Keras's report, whose cause stands at its end, after the whole configuration."""
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    first = text.splitlines()[0][:300].rstrip(".") if text else ""
    return first if len(first) > 20 else f"{type(error).__name__} {first}".rstrip()
