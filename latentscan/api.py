"""latentscan in Python: ``import latentscan as ls; store = ls.open("z.zarr"); ls.stats(store)``.

Every analysis of the table is a function of a store and of the parameters that its command has.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from latentscan.analyses.cache import Run
from latentscan.analyses.compare.analysis import CompareParameters
from latentscan.analyses.compare.analysis import compare as compare_stores
from latentscan.analyses.pca import PcaParameters
from latentscan.analyses.projection import Projection
from latentscan.errors import UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import LatentStore, open_store
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import xarray

    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.table import Analysis

__all__ = ["LatentStore", "ThreadedExecutor", "cluster", "compare", "open", "project", *ANALYSES]  # noqa: PLE0604 (they are names)

M = TypeVar("M", bound=BaseModel)

_RUN = inspect.signature(Run).parameters


def open(location: str) -> LatentStore:  # noqa: A001 (called ls.open)
    """Open a store; its `mu`, `logvar` and `z` are read when they are indexed.

    Raises
    ------
    StoreError
        If there is none at `location`, or its metadata is damaged.
    """
    return open_store(location)


def cluster(
    profile: str | None = None,
    *,
    scheduler: str | None = None,
    file: Path | None = None,
    insecure: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> AbstractContextManager[DistributedExecutor]:
    """Reach or start a cluster: ``with ls.cluster("slurm") as executor: ls.stats(store, executor=executor)``.

    Parameters
    ----------
    profile
        A profile of ``cluster.yaml``; the default one if None.
    scheduler
        The address of a scheduler that runs already.
    file
        Where the profiles are; ``cluster.yaml`` of the current directory if None.
    insecure
        Whether you vouch for a network on which traffic is not encrypted.
    say
        Told where the cluster is, and what is waited for.

    Raises
    ------
    UsageError
        If the profile is wrong, or the address is unsafe.
    ClusterError
        If the cluster cannot be reached or started, or no worker comes in time.
    """
    from latentscan.cluster.connect import connect

    return connect(scheduler=scheduler, cluster=file, profile=profile, insecure=insecure, say=say)


def compare(stores: Mapping[str, LatentStore], **given: Any) -> xarray.Dataset:
    """Compare stores of the same images, given by the names that they are to have in the result.

    The keywords are the fields of `CompareParameters` and of `Run`.
    """
    run, parameters = _read("compare", CompareParameters, given)
    return compare_stores(stores, parameters, run).pairs.to_dataset()


def project(store: LatentStore, *, first: int | None = None, **given: Any) -> Projection:
    """Give the points in the frame of the first principal axes; they are computed when they are indexed.

    The other keywords are those of `pca`, which is computed where it is not kept.
    """
    run, parameters = _read("pca", PcaParameters, given)
    return Projection(store, ANALYSES["pca"].run(store, parameters, run), first)


def _read(name: str, model: type[M], given: dict[str, Any]) -> tuple[Run, M]:
    """Tell how to run from what to compute, among the keywords that a function was given."""
    running = {key: given.pop(key) for key in _RUN if key in given}
    try:
        return Run(**running), model(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise UsageError(f"{name}: {problems}") from None


def _function(name: str, analysis: Analysis) -> Callable[..., xarray.Dataset]:
    def function(store: LatentStore, **given: Any) -> xarray.Dataset:
        run, parameters = _read(name, analysis.parameters, given)
        return analysis.run(store, parameters, run).to_dataset()

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
    """Put the keywords in the place of the parameters that the analysis itself takes."""
    head, *parts = re.split(r"\n\n(\w+)\n-+\n", inspect.getdoc(analysis.run) or "")
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    fields = analysis.parameters.model_fields.items()
    own = "\n".join(f"{key}\n    {field.description}" for key, field in fields)
    of_any = (inspect.getdoc(Run) or "").partition("----------\n")[2]
    sections = {"Parameters": f"{own}\n{of_any}", **{k: v for k, v in sections.items() if k != "Parameters"}}
    written = (f"{title}\n{'-' * len(title)}\n{text}" for title, text in sections.items())
    return "\n\n".join([head, *written])


globals().update({name: _function(name, analysis) for name, analysis in ANALYSES.items()})
