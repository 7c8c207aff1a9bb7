"""Parameters with which any analysis is quick, and the sets of them that tests go through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.registry import ANALYSES
from latentscan.execution.context import Execution
from latentscan.execution.threaded import IN_PROCESS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.analyses.inputs import Inputs
    from latentscan.execution.executor import Executor
    from latentscan.store.results import Result

Given = dict[str, Any]

QUICK: dict[str, Any] = {
    "k": (2, 5),
    "seeds": 2,
    "batch_rows": 40,
    "points": 60,
    "perplexity": 5,
    "iterations": 24,
    "sample": 50,
    "nearest": 4,
    "duplicate": 1e-9,
    "images_measured": 6,
    "anchors": 4,
    "fewest": 4,
    "held_out": 40,
    "clusters": 4,
}


def requests() -> Iterator[tuple[str, Request]]:
    """Return every analysis with quick parameters, and with each switch that is off by default turned on."""
    for name, analysis in ANALYSES.items():
        fields = analysis.parameters.model_fields
        quick = {key: value for key, value in QUICK.items() if key in fields}
        yield name, Request(analysis, analysis.parameters(**quick))
        for key, field in fields.items():
            if field.default is False:
                parameters = analysis.parameters(**{**quick, key: True})
                yield f"{name} --{key}", Request(analysis, parameters)


def compute(
    request: Request,
    inputs: Inputs,
    results: Path | None = None,
    *,
    executor: Executor = IN_PROCESS,
    force: bool = False,
    cached_only: bool = False,
) -> Result:
    """Read or compute a result."""
    policy = CachePolicy(None if results is None else str(results), force, cached_only)
    return Cache(policy, Execution(executor)).result(request, inputs)
