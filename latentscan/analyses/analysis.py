"""An analysis as one value: its parameters, what it is of, what it builds on, and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from latentscan.analyses.inputs import Inputs, OneStore
from latentscan.scan.cost import Cost, one_pass
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import PointsChoice, choose_points, paths_of
from latentscan.scan.snapshot import StoreFacts
from latentscan.store.results import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from latentscan.execution.context import Execution
    from latentscan.kernels.reduction import Counts, Reduction
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result
    from latentscan.store.schema import Schema


class Parameters(BaseModel):
    """The base of all models of parameters: frozen, no unknown names, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PointsParameters(Parameters):
    """Parameters of an analysis that looks at one array of points; it is checked that the store has it."""

    array: PointsChoice = Field(
        default="auto", description="the points: mu or z; auto is mu where the store has one, else z"
    )

    def points_of(self, schema: Schema) -> Points:
        """Return the array of the points of a store."""
        return choose_points(schema, self.array)


PATH = "_path"  # the ending of the variable that has the paths of rows
_OF_PATHS = {"long_name": "path of that image"}

P = TypeVar("P", bound=Parameters)
I = TypeVar("I", bound=Inputs)  # noqa: E741 (of inputs)


@dataclass(frozen=True)
class Request:
    """An analysis with parameters: what is asked of some inputs."""

    analysis: Analysis[Any]
    parameters: Parameters

    def of_stores(self, schemas: Sequence[Schema]) -> Request:
        """Return the request as it is of one store, with its array by name, so that both share a result."""
        if isinstance(self.parameters, PointsParameters) and len(schemas) == 1:
            points = self.parameters.points_of(schemas[0])
            return replace(self, parameters=self.parameters.model_copy(update={"array": points}))
        return self


@dataclass(frozen=True)
class Scratch:
    """Where a computation that can be interrupted saves its state; it is removed once the result is saved.

    Parameters
    ----------
    location
        The store, by a path that other processes see too.
    path
        The group in it.
    """

    location: str
    path: str


@dataclass(frozen=True)
class Task(Generic[P, I]):
    """One computation of an analysis.

    Parameters
    ----------
    inputs
        What it is of.
    parameters
        The parameters.
    execution
        Where tasks run, and who follows them.
    scratch
        Where it may save its state.
    resume
        Whether to go on from a saved state, rather than compute anew.
    resolve
        Reads or computes results that the analysis requires.
    """

    inputs: I
    parameters: P
    execution: Execution
    scratch: Scratch
    resume: bool
    resolve: Callable[[Sequence[Request], Inputs | None], list[Result]]

    def result_of(self, request: Request, inputs: Inputs | None = None) -> Result:
        """Return a required result: of the own inputs, of their only store, or of `inputs`."""
        return self.results_of([request], inputs)[0]

    def results_of(self, requests: Sequence[Request], inputs: Inputs | None = None) -> list[Result]:
        """Return several results that the analysis requires, which are computed together."""
        return self.resolve(requests, inputs)


@dataclass(frozen=True)
class Setting:
    """What the cost of an analysis depends on beside its parameters.

    Parameters
    ----------
    schemas
        Those of the stores.
    have_paths
        Whether each store knows the paths of its images.
    tasks_at_once
        How many tasks run at once.
    """

    schemas: tuple[Schema, ...]
    have_paths: tuple[bool, ...]
    tasks_at_once: int

    @property
    def schema(self) -> Schema:
        """That of the only store, or the first one."""
        return self.schemas[0]

    def of_each_store(self) -> tuple[Setting, ...]:
        """Return the setting of each store alone."""
        return tuple(
            Setting((schema,), (has,), self.tasks_at_once)
            for schema, has in zip(self.schemas, self.have_paths, strict=True)
        )


def _nothing(_parameters: Any) -> Sequence[Request]:
    return ()


def _always(_schema: Schema) -> bool:
    return True


