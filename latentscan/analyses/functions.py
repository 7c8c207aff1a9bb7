"""Python's face of the analyses: a function each, which takes a store and keywords and returns a Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from pydantic import ValidationError

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.errors import parameter_error
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import as_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray

    from latentscan.analyses.analysis import Analysis
    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.results import Result


class Options(TypedDict, total=False):
    """Keywords that every analysis takes; none changes a result.

    Parameters
    ----------
    results
        Path or URL of where the result is cached; the store itself by default.
    force
        Compute anew what is cached.
    allow_partial
        Go ahead where some blocks are not written, and leave them out.
    executor
        Where tasks run: the threads of this process by default, or a cluster (see `latentscan.connect`).
    progress
        Whether progress is shown on stderr, as it is by default; or a subscriber to it.
    """

    results: str | None
    force: bool
    allow_partial: bool
    executor: Executor
    progress: Progress | bool


def call(
    analysis: Analysis[Any], named: Mapping[str, Any], given: Mapping[str, Any], options: Options
) -> xarray.Dataset:
    """Make an analysis, and return it as a Dataset, with the parameters in its attributes.

    Parameters
    ----------
    analysis
        Which one.
    named
        What it is of, by the names of the arguments of its inputs.
    given
        Its parameters.
    options
        How it is computed.

    Raises
    ------
    ParameterError
        If a parameter does not fit.
    """
    return evaluate(analysis, named, given, options).to_dataset()


def evaluate(
    analysis: Analysis[Any], named: Mapping[str, Any], given: Mapping[str, Any], options: Options
) -> Result:
    """Make an analysis as `call` does, and return the result with those that are shown with it.

    Parameters are those of `call`.

    Raises
    ------
    ParameterError
        If a parameter does not fit.
    TypeError
        If an option does not exist.
    """
    unknown = sorted(set(options) - set(Options.__annotations__))
    if unknown:
        raise TypeError(f"{analysis.name}() got an unexpected keyword argument {unknown[0]!r}")
    try:
        parameters = analysis.parameters.model_validate(given)
    except ValidationError as error:
        raise parameter_error(error, dict(given)) from None
    inputs = analysis.inputs.open(named, allow_partial=options.get("allow_partial", False))
    policy = CachePolicy(options.get("results"), options.get("force", False))
    execution = Execution(options.get("executor", IN_PROCESS), as_progress(options.get("progress", True)))
    return Cache(policy, execution).result(Request(analysis, parameters), inputs)
