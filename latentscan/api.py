"""latentscan in Python: ``import latentscan as ls; store = ls.open("z.zarr"); ls.stats(store)``.

Every analysis of the table is a function of a store and of the parameters that its command has.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from latentscan.analyses.keeping import Run
from latentscan.errors import UsageError
from latentscan.store.latent_store import LatentStore, open_store
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray

    from latentscan.table import Analysis

__all__ = ["LatentStore", "open", *ANALYSES]  # noqa: PLE0604 (they are names)

_RUN = inspect.signature(Run).parameters


def open(location: str) -> LatentStore:  # noqa: A001 (called ls.open)
    """Open a store; its `mu`, `logvar` and `z` are read when they are indexed.

    Raises
    ------
    StoreError
        If there is none at `location`, or its metadata is damaged.
    """
    return open_store(location)


def _function(name: str, analysis: Analysis) -> Callable[..., xarray.Dataset]:
    def function(store: LatentStore, **given: Any) -> xarray.Dataset:
        running = {key: given.pop(key) for key in _RUN if key in given}
        try:
            parameters = analysis.parameters(**given)
        except ValidationError as error:
            problems = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
            raise UsageError(f"{name}: {problems}") from None
        return analysis.run(store, parameters, Run(**running)).to_dataset()

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _documentation(analysis)
    function.__signature__ = _signature(analysis)  # type: ignore[attr-defined]
    return function


def _signature(analysis: Analysis) -> inspect.Signature:
    fields = analysis.parameters.model_fields.items()
    defaults = {key: field.default for key, field in fields}
    defaults |= {key: parameter.default for key, parameter in _RUN.items()}
    store = inspect.Parameter("store", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    keywords = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value)
        for key, value in defaults.items()
    ]
    return inspect.Signature([store, *keywords])


def _documentation(analysis: Analysis) -> str:
    head, _, errors = (inspect.getdoc(analysis.run) or "").partition("\n\nRaises\n")
    fields = analysis.parameters.model_fields.items()
    own = "\n".join(f"{key}\n    {field.description}" for key, field in fields)
    of_any = (inspect.getdoc(Run) or "").partition("----------\n")[2]
    return f"{head}\n\nParameters\n----------\n{own}\n{of_any}\n\nRaises\n{errors}"


globals().update({name: _function(name, analysis) for name, analysis in ANALYSES.items()})