@dataclass(frozen=True, eq=False, kw_only=True)
class Analysis(Generic[P]):
    """An analysis.

    Exactly one of `reduction`, `compute` and `compute_together` says how it is computed.

    Parameters
    ----------
    name
        Its verb, its key in job files, its function in Python, its group in the store.
    version
        To be raised when its numbers or their names change: all that builds on it is then computed anew.
    parameters
        The model of its parameters, from which options, keys and keywords are made.
    inputs
        What kind of thing it is of.
    requires
        The results that it may ask for while it is computed, given its parameters; an analysis of several
        stores that requires one of a single store requires it of each.
    reduction
        The statistic in one pass over a store, given what is known of it and the parameters.
    compute
        Computes the result of a task.
    compute_together
        Computes the results of several tasks, with other parameters each, for less than one by one.
    cost
        What it costs in a setting with parameters (with a sequence of them where there is
        `compute_together`), beside what it requires; derived from `reduction` where there is one.
    parts
        Analyses that are no commands of their own: what this one builds on.
    shows
        Names of required analyses whose results belong to the presentation of this one's.
    align
        Makes results that are shown side by side comparable by eye.
    labels
        What each variable of a result is, with its unit, as xarray shows it: ``"1"`` for pure numbers,
        empty for texts.
    rows
        Variables of a result that hold rows of a store, −1 for none; the paths of their images are put
        beside each, in ``<variable>_path``.
    suits
        Whether a store has what the analysis looks at: of one that has not, it is not missing.
    """

    name: str
    version: int
    parameters: type[P]
    inputs: type[Inputs] = OneStore
    requires: Callable[[P], Sequence[Request]] = _nothing
    reduction: Callable[[StoreFacts, P], Reduction[Any, Result]] | None = None
    compute: Callable[[Task[P, Any]], Result] | None = None
    compute_together: Callable[[Sequence[Task[P, Any]]], list[Result]] | None = None
    cost: Callable[[Setting, Any], Cost] | None = None
    parts: tuple[Analysis[Any], ...] = ()
    shows: tuple[str, ...] = ()
    align: Callable[[Sequence[Result]], list[Result]] | None = None
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    suits: Callable[[Schema], bool] = _always

    def __post_init__(self) -> None:
        if [self.reduction, self.compute, self.compute_together].count(None) != 2:
            raise TypeError(f"{self.name}: expected one of reduction, compute and compute_together")
        if self.reduction is None and self.cost is None:
            raise TypeError(f"{self.name}: its cost cannot be derived; expected cost")

    @property
    def is_joined(self) -> bool:
        """Whether several sets of parameters are computed together."""
        return self.compute_together is not None

    def narrows(self, required: Analysis[Any]) -> bool:
        """Check whether a required analysis is of each store of the inputs, not of the same inputs."""
        return required.inputs is not self.inputs

    def run(self, tasks: Sequence[Task[P, Any]]) -> list[Result]:
        """Compute the results of some tasks."""
        if self.compute_together is not None:
            return self.compute_together(tasks)
        compute = self.compute or self._reduce
        return [compute(task) for task in tasks]

    def labelled(self, result: Result) -> Result:
        """Return a result whose variables say what they are, in which unit."""
        variables = {
            name: Variable(variable.dims, variable.values, {**self._label(name), **variable.attributes})
            for name, variable in result.variables.items()
        }
        return replace(result, variables=variables)

    def with_paths(self, result: Result, snapshot: Snapshot) -> Result:
        """Return a result that has the path of every image that it names by its row."""
        held = [name for name in self.rows if name in result]
        if not held:
            return result
        values = [result[name] for name in held]
        paths = paths_of(snapshot, np.concatenate([rows.ravel() for rows in values]))
        ends = np.cumsum([rows.size for rows in values])[:-1]
        variables = {
            f"{name}{PATH}": Variable(result.variables[name].dims, part.reshape(rows.shape), _OF_PATHS)
            for name, rows, part in zip(held, values, np.split(paths, ends), strict=True)
        }
        return replace(result, variables={**result.variables, **variables})

    def cost_of(self, setting: Setting, parameters: Sequence[P]) -> Cost:
        """Return what results with some parameters cost, beside what they require."""
        if self.reduction is not None and self.cost is None:
            reductions = [self.reduction(StoreFacts(setting.schema), one) for one in parameters]
            parts = [one_pass(setting.schema, one.arrays, one.footprint) for one in reductions]
            return sum(parts, start=Cost())
        if self.cost is None:
            raise TypeError(f"{self.name} has no cost")
        if self.is_joined:
            return self.cost(setting, parameters)
        return sum((self.cost(setting, one) for one in parameters), start=Cost())

    def _label(self, name: str) -> dict[str, str]:
        if name not in self.labels:
            return {}
        long_name, units = self.labels[name]
        return {"long_name": long_name, **({"units": units} if units else {})}

    def _reduce(self, task: Task[P, Any]) -> Result:
        if self.reduction is None:
            raise TypeError(f"{self.name} is no reduction")
        snapshot: Snapshot = task.inputs.snapshot
        reduction = self.reduction(snapshot.facts, task.parameters)
        return reduce_store(snapshot, reduction, task.execution, label=self.name)


def count_attributes(counts: Counts, schema: Schema) -> dict[str, Any]:
    """Return the attributes that say how many images a result is of.

    Examples
    --------
    >>> from latentscan.kernels.reduction import Counts
    >>> from latentscan.store.schema import Schema
    >>> count_attributes(Counts(good=5, rejected=1), Schema(images=10, components=3, latents=("z",)))
    {'images': 6, 'unwritten': 4, 'rejected': 1, 'components': 3}
    """
    seen = counts.good + counts.rejected
    return {
        "images": seen,
        "unwritten": schema.images - seen,
        "rejected": counts.rejected,
        "components": schema.components,
    }
