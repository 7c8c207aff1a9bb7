"""What a store holds: arrays, origin, and cached results, with those that are stale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import key_of
from latentscan.analyses.inputs import Identity, OneStore
from latentscan.analyses.registry import ANALYSES
from latentscan.errors import UsageError, command, spelled
from latentscan.scan.snapshot import Snapshot
from latentscan.store.atomic import METADATA
from latentscan.store.chunks import ChunkError
from latentscan.store.metadata import SEAL, no_store, read_root, root_problem
from latentscan.store.reader import open_store
from latentscan.store.results import Results
from latentscan.store.schema import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

SHORTEST_KEY = 4  # letters that name a result


@dataclass(frozen=True)
class CachedResult:
    """A result that is cached at a location.

    Parameters
    ----------
    name
        The analysis, or the part of one; with ``-state`` behind it, the state of an interrupted computation.
    key
        Names the result among those of the analysis.
    parameters
        What it was computed with; empty where an older latentscan made it.
    created
        When, in UTC; None where that is not known.
    bytes
        The size of its files.
    why_stale
        Why it would be computed anew today; None where it would be read.
    """

    name: str
    key: str
    path: str
    parameters: dict[str, Any]
    created: datetime | None
    bytes: int
    why_stale: str | None

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "analysis": self.name,
            "key": self.key,
            "parameters": self.parameters,
            "created": None if self.created is None else self.created.isoformat(),
            "bytes": self.bytes,
            "stale": self.why_stale,
        }


@dataclass(frozen=True)
class StoreSummary:
    """What is in a store.

    Parameters
    ----------
    store
        The store.
    written
        How many of its images are in blocks that are written.
    rejected
        How many of these hold no latents.
    results
        What is cached in it.
    damaged
        What cannot be read of that, a line each.
    bytes
        The size of the files of each array, by its name.
    """

    store: LatentStore
    written: int
    rejected: int
    results: tuple[CachedResult, ...]
    damaged: tuple[str, ...] = ()
    bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many images are not written."""
        return self.store.schema.images - self.written

    @property
    def not_computed(self) -> tuple[str, ...]:
        """Names of the analyses of one store of which no result is cached that would be read today."""
        held = {result.name for result in self.results if not result.why_stale}
        alone = [
            name
            for name, analysis in ANALYSES.items()
            if issubclass(analysis.inputs, OneStore)
            and analysis.inputs.needs_stores_alone()
            and analysis.suits(self.store.schema)
        ]
        return tuple(name for name in alone if name not in held)

    def next_steps(self) -> tuple[tuple[str, str], ...]:
        """Return what a user may want to do next: what for, and the mark of a command."""
        location = self.store.location
        steps = []
        if self.damaged:
            steps.append(("name all damage", command("check", store=location)))
        if self.missing:
            steps.append(("write what is missing", self.store.completing_command()))
        elif self.not_computed:
            steps.append(("compute what is not cached", command(self.not_computed[0], store=location)))
        if any(result.why_stale for result in self.results):
            steps.append(("remove stale results", command("results remove", store=location, stale=True)))
        if any(result.name in ANALYSES for result in self.results):
            steps.append(("see every result", command("plot", store=location, out="pictures")))
        return tuple(steps)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        schema, attributes = self.store.schema, self.store.attributes
        return {
            "store": self.store.location,
            "images": schema.images,
            "components": schema.components,
            "written": self.written,
            "missing": self.missing,
            "rejected": self.rejected,
            "chunk_rows": schema.chunk_rows,
            "compression": schema.compression,
            "arrays": {spec.name: spec.dtype for spec in schema.arrays},
            "bytes": dict(self.bytes),
            "labels": list(schema.labels),
            "attributes": {kind: list(labels) for kind, labels in schema.labelled.items()},
            **{
                name: attributes.get(name)
                for name in ("format_version", "encoder", "source", "preprocessing")
            },
            **{
                name: attributes.get(name) for name in ("seed", "epsilon_limit", "epsilon_factor", "versions")
            },
            "resume_command": self.store.completing_command() if self.missing else None,
            "results": [result.document() for result in self.results],
            "not_computed": list(self.not_computed),
            "next": [
                {"for": purpose, "command": spelled(step, "command line")}
                for purpose, step in self.next_steps()
            ],
            "damaged": list(self.damaged),
        }


