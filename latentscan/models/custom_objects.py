"""Classes of a user's own that a model file names: a Python file holds them."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from latentscan.errors import UsageError
from latentscan.models.backend import keras

if TYPE_CHECKING:
    from latentscan.models.network import Code


def custom_objects(code: Code) -> dict[str, Any]:
    """Run a Python file, and return its classes and functions by name, and by that of their registration.

    Raises
    ------
    UsageError
        If running it fails.
    """
    module = types.ModuleType("latentscan_custom_objects")
    try:
        exec(compile(code.text, code.name, "exec"), module.__dict__)  # noqa: S102 (the user vouched for it)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (it may raise anything)
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{code.name}: {type(error).__name__}: {reason}; expected Python with the classes of the model"
        ) from None
    found = {name: value for name, value in vars(module).items() if callable(value) and name[:1] != "_"}
    own = {
        name: value for name, value in found.items() if getattr(value, "__module__", "") == module.__name__
    }
    registered = {keras.saving.get_registered_name(value): value for value in own.values()}
    return {**own, **registered}
