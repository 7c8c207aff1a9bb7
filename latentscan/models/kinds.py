"""Which framework a model is of: its path says it, before any is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from latentscan.errors import ParameterError, UnsafeInputError, parameter

if TYPE_CHECKING:
    from pathlib import Path, PurePath

    from latentscan.models.network import Loading

P = TypeVar("P", bound="PurePath")

KERAS = frozenset({".keras", ".h5", ".hdf5"})
WEIGHTS = frozenset({".pt", ".pth", ".ckpt", ".bin", ".safetensors"})
EXPECTED = "expected a run folder, a .keras file, an .onnx file, or FILE.py:FUNCTION"


def require_saved_model(folder: Path) -> None:
    """Check that a folder is a SavedModel, before it is read: of another one, a whole disk might be.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if not (folder / "saved_model.pb").exists():
        raise ParameterError(
            f"neither a run folder (no run.json) nor a SavedModel (no saved_model.pb); {EXPECTED}",
            field="model",
            value=folder,
        )


def kind_of(path: Path, loading: Loading) -> str:
    """Return what runs a model: function, onnx or keras.

    Raises
    ------
    UnsafeInputError
        If its file could run code, and is not trusted.
    ParameterError
        If there is no such file, or it is none of a model.
    """
    if loading.function:
        return "function"
    if not path.exists():
        raise ParameterError(f"does not exist; {EXPECTED}", field="model", value=path)
    ending = path.suffix.lower()
    if path.is_dir():
        require_saved_model(path)
        ending = "SavedModel"
    elif path.name.lower().endswith(".weights.h5"):
        raise ParameterError(
            "holds weights alone, and not what to do with them; save the whole model, "
            "model.save('encoder.keras')",
            field="model",
            value=path,
        )
    elif ending in WEIGHTS:
        raise ParameterError(
            f"no model is read from a {ending} file; export it with torch.onnx.export(model.eval(), ...) "
            "and give the .onnx file, or a function that loads it, FILE.py:FUNCTION",
            field="model",
            value=path,
        )
    elif ending == ".onnx":
        return "onnx"
    elif ending not in KERAS:
        raise ParameterError(f"{EXPECTED} (or, trusted, .h5 or SavedModel)", field="model", value=path)
    if ending != ".keras" and not loading.trust:
        raise unsafe(path, f"a model in the format {ending}")
    return "keras"


def starts_tensorflow(path: Path) -> bool:
    """Return whether a model of this path would be loaded by TensorFlow."""
    return path.is_dir() or (path.exists() and path.suffix.lower() in KERAS)


def function_of(path: P) -> tuple[P, str]:
    """Return the file and the name of the function, out of FILE.py:FUNCTION; no name for any other path.

    Examples
    --------
    >>> from pathlib import PurePath
    >>> function_of(PurePath("my_encoder.py:encode"))[1], function_of(PurePath("encoder.onnx"))[1]
    ('encode', '')
    """
    file, colon, name = path.name.rpartition(":")
    if colon and file.lower().endswith(".py") and name.isidentifier():
        return path.with_name(file), name
    return path, ""


def unsafe(path: Path, what: str) -> UnsafeInputError:
    """Return the error of a model that could run code."""
    return UnsafeInputError(
        f"{path}: holds {what}, which can run any code while it is loaded: expected a .keras file of "
        f"plain layers; if you know who made it, repeat with {parameter('trust_model', True)}"
    )
