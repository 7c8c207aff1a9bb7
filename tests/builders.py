"""Stores for tests, of any shape, results of analyses of them, and executors that watch what is run."""

from __future__ import annotations

import functools
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.registry import ANALYSES
from latentscan.execution.context import Execution
from latentscan.execution.executor import FAN_IN
from latentscan.execution.threaded import IN_PROCESS, ThreadedExecutor
from latentscan.images.source import Status
from latentscan.progress import SILENT
from latentscan.store.reader import open_store
from latentscan.store.results import IDENTITY
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, reject_not_finite, write_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result
    from latentscan.store.schema import Compression

LATENTS = ("mu", "logvar", "z")


def analyses_of_stores() -> list[str]:
    """Return the analyses that are of nothing but stores."""
    return [name for name, analysis in ANALYSES.items() if analysis.inputs.needs_stores_alone()]


def build_store(
    location: Path | str,
    *,
    images: int = 10,
    components: int = 3,
    chunk_rows: int = 4,
    latents: tuple[str, ...] = LATENTS,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    paths: Sequence[str] | None = None,
    labels: tuple[str, ...] = (),
    more_labels: Mapping[str, tuple[str, ...]] | None = None,
    split: bool = False,
    compression: Compression = "none",
    rejected: Iterable[int] = (),
    blocks: Iterable[int] | None = None,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    resume_command: str = "",
) -> LatentStore:
    """Write a store and open it for reading.

    Parameters
    ----------
    location
        Path or URL of the store.
    images, components, latents
        Its shape, unless `arrays` says it.
    arrays
        The latents by name, (image, component); random ones if None.
    paths
        Those of the images; made up if None.
    more_labels
        Those of attributes that are not binary, by field of the schema.
    rejected
        Rows that no latents could be computed of.
    blocks
        Those to write; all if None.
    seed
        Of random latents; a row is the same whatever the chunking.
    """
    given = dict(arrays) if arrays is not None else random_latents(images, components, latents, seed)
    shape = next(iter(given.values())).shape
    schema = Schema(
        shape[0], shape[1], tuple(given), chunk_rows, labels, split, compression, **(more_labels or {})
    )
    store = create_store(str(location), schema, provenance or {"seed": seed}, resume_command=resume_command)
    for block in range(schema.blocks) if blocks is None else blocks:
        values = block_values(schema, block, given, rejected)
        if paths is not None:
            values["path"] = np.array([paths[row] for row in schema.rows(block)], object)
        write_block(store, block, values)
    return open_store(str(location))


def random_latents(
    images: int, components: int, latents: tuple[str, ...], seed: int
) -> dict[str, NDArray[Any]]:
    """Return random latents by name, (image, component) float32."""
    return {
        name: np.random.default_rng([seed, LATENTS.index(name)])
        .standard_normal((images, components))
        .astype(np.float32)
        for name in latents
    }