def describe_store(location: str) -> StoreSummary:
    """Return what is in a store.

    What is damaged is named and left out: of a block whose commit record is damaged all images, of one whose
    `status` is damaged the rejected ones.

    Raises
    ------
    StoreError
        If there is none, or the metadata is damaged beyond what can be restored.
    """
    store = open_store(location)
    problem, written, rejected = root_problem(location), 0, 0
    damaged = [] if problem is None else [f"{METADATA} is damaged: {problem}"]
    digests, unread = _readable_digests(store)
    damaged += unread
    snapshot = Snapshot(store, digests)
    for block in snapshot.blocks:
        written += len(store.schema.rows(block))
        try:
            rejected += int(np.count_nonzero(snapshot.read_block(block, ("status",))["status"]))
        except ChunkError as error:
            damaged.append(f"{error.chunk} {error.problem}")
    results = _results(location, None if unread else snapshot.content)
    return StoreSummary(store, written, rejected, tuple(results), tuple(damaged), store.bytes_by_array())


def _readable_digests(store: LatentStore) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the commit record, zero where it is damaged, and what is."""
    try:
        return store.digests(), []
    except ChunkError:
        digests = np.zeros((store.schema.blocks, len(store.schema.names), DIGEST_BYTES), np.uint8)
        damaged = []
    for block in range(store.schema.blocks):
        try:
            digests[block] = store.read_digests(block)
        except ChunkError as error:
            damaged.append(f"{error.chunk} {error.problem}")
    return digests, damaged


def cached_results(location: str) -> list[CachedResult]:
    """Return the results that are cached at a location: a store, or one of results alone.

    Raises
    ------
    StoreError
        If there is nothing, or it is damaged.
    """
    root = read_root(location)
    if root is None:
        raise no_store(location)
    if SEAL not in root.get("attributes", {}):
        return _results(location, None)
    store = open_store(location)
    digests, damaged = _readable_digests(store)
    return _results(location, None if damaged else Snapshot(store, digests).content)


def _results(location: str, content: str | None) -> list[CachedResult]:
    return [
        CachedResult(
            entry.analysis,
            entry.key,
            entry.path,
            dict(entry.attributes.get("parameters", {})),
            entry.created,
            entry.bytes,
            entry.problem or (None if entry.is_state else why_stale(entry.attributes, content)),
        )
        for entry in Results(location).entries()
    ]


def select_results(results: Sequence[CachedResult], keys: Iterable[str]) -> list[CachedResult]:
    """Return the results that are named by ``NAME/KEY``, ``KEY``, or the beginning of a key.

    Raises
    ------
    UsageError
        If a name fits none, or several.
    """
    chosen = []
    for wanted in keys:
        name, _, key = wanted.rpartition("/")
        fitting = [one for one in results if one.key.startswith(key) and name in ("", one.name)]
        if len(key) < SHORTEST_KEY or len(fitting) != 1:
            found = "is too short a key" if len(key) < SHORTEST_KEY else f"names {len(fitting)} results"
            raise UsageError(f"{wanted} {found}; {command('results list')} names each by NAME/KEY")
        chosen += [one for one in fitting if one not in chosen]
    return chosen


def remove_results(location: str, results: Iterable[CachedResult]) -> None:
    """Remove cached results.

    Raises
    ------
    UsageError
        If the location is read-only.
    """
    cached = Results(location)
    for result in results:
        cached.remove(result.path)


def why_stale(attributes: Mapping[str, Any], content: str | None = None) -> str | None:
    """Return why a result would be computed anew today; None where it would be read.

    Parameters
    ----------
    attributes
        Those of the result.
    content
        What `Snapshot.content` is of the store that the result lies in; None where it lies elsewhere.
    """
    if "key" not in attributes:
        return "made by an older latentscan"
    try:
        request = _request_of(attributes)
        identity, version = Identity.of_document(attributes["inputs"]), attributes["version"]
    except (ValidationError, KeyError, TypeError):
        return "of an analysis or parameters that are not known"
    if version != request.analysis.version:
        return f"made by version {version} of {request.analysis.name}, now {request.analysis.version}"
    if key_of(request, identity) != attributes["key"]:
        return "built on an analysis that has changed"
    if content is not None and identity.contents and content not in identity.contents:
        return "of other rows than the store holds now"
    return None


def _request_of(attributes: Mapping[str, Any]) -> Request:
    """Return the request that a result answers."""
    analysis = ANALYSES.find(attributes["analysis"])
    if analysis is None:
        raise KeyError(attributes["analysis"])
    return Request(analysis, analysis.parameters.model_validate(attributes["parameters"]))
