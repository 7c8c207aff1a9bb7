"""The loading of model files, of which some can run code."""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.errors import ParameterError
from latentscan.models.autoencoder import Sampling
from latentscan.models.backend import keras
from latentscan.models.custom_objects import custom_objects
from latentscan.models.foreign import with_stand_ins
from latentscan.models.graph import functional
from latentscan.models.kinds import unsafe
from latentscan.models.model_file import CONFIG, check_model_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.models.network import Loading


def load_model(path: Path, loading: Loading) -> Any:
    """Load a `.keras` file; a trusted one also as `.h5`, or as a SavedModel folder, and with layers of code.

    A custom layer called Sampling is replaced by the one of this package; for others that are not known, or
    not trusted, something stands in.

    Raises
    ------
    UnsafeInputError
        If loading could run code, and the user did not vouch for it.
    UsageError
        If there is no such file, or Keras cannot read it.
    """
    known = {**keras.saving.get_custom_objects(), "Sampling": Sampling}
    if loading.custom_objects is not None:
        known |= custom_objects(loading.custom_objects)
    check_model_file(path, known, trust=loading.trust)
    try:
        with warnings.catch_warnings(action="ignore"):  # of arguments that are called otherwise today
            model = _read(path, known, trust=loading.trust)
    except Exception as error:  # noqa: BLE001 (what a damaged or hostile file makes of it can be anything)
        if "safe_mode=False" in str(error):
            raise unsafe(path, "a layer that holds code (Lambda or alike)") from None
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


def _read(path: Path, known: dict[str, Any], *, trust: bool) -> Any:
    if path.is_dir():
        return _saved_model(path)
    read = partial(keras.models.load_model, compile=False)
    if path.suffix.lower() != ".keras":
        return read(path, custom_objects=known, safe_mode=False)
    if trust:
        try:
            return read(path, custom_objects=known, safe_mode=False)
        except Exception:  # noqa: BLE001 (of layers whose code is nowhere: what is in front of them may do)
            trust = False
    with zipfile.ZipFile(path) as archive:
        written = json.loads(archive.read(CONFIG))
        config, objects = with_stand_ins(written, known, trust=trust)
        if config == written:
            return read(path, custom_objects=known)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "model.keras")
            with zipfile.ZipFile(copy, "w") as changed:
                for name in archive.namelist():
                    changed.writestr(name, json.dumps(config) if name == CONFIG else archive.read(name))
            return read(copy, custom_objects=objects)


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


def _reason(error: Exception) -> str:
    """Shorten Keras's report, whose cause stands at its end, after the whole configuration."""
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    first = text.splitlines()[0][:300].rstrip(".") if text else ""
    return first if len(first) > 20 else f"{type(error).__name__} {first}".rstrip()