def block_values(
    schema: Schema, block: int, latents: Mapping[str, NDArray[Any]], rejected: Iterable[int] = ()
) -> dict[str, Any]:
    """Return the arrays of a block, by name, of latents (image, component)."""
    rows = schema.rows(block)
    values: dict[str, Any] = {
        name: np.array(array[rows.start : rows.stop], np.float32) for name, array in latents.items()
    }
    values["path"] = np.array([f"ünter/{row}.jpg" for row in rows], dtype=object)
    values["status"] = np.where(np.isin(rows, list(rejected)), Status.DAMAGED, Status.GOOD).astype(np.uint8)
    values["split"] = np.array([row % 3 for row in rows], np.int8)
    values["attribute"] = np.array(
        [[1 if (row // (label + 1)) % 3 == 0 else -1 for label in range(len(schema.labels))] for row in rows],
        np.int8,
    )
    values["attribute_integer"] = np.array([[row if row % 4 else -(2**63)] for row in rows])
    values["attribute_float"] = np.array([[row / 4 if row % 3 else np.nan] for row in rows])
    values["attribute_text"] = np.array(
        [["xy"[row % 2], f"ü{row}" if row % 3 else ""] for row in rows], object
    )
    reject_not_finite(values)
    return {name: values[name] for name in schema.names}


def analyse(
    of: LatentStore | Mapping[str, LatentStore],
    name: str,
    *,
    results: str | None = None,
    force: bool = False,
    cached_only: bool = False,
    allow_partial: bool = False,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
    **parameters: Any,
) -> Result:
    """Make an analysis of a store, or of several by name, and return the result as it is in the store."""
    analysis = ANALYSES[name]
    given = {analysis.inputs.arguments[0].name: of}
    request = Request(analysis, analysis.parameters.model_validate(parameters))
    cache = Cache(CachePolicy(results, force, cached_only), Execution(executor, progress))
    return cache.result(request, analysis.inputs.open(given, allow_partial=allow_partial))


def assert_same_bits(one: Result, other: Result) -> None:
    """Compare two results to the bit, but for what says which store they are of."""
    assert own(one) == own(other)
    assert one.variables.keys() == other.variables.keys()
    for name, variable in one.variables.items():
        assert variable.dims == other.variables[name].dims
        if variable.values.dtype.kind in "UOT":  # a store's texts are of another type than NumPy's own
            assert variable.values.tolist() == other[name].tolist(), name
        else:
            assert variable.values.dtype == other[name].dtype, name
            assert variable.values.tobytes() == other[name].tobytes(), name


def own(result: Result) -> dict[str, Any]:
    """Return the attributes of a result that do not say which result it is."""
    return {name: value for name, value in result.attributes.items() if name not in IDENTITY}


class Recorder:
    """One thread as an executor, which says that it is several, and counts tasks and their memory.

    `peak_bytes` is measured while `tracemalloc` runs; `tasks` is always counted.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.in_process = False
        self.tasks = 0
        self.peak_bytes = 0
        self._thread = ThreadedExecutor(1)

    def threads_per_task(self, tasks: int) -> int:
        return 1

    def run_tasks(self, work: Any, items: Sequence[Any], **settings: Any) -> list[Any]:
        settings.setdefault("describe", str)
        held_bytes = len(cloudpickle.dumps(work)) if tracemalloc.is_tracing() else 0
        return self._thread.run_tasks(self._counted(work, held_bytes), items, **settings)

    def map_reduce(self, leaf: Any, combine: Any, items: Sequence[Any], **settings: Any) -> Any:
        level = [self._counted(leaf)(item) for item in items]
        merge = self._counted(functools.partial(functools.reduce, combine))
        while len(level) > 1:
            level = [merge(level[start : start + FAN_IN]) for start in range(0, len(level), FAN_IN)]
        return level[0]

    def _counted(self, function: Callable[..., Any], held_bytes: int = 0) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.tasks += 1
            if not tracemalloc.is_tracing():
                return function(*arguments)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            found = function(*arguments)
            taken = tracemalloc.get_traced_memory()[1] - before
            self.peak_bytes = max(self.peak_bytes, taken + held_bytes)
            return found

        return counted


@dataclass(frozen=True)
class Scales:
    """One thread as an executor, which weighs what a cluster would be sent: bytes and tasks of each call."""

    weights: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    count: int = 2
    in_process: bool = False

    def threads_per_task(self, tasks: int) -> int:
        return 1

    def run_tasks(self, work: Any, items: Any, **rest: Any) -> list[Any]:
        self._weigh(work, items)
        return ThreadedExecutor(1).run_tasks(work, items, **rest)

    def map_reduce(self, leaf: Any, combine: Any, items: Any, **rest: Any) -> Any:
        self._weigh((leaf, combine), items)
        return ThreadedExecutor(1).map_reduce(leaf, combine, items, **rest)

    def _weigh(self, common: Any, items: Any) -> None:
        self.weights.append(len(cloudpickle.dumps(common)) + sum(len(cloudpickle.dumps(i)) for i in items))
        self.tasks.append(len(items))
