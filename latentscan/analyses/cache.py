"""Results by key: read where they are cached, else computed and saved.

A key is a hash of the analysis, its version, its parameters, the content of its inputs, and the keys of all
that it requires: raise the version of one analysis, and whatever was built on it has another key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from latentscan.analyses.analysis import PointsParameters, Request, Scratch, Setting, Task
from latentscan.errors import LatentscanError, UsageError, parameter
from latentscan.execution.context import Execution
from latentscan.paths import absolute
from latentscan.processors import memory_bytes
from latentscan.scan.rows import require_points
from latentscan.store.metadata import RESULTS
from latentscan.store.results import STATE, Result, Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from latentscan.analyses.inputs import Identity, Inputs

KEY_LENGTH = 16


class CacheMiss(LatentscanError):  # noqa: N818 (nothing is wrong)
    """A result that is not cached, where nothing is to be computed."""


@dataclass(frozen=True)
class CachePolicy:
    """Where results are cached, and when they are computed; nothing here changes a result.

    Parameters
    ----------
    results
        Path or URL of where results are cached; the store itself if None.
    force
        Compute anew what is cached.
    cached_only
        Compute nothing: raise `CacheMiss`.
    """

    results: str | None = None
    force: bool = False
    cached_only: bool = False


class Cache:
    """The results of one command or job; what is computed once for it is not computed again.

    Parameters
    ----------
    policy
        Where results are cached, and when they are computed.
    execution
        Where tasks run, and who follows them.
    """

    def __init__(self, policy: CachePolicy = CachePolicy(), execution: Execution = Execution()) -> None:  # noqa: B008 (frozen)
        self.policy = policy
        self.execution = execution
        self._computed: set[tuple[str, str]] = set()

    def result(self, request: Request, inputs: Inputs) -> Result:
        """Read a result, or compute and save it; see `results`."""
        return self.results([request], inputs)[0]

    def results(self, requests: Sequence[Request], inputs: Inputs) -> list[Result]:
        """Read results of one analysis with several sets of parameters, or compute and save them.

        Raises
        ------
        CacheMiss
            If one is not cached, and nothing is to be computed.
        UsageError
            If the inputs do not fit the parameters, or results cannot be saved.
        StoreError
            If a store is damaged.
        """
        requests = [_of_inputs(request, inputs) for request in requests]
        home = Results(self.policy.results or inputs.home)
        paths = {request: path_of(request, inputs.identity) for request in requests}
        found = {request: self._read(home, path, request, inputs) for request, path in paths.items()}
        missing = [request for request, result in found.items() if result is None]
        if missing and self.policy.cached_only:
            raise CacheMiss(f"{home.location}/{paths[missing[0]]} is not cached")
        first = first_of(missing)
        if first:
            found |= zip(first, self.results(first, inputs), strict=True)
            missing = [request for request in missing if request not in first]
        if missing:
            home.require_writable()
            self._require_memory(missing, inputs)
            for request, result in zip(missing, self._compute(missing, inputs, home), strict=True):
                home.save(paths[request], result)
                home.remove(_scratch(home, paths[request]).path)
                found[request] = result
                self._computed.add((home.location, paths[request]))
        return [self._with_parts(request, inputs, found[request]) for request in requests]

    def has(self, request: Request, inputs: Inputs) -> bool:
        """Check whether a result is cached, with all that belongs to its presentation.

        Raises
        ------
        UsageError
            If the inputs do not fit the parameters.
        """
        request = _of_inputs(request, inputs)
        home = Results(self.policy.results or inputs.home)
        attributes = home.attributes(path_of(request, inputs.identity))
        return attributes is not None and all(
            self.has(part, of) for part, of in _shown(request, inputs, attributes)
        )

    @property
    def computed(self) -> int:
        """How many results were computed so far."""
        return len(self._computed)

    def _require_memory(self, requests: Sequence[Request], inputs: Inputs) -> None:
        """Check, before any work, that this machine can hold what a task would, where tasks run here.

        Raises
        ------
        UsageError
            If it cannot.
        """
        executor, analysis, held = self.execution.executor, requests[0].analysis, memory_bytes()
        schemas = tuple(snapshot.schema for snapshot in inputs.stores)
        if held is None or not (executor.in_process and schemas):
            return
        setting = Setting(schemas, (False,) * len(schemas), executor.count)
        needed = analysis.cost_of(setting, [request.parameters for request in requests]).task_bytes
        if needed > held:
            given = [name for name, value in requests[0].parameters if not isinstance(value, bool | str)]
            raise UsageError(
                f"{analysis.name}: a task would take about {needed / 1e9:,.1f} GB of memory, and this "
                f"machine has {held / 1e9:,.1f} GB; ask for less, by {' or '.join(map(parameter, given))}"
            )

    def _read(self, home: Results, path: str, request: Request, inputs: Inputs) -> Result | None:
        if self.policy.force and (home.location, path) not in self._computed:
            return None
        result = home.load(path)
        if result is None or not _answers(result, request, inputs.identity):
            return None
        home.relist(path)
        return result

    def _compute(self, requests: Sequence[Request], inputs: Inputs, home: Results) -> list[Result]:
        analysis = requests[0].analysis
        declared = {one for request in requests for one in analysis.requires(request.parameters)}
        used: dict[str, None] = {}

        def resolve(asked: Sequence[Request], of: Inputs | None) -> list[Result]:
            for one in asked:
                if one not in declared:
                    raise TypeError(
                        f"{analysis.name} asks for {one.analysis.name}, which it does not declare"
                    )
            if of is None:
                (of,) = inputs.of_each_store() if analysis.narrows(asked[0].analysis) else (inputs,)
            results = self.results(asked, of)
            used.update(
                (key_of(one, of.identity), None) for one in asked if one.analysis.name in analysis.shows
            )
            return results

        tasks = [
            Task(
                inputs,
                request.parameters,
                self.execution,
                _scratch(home, path_of(request, inputs.identity)),
                not self.policy.force,
                resolve,
            )
            for request in requests
        ]
        results = list(map(analysis.labelled, analysis.run(tasks)))
        if analysis.rows:
            (snapshot,) = inputs.stores
            results = [analysis.with_paths(result, snapshot) for result in results]
        shown = {"shown": list(used)} if analysis.shows else {}
        return [
            replace(
                result, attributes={**result.attributes, **identity_of(request, inputs.identity), **shown}
            )
            for request, result in zip(requests, results, strict=True)
        ]

    def _with_parts(self, request: Request, inputs: Inputs, result: Result | None) -> Result:
        """Add the results that belong to the presentation of one."""
        if result is None:
            raise TypeError(f"{request.analysis.name} computed nothing")
        parts: dict[str, list[Result]] = {}
        for part, of in _shown(request, inputs, result.attributes):
            parts.setdefault(part.analysis.name, []).append(self.result(part, of))
        return replace(result, parts=parts) if parts else result


def first_of(requests: Sequence[Request]) -> list[Request]:
    """Return what is computed together before the rest, since some require others of the same analysis.

    These are what is required, and what requires nothing of the same analysis; nothing where no request does.
    """
    required = {
        request: [
            one for one in request.analysis.requires(request.parameters) if one.analysis is request.analysis
        ]
        for request in requests
    }
    needed = [one for several in required.values() for one in several]
    if not needed:
        return []
    return list(dict.fromkeys([*(one for one in requests if not required[one]), *needed]))


def key_of(request: Request, identity: Identity) -> str:
    """Return the key of a result: a hash of all that decides it."""
    return str(identity_of(request, identity)["key"])


def path_of(request: Request, identity: Identity) -> str:
    """Return the path of the group of a result inside a store."""
    return f"{RESULTS}/{request.analysis.name}/{key_of(request, identity)}"


def identity_of(request: Request, identity: Identity) -> dict[str, Any]:
    """Return all that decides a result, and the key that is a hash of it, as attributes of the result."""
    analysis, parameters = request.analysis, request.parameters
    decided_by = {
        "analysis": analysis.name,
        "version": analysis.version,
        "parameters": parameters.model_dump(mode="json"),
        "inputs": identity.document(),
        "requires": [
            key_of(required, of)
            for required in analysis.requires(parameters)
            for of in _narrowed(request, required, identity)
        ],
    }
    text = json.dumps(decided_by, sort_keys=True)
    return {**decided_by, "key": hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]}


def _answers(result: Result, request: Request, identity: Identity) -> bool:
    """Check whether a result says itself that it is what was asked for, wherever it lies."""
    expected = json.loads(json.dumps(identity_of(request, identity)))
    return all(result.attributes.get(name) == value for name, value in expected.items())


def _shown(
    request: Request, inputs: Inputs, attributes: Mapping[str, Any]
) -> Iterator[tuple[Request, Inputs]]:
    """Return the required results that belong to the presentation of one, and what they are of."""
    used = set(attributes.get("shown", ()))
    for required in request.analysis.requires(request.parameters):
        if required.analysis.name in request.analysis.shows:
            narrowed = request.analysis.narrows(required.analysis)
            for of in inputs.of_each_store() if narrowed else (inputs,):
                if key_of(required, of.identity) in used:
                    yield required, of


def _narrowed(request: Request, required: Request, identity: Identity) -> tuple[Identity, ...]:
    """Return the identities of what a required result is of: the same inputs, or each of their stores."""
    return identity.of_each_store() if request.analysis.narrows(required.analysis) else (identity,)


def _scratch(home: Results, path: str) -> Scratch:
    _, name, key = path.split("/")
    return Scratch(absolute(home.location), f"{RESULTS}/{name}{STATE}/{key}")


def _of_inputs(request: Request, inputs: Inputs) -> Request:
    """Return a request as it is of its inputs, and check that they have the points that it is of."""
    if isinstance(request.parameters, PointsParameters):
        for snapshot in inputs.stores:
            require_points(snapshot.store, request.parameters.array)
    return request.of_stores([snapshot.schema for snapshot in inputs.stores])
