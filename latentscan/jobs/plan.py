"""What a job would run, known before it does: tasks, bytes, memory, and which results are there already."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.encoding.cost import PlannedEncoding, store_begun
from latentscan.jobs.run import is_kept
from latentscan.jobs.spec import COMPARE, ENCODE, Step
from latentscan.scan.cost import Cost
from latentscan.store.reader import open_store
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from latentscan.analyses.compare.analysis import CompareParameters
    from latentscan.encoding.parameters import Encode
    from latentscan.jobs.spec import Job
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema


@dataclass(frozen=True)
class PlannedStep:
    """A step of a job that would be run.

    Parameters
    ----------
    parameters
        What it is given, one for each set that is run together.
    there
        Whether all that it finds is there already.
    cost
        What it costs; None where that cannot be known before the store is there.
    """

    name: str
    stores: tuple[str, ...]
    parameters: tuple[dict[str, Any], ...]
    there: bool
    cost: Cost | None


@dataclass(frozen=True)
class Plan:
    """What a job would run, with so many tasks at once."""

    job: str
    workers: int
    steps: tuple[PlannedStep, ...]

    @property
    def total(self) -> Cost:
        """What all steps cost whose cost is known."""
        return sum((step.cost for step in self.steps if step.cost is not None), start=Cost())

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        steps = [
            {
                "name": step.name,
                "stores": list(step.stores),
                "parameters": list(step.parameters),
                "there": step.there,
                **_figures(step.cost),
            }
            for step in self.steps
        ]
        return {"job": self.job, "workers": self.workers, "steps": steps, "total": _figures(self.total)}


def plan_job(job: Job, *, workers: int, force: bool = False) -> Plan:
    """Say what a job would run; nothing is computed, and no cluster is asked.

    Parameters
    ----------
    workers
        How many tasks would run at once: models of k-means are cut into as many groups.
    force
        Plan for computing anew what is there already.

    Raises
    ------
    UsageError, StoreError
        What the job itself would fail with, as far as it can be seen without running it.
    """
    planner = _Planner(job, workers, force)
    return Plan(job.name, workers, tuple(planner.planned(step) for step in job.steps()))


def all_there(job: Job) -> bool:
    """Tell whether a job would find all of its results, and look no further than the first that is missing.

    Raises
    ------
    UsageError, StoreError
        What the job itself would fail with.
    """
    if job.encode is not None and not all(map(store_begun, job.stores)):
        return False
    planner = _Planner(job, workers=1, force=False)
    return all(planner.planned(step).there for step in job.steps())


@dataclass
class _Planner:
    """Plans step after step; what an earlier one finds is there for later ones."""

    job: Job
    workers: int
    force: bool
    _done: set[tuple[str, str, BaseModel]] = field(default_factory=set)
    _schemas: dict[str, Schema | None] = field(default_factory=dict)
    _written: set[str] = field(default_factory=set)  # stores that are whole

    def planned(self, step: Step) -> PlannedStep:
        cost = self._encoding(step) if step.name == ENCODE else self._analysing(step)
        given = tuple(one.model_dump(mode="json", exclude_unset=True) for one in step.parameters)
        return PlannedStep(step.name, step.stores, given, cost == Cost(), cost)

    def _schema(self, store: str) -> Schema | None:
        if store not in self._schemas:
            opened = open_store(store)
            self._schemas[store] = opened.schema
            if opened.committed().all():
                self._written.add(store)
        return self._schemas[store]

    def _encoding(self, step: Step) -> Cost | None:
        store = step.stores[0]
        asked = cast("Encode", step.parameters[0])
        planned = PlannedEncoding(asked, asked.model[self.job.stores.index(store)])
        if not store_begun(store):
            self._schemas[store] = planned.schema()
            return planned.cost(self._schemas[store], None)
        opened = open_store(store)
        self._schemas[store] = opened.schema
        missing = int((~opened.committed()).sum())
        if asked.retry_rejected:
            missing += _blocks_with_rejects(opened)
        if not missing:
            self._written.add(store)
            return Cost()
        return planned.cost(opened.schema, missing)

    def _analysing(self, step: Step) -> Cost | None:
        schemas = [self._schema(store) for store in step.stores]
        known = [schema for schema in schemas if schema is not None]
        if step.name == COMPARE:
            return self._comparing(step, known) if len(known) == len(schemas) else None
        if not known:
            return None
        return self._of_store(step.name, step.stores[0], known[0], step.parameters)

    def _of_store(self, name: str, store: str, schema: Schema, parameters: Sequence[BaseModel]) -> Cost:
        """Give the cost of what is missing of an analysis of a store, with all that it needs."""
        missing = self._missing(name, store, parameters)
        if not missing:
            return Cost()
        analysis = ANALYSES[name]
        if analysis.many is None:
            cost = analysis.cost(schema, missing[0], self.workers)
        else:
            cost = analysis.cost(schema, missing, self.workers)
            needed_too = self._missing(name, store, [one for other, one in cost.needs if other == name])
            cost = analysis.cost(schema, [*missing, *needed_too], self.workers)
        return self._with_needs(cost, store, schema)

    def _missing(self, name: str, store: str, parameters: Sequence[BaseModel]) -> list[BaseModel]:
        """Give those results that neither are there nor are made by an earlier step; they are from now on."""
        missing = [
            one
            for one in dict.fromkeys(parameters)
            if (name, store, one) not in self._done and (self.force or not self._there(name, (store,), one))
        ]
        self._done |= {(name, store, one) for one in parameters}
        return missing

    def _with_needs(self, cost: Cost, store: str, schema: Schema) -> Cost:
        own = cost.needing()
        names = dict.fromkeys(name for name, _ in cost.needs)
        for needed in names:
            parameters = [one for name, one in cost.needs if name == needed]
            own += self._of_store(needed, store, schema, parameters)
        return own

    def _comparing(self, step: Step, schemas: Sequence[Schema]) -> Cost:
        from latentscan.analyses.compare.cost import compare_cost

        parameters = cast("CompareParameters", step.parameters[0])
        if not self.force and self._there(step.name, step.stores, parameters):
            return Cost()
        cost = compare_cost(schemas, [self._knows_paths(store) for store in step.stores], parameters)
        parts = [
            self._with_needs(Cost(needs=cost.needs), store, schema)
            for store, schema in zip(step.stores, schemas, strict=True)
        ]
        return sum(parts, start=cost.needing())

    def _knows_paths(self, store: str) -> bool:
        """Tell whether a store is of images, and not of latents that were made elsewhere."""
        return not store_begun(store) or "encoder" in open_store(store).attributes

    def _there(self, name: str, stores: tuple[str, ...], parameters: BaseModel) -> bool:
        """Tell whether a result is there; nothing is of a store that is yet to be written."""
        if self.job.encode is not None and not self._written.issuperset(stores):
            return False
        return is_kept(Step(name, stores, (parameters,)), self.job.results)


def _blocks_with_rejects(store: LatentStore) -> int:
    """Count the blocks that are written and have rejected images."""
    images = np.flatnonzero(np.asarray(store.array("status")[:]))
    blocks = np.unique(images // store.schema.chunk_rows)
    return int(store.committed()[blocks].sum())


def _figures(cost: Cost | None) -> dict[str, Any]:
    figures = asdict(replace(cost, needs=())) if cost is not None else {}
    return {name: figures.get(name) for name in ("tasks", "bytes_read", "task_bytes")}
