"""What a job would run, known before it does: tasks, bytes, memory, and which results are cached."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.analyses.analysis import Request, Setting
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.cost import Estimate
from latentscan.analyses.inputs import OneStore, SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.encoding.cost import PlannedEncoding, store_begun, together
from latentscan.jobs.run import open_inputs
from latentscan.jobs.spec import ENCODE, REPORT, TRAIN, Step
from latentscan.paths import store_names
from latentscan.scan.cost import Cost
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.analyses.analysis import Parameters
    from latentscan.encoding.parameters import Encode
    from latentscan.jobs.spec import Job
    from latentscan.jobs.training import Train
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

LATENTS = "latents"  # the kind of source of a store whose images are known by their number alone


@dataclass(frozen=True)
class PlannedStep:
    """A step of a job that would be run.

    Parameters
    ----------
    parameters
        Its parameters, one for each set that is run together.
    cached
        Whether all of it is cached, or, of a store, written.
    cost
        What it costs; None where that cannot be known before the store exists.
    """

    name: str
    stores: tuple[str, ...]
    parameters: tuple[dict[str, Any], ...]
    cached: bool
    cost: Cost | None


@dataclass(frozen=True)
class Plan:
    """What a job would run, with so many tasks at once."""

    job: str
    tasks_at_once: int
    steps: tuple[PlannedStep, ...]

    @property
    def total(self) -> Cost:
        """What all steps cost whose cost is known."""
        return sum((step.cost for step in self.steps if step.cost is not None), start=Cost())

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        steps = [
            {
                "name": step.name,
                "stores": list(step.stores),
                "parameters": list(step.parameters),
                "cached": step.cached,
                **_figures(step.cost),
            }
            for step in self.steps
        ]
        return {"job": self.job, "workers": self.tasks_at_once, "steps": steps, "total": _figures(self.total)}


def plan_job(job: Job, *, tasks_at_once: int, force: bool = False) -> Plan:
    """Return what a job would run; nothing is computed, and no cluster is asked.

    Parameters
    ----------
    job
        The job.
    tasks_at_once
        How many tasks would run at once: models of k-means are cut into as many groups.
    force
        Plan for computing anew what is cached.

    Raises
    ------
    UsageError, StoreError
        What the job itself would fail with, as far as it can be seen without running it.
    """
    planner = _Planner(job, tasks_at_once, force)
    return Plan(job.name, tasks_at_once, tuple(planner.planned(step) for step in job.steps()))


def all_cached(job: Job) -> bool:
    """Check whether all results of a job are cached, and look no further than the first that is missing.

    Raises
    ------
    UsageError, StoreError
        What the job itself would fail with.
    """
    if not all(training.is_done for training in job.train):
        return False
    if job.encode is not None and not all(map(store_begun, job.stores)):
        return False
    planner = _Planner(job, tasks_at_once=1, force=False)
    return all(planner.planned(step).cached for step in job.steps())


@dataclass
class _Planner:
    """Plans step after step; what an earlier one computes is cached for later ones."""

    job: Job
    tasks_at_once: int
    force: bool
    _untrained: frozenset[str] = field(init=False)  # run folders
    _estimate: Estimate = field(init=False)
    _cache: Cache = field(init=False)
    _schemas: dict[str, Schema | None] = field(default_factory=dict)
    _opened: dict[str, OneStore] = field(default_factory=dict)  # stores that are whole
    _named: Mapping[str, str] = field(default_factory=dict)  # what else the step at hand is of

    def __post_init__(self) -> None:
        self._untrained = frozenset(one.out for one in self.job.train if not one.is_done)
        self._cache = Cache(CachePolicy(self.job.results))
        self._estimate = Estimate(self._is_cached)

    def planned(self, step: Step) -> PlannedStep:
        given = tuple(one.model_dump(mode="json", exclude_unset=True) for one in step.parameters)
        if step.name == TRAIN:  # what it costs is said as it trains
            done = cast("Train", step.parameters[0]).out not in self._untrained
            return PlannedStep(step.name, step.of, given, cached=done, cost=Cost() if done else None)
        if step.name == REPORT:  # which shows what is cached, and reads little of the stores
            return PlannedStep(step.name, step.stores, given, cached=False, cost=Cost(1))
        cost = self._encoding(step) if step.name == ENCODE else self._analysing(step)
        return PlannedStep(step.name, step.stores, given, cost == Cost(), cost)

    def _encoding(self, step: Step) -> Cost | None:
        asked = cast("Encode", step.parameters[0])
        parts = [
            self._writing(store, asked, model) for store, model in zip(step.stores, asked.model, strict=True)
        ]
        known = [part for part in parts if part is not None]
        return together(known) if len(known) == len(parts) else None

    def _writing(self, store: str, asked: Encode, model: str) -> Cost | None:
        """Return the cost of writing what is missing of one store."""
        planned = PlannedEncoding(asked, model)
        if model in self._untrained:
            self._schemas[store] = None
            return None
        if not store_begun(store):
            self._schemas[store] = planned.schema()
            return planned.cost(self._schemas[store], None)
        opened = open_store(store)
        self._schemas[store] = opened.schema
        missing = int((~opened.committed()).sum())
        if asked.retry_rejected:
            missing += _blocks_with_rejects(opened)
        if not missing:
            self._opened[store] = OneStore(Snapshot.of(opened))
            return Cost()
        return planned.cost(opened.schema, missing)

    def _analysing(self, step: Step) -> Cost | None:
        if not step.stores:
            return self._of_no_store(step)
        schemas = [self._schema(store) for store in step.stores]
        known = tuple(schema for schema in schemas if schema is not None)
        if len(known) < len(schemas):
            return None
        self._named = step.named
        analysis = ANALYSES[step.name]
        requests = [Request(analysis, cast("Parameters", one)) for one in step.parameters]
        have_paths = tuple(map(self._has_paths, step.stores))
        return self._estimate.cost(requests, step.stores, Setting(known, have_paths, self.tasks_at_once))

    def _of_no_store(self, step: Step) -> Cost:
        """Return the cost of an analysis of something else than stores, which reads little."""
        inputs, requests = open_inputs(step)
        missing = [one for one in requests if self.force or not self._cache.has(one, inputs)]
        return Cost(len(missing))

    def _schema(self, store: str) -> Schema | None:
        if store not in self._schemas:
            opened = open_store(store)
            self._schemas[store] = opened.schema
            if self.job.encode is None:  # else, it is one that is yet to be completed
                self._opened[store] = OneStore(Snapshot.of(opened))
        return self._schemas[store]

    def _has_paths(self, store: str) -> bool:
        """Check whether a store is of images, and not of latents that were made elsewhere."""
        source = open_store(store).attributes.get("source", {}) if store_begun(store) else {}
        return source.get("kind") != LATENTS or "images" in source

    def _is_cached(self, request: Request, stores: tuple[str, ...]) -> bool:
        """Check whether a result is cached; none is of a store that is yet to be written."""
        if self.force or not self._opened.keys() >= set(stores):
            return False
        snapshots = [self._opened[store].snapshot for store in stores]
        if request.analysis.inputs is SeveralStores:
            return self._cache.has(
                request, SeveralStores(dict(zip(store_names(stores), snapshots, strict=True)))
            )
        if request.analysis.inputs is OneStore:
            return self._cache.has(request, OneStore(snapshots[0]))
        inputs = request.analysis.inputs.open({"store": snapshots[0].store, **self._named})
        return self._cache.has(request, inputs)


def _blocks_with_rejects(store: LatentStore) -> int:
    """Count the blocks that are written and have rejected images."""
    images = np.flatnonzero(np.asarray(store.array("status")[:]))
    blocks = np.unique(images // store.schema.chunk_rows)
    return int(store.committed()[blocks].sum())


def _figures(cost: Cost | None) -> dict[str, Any]:
    figures = asdict(cost) if cost is not None else {}
    return {name: figures.get(name) for name in ("tasks", "bytes_read", "task_bytes")}
