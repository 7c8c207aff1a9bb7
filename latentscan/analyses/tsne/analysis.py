"""Maps of a sample of images by t-SNE, with one or several settings, and of all images beside them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from latentscan.analyses.cache import Run, kept_at, require_computing
from latentscan.analyses.neighbours.graph import VERSION as GRAPH_VERSION
from latentscan.analyses.neighbours.graph import GraphParameters, NeighbourGraph, neighbour_graph
from latentscan.analyses.pca import VERSION as PCA_VERSION
from latentscan.analyses.pca import PcaParameters, pca
from latentscan.analyses.rows import Points, gathered_rows, require_points, sampled_images
from latentscan.analyses.tsne.optimize import Schedule, State, Watch, affinities, make_map, starting_places
from latentscan.analyses.tsne.transform import place_all
from latentscan.errors import TooFewImagesError
from latentscan.kernels.procrustes import procrustes
from latentscan.kernels.ranks import trustworthiness
from latentscan.paths import absolute
from latentscan.store.results import (
    Result,
    Variable,
    drop_result,
    load_result,
    require_place,
    result_path,
    save_hidden,
    save_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.executor import Control
    from latentscan.store.reader import LatentStore

VERSION = 1  # to be raised when the numbers or their names change, so that older results are not read
TRUST_POINTS = 500
TRUST_NEIGHBOURS = 12
SEARCHED = 90  # neighbours of each point: three times the usual perplexity
LEAST_SHARED = 3  # points that two maps must share to be laid upon each other


class TsneParameters(BaseModel):
    """How one map is made, and of what."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    points: int = Field(default=20_000, ge=4, description="how many images; all if there are fewer")
    perplexity: float = Field(default=30.0, ge=1, description="how many neighbours count, about")
    early_exaggeration: float = Field(
        default=12.0, ge=1, description="attraction in the first quarter of the iterations, 250 at most"
    )
    iterations: int = Field(default=1000, ge=1, description="of the optimisation")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="seed of the sample and of the index of neighbours"
    )
    array: Points = Field(default="z", description="z or mu")
    all: bool = Field(default=False, description="also place every other image on the map")

    @property
    def neighbours(self) -> int:
        """Give how many neighbours of each point the map is made from."""
        return int(3 * self.perplexity)

    def searched(self, points: int) -> int:
        """Give how many neighbours of so many points are searched for.

        That is 90, or 180, 360, ... for large perplexities: maps of the same points share one graph, and
        none depends on which others are made beside it.
        """
        near = SEARCHED
        while near < self.neighbours:
            near *= 2
        return min(near, points - 1)


def tsne(
    store: LatentStore,
    parameters: TsneParameters | None = None,
    run: Run | None = None,
    digests: NDArray[np.uint8] | None = None,
) -> Result:
    """Draw a map of images on which neighbours lie together: t-SNE.

    A map that was interrupted is taken up again where it was.

    Parameters
    ----------
    digests
        The commit record (block, array, 32) of the blocks to look at; read anew if None.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If the perplexity is too large for the number of images, the store lacks the array, or the result
        cannot be kept where it should be.
    """
    return tsne_maps(store, [parameters or TsneParameters()], run, digests)[0]


def tsne_maps(
    store: LatentStore,
    parameters: Sequence[TsneParameters],
    run: Run | None = None,
    digests: NDArray[np.uint8] | None = None,
) -> list[Result]:
    """Draw several maps at once, each kept by itself: they share rows, neighbours and where they start.

    Raises as `tsne` does, before any work.
    """
    run = run or Run()
    if digests is None:
        digests = store.readable_digests(allow_partial=run.allow_partial)
    sampled = [one.model_copy(update={"all": False}) for one in parameters]
    maps = _sampled_maps(store, list(dict.fromkeys(sampled)), digests, run)
    home = run.results or store.location
    return [
        kept_at(home, _path("tsne", one, digests), run, partial(place_all, store, maps[fixed], digests, run))
        if one.all
        else maps[fixed]
        for one, fixed in zip(parameters, sampled, strict=True)
    ]


def aligned_maps(
    store: LatentStore, parameters: Sequence[TsneParameters], run: Run | None = None
) -> list[Result]:
    """Draw several maps at once, laid upon the first one so that they can be compared by eye."""
    return aligned(tsne_maps(store, parameters, run))


def aligned(maps: Sequence[Result]) -> list[Result]:
    """Turn, mirror, scale and shift maps onto the first one by the images they share.

    Maps that share fewer than three images with it stay as they are.
    """
    first, *others = maps
    return [first, *(_laid_upon(first, other) for other in others)]


def _laid_upon(reference: Result, moving: Result) -> Result:
    _, ours, theirs = np.intersect1d(reference["image"], moving["image"], return_indices=True)
    if len(ours) < LEAST_SHARED:
        return moving
    alignment = procrustes(reference["embedding"][ours], moving["embedding"][theirs])
    embedding = alignment.apply(moving["embedding"]).astype(np.float32)
    variables = {**moving.variables, "embedding": Variable(("point", "axis"), embedding)}
    return Result(variables, {**moving.attributes, "disparity": alignment.disparity})


def _sampled_maps(
    store: LatentStore, parameters: Sequence[TsneParameters], digests: NDArray[np.uint8], run: Run
) -> dict[TsneParameters, Result]:
    for array in {one.array for one in parameters}:
        require_points(store, array)
    home = run.results or store.location
    paths = {one: _path("tsne", one, digests) for one in parameters}
    found = {} if run.force else {one: load_result(home, path) for one, path in paths.items()}
    missing = [one for one in parameters if found.get(one) is None]
    if missing:
        require_computing(run, paths[missing[0]])
        require_place(home)
        inputs = _inputs(store, missing, digests, run)
        found |= dict(zip(missing, _make(inputs, home, digests, run), strict=True))
    maps = {one: result for one, result in found.items() if result is not None}
    for one in missing:
        save_result(home, paths[one], maps[one])
        drop_result(home, _path("tsne-state", one, digests))
    return maps


def _path(name: str, parameters: TsneParameters, digests: NDArray[np.uint8]) -> str:
    versions = (VERSION, GRAPH_VERSION, PCA_VERSION)
    return result_path(name, versions, parameters.model_dump(mode="json"), digests)


@dataclass(frozen=True)
class _Input:
    """What a map is made from: images (n,), their rows (n, components) and graph, and the cloud's axes."""

    parameters: TsneParameters
    images: NDArray[np.int64]
    rows: NDArray[np.float32]
    graph: NeighbourGraph
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def cost(self) -> float:
        """Give what making the map costs, in no unit."""
        return len(self.images) * self.parameters.perplexity * self.parameters.iterations

    @property
    def name(self) -> str:
        """Name the map in an error."""
        return f"t-SNE of {len(self.images):,} points, perplexity {self.parameters.perplexity:g}"

    def start(self) -> State:
        """Give the state that the map begins with."""
        projection = (self.rows - self.mean) @ self.axes.T
        return State.start(starting_places(projection, self.parameters.seed))


def _inputs(
    store: LatentStore, parameters: Sequence[TsneParameters], digests: NDArray[np.uint8], run: Run
) -> list[_Input]:
    images: dict[int, NDArray[np.int64]] = {}
    for seed, same in _grouped(parameters, lambda one: one.seed).items():
        images[seed] = sampled_images(store, max(one.points for one in same), seed, digests, run)
        for one in same:
            _require_perplexity(one, min(one.points, len(images[seed])))
    rows, graphs = {}, {}
    for (array, seed), same in _grouped(parameters, lambda one: (one.array, one.seed)).items():
        largest = images[seed][: max(one.points for one in same)]
        rows[array, seed] = gathered_rows(store, array, largest, digests, run)
        for points, alike in _grouped(same, lambda one: one.points).items():
            for near in {one.searched(min(points, len(largest))) for one in alike}:
                asked = GraphParameters(points=points, seed=seed, array=array, neighbours=near)
                graphs[array, seed, points, near] = neighbour_graph(store, asked, run, digests)
    clouds = {
        array: pca(store, PcaParameters(array=array), run, digests)
        for array in {one.array for one in parameters}
    }
    return [
        _Input(
            one,
            images[one.seed][: one.points],
            rows[one.array, one.seed][: one.points],
            graphs[one.array, one.seed, one.points, one.searched(min(one.points, len(images[one.seed])))],
            clouds[one.array]["mean"],
            clouds[one.array]["axes"][:2],
        )
        for one in parameters
    ]


def _grouped(
    parameters: Iterable[TsneParameters], key: Callable[[TsneParameters], Any]
) -> dict[Any, list[TsneParameters]]:
    groups: dict[Any, list[TsneParameters]] = {}
    for one in parameters:
        groups.setdefault(key(one), []).append(one)
    return groups


def _require_perplexity(parameters: TsneParameters, points: int) -> None:
    if 3 * parameters.perplexity <= points - 1:
        return
    raise TooFewImagesError(
        f"three times as many neighbours of each point are needed, and there are {points:,} points; "
        + (f"at most {(points - 1) // 3} is possible" if points > LEAST_SHARED else "a map needs at least 4"),
        field="perplexity",
        value=f"{parameters.perplexity:g}",
    )


def _make(inputs: Sequence[_Input], home: str, digests: NDArray[np.uint8], run: Run) -> list[Result]:
    """Make maps, several at once, those that take longest first; each goes on from its last state."""
    paths = [_path("tsne-state", one.parameters, digests) for one in inputs]
    states = [None if run.force else _load_state(home, path) for path in paths]
    sketches = [
        _Sketch(one.parameters, one.graph, state or one.start(), absolute(home), path)
        for one, state, path in zip(inputs, states, paths, strict=True)
    ]
    order = sorted(range(len(inputs)), key=lambda at: inputs[at].cost, reverse=True)
    work = partial(_drawn, sketches, threads=run.executor.threads_per_task(len(inputs)))
    total = sum(one.parameters.iterations for one in inputs)
    done = sum(state.done for state in states if state is not None)
    with run.progress.task("t-SNE", total, "iterations", done) as advance:
        found = run.executor.run_tasks(work, order, describe=lambda at: inputs[at].name, report=advance)
    maps = dict(zip(order, found, strict=True))
    return [_map_result(one, *maps[at]) for at, one in enumerate(inputs)]


@dataclass(frozen=True)
class _Sketch:
    """A map to be made: of which graph, from which state on, and where its states are kept."""

    parameters: TsneParameters
    graph: NeighbourGraph
    begun: State
    home: str
    path: str


def _drawn(
    sketches: Sequence[_Sketch], at: int, control: Control, *, threads: int
) -> tuple[NDArray[np.float32], float]:
    """Make one of several maps, (n, 2), and give its divergence."""
    one = sketches[at]
    parameters = one.parameters
    name = "KL" if len(sketches) == 1 else f"KL {parameters.points:,}/{parameters.perplexity:g}"

    def report(iterations: int, divergence: float) -> None:
        control.advance(iterations, **{name: divergence})

    watch = Watch(control.stopped, report, partial(_save_state, one.home, one.path))
    joint = affinities(one.graph, parameters.perplexity, threads)
    schedule = Schedule(parameters.iterations, parameters.early_exaggeration)
    last, divergence = make_map(joint, one.begun, schedule, watch, threads)
    watch.keep(last)
    return last.embedding.astype(np.float32), divergence


def _map_result(one: _Input, embedding: NDArray[np.float32], divergence: float) -> Result:
    queries = np.arange(min(TRUST_POINTS, len(embedding)))  # points are in a random order
    near = min(TRUST_NEIGHBOURS, (len(embedding) - 1) // 3)
    variables = {
        "embedding": Variable(("point", "axis"), embedding),
        "image": Variable(("point",), one.images),
        "radius": Variable(("point",), np.linalg.norm(one.rows, axis=1)),
    }
    attributes = {
        **one.parameters.model_dump(mode="json"),
        "points": len(embedding),
        "kl": divergence,
        "recall": one.graph.recall,
        "trustworthiness": trustworthiness(one.rows, embedding, queries, near),
        "coordinates": "image",  # so that xarray reads it as one
    }
    return Result(variables, attributes)


_PLACES = ("point", "axis")


def _save_state(home: str, path: str, state: State) -> None:
    arrays = {name: getattr(state, name) for name in ("embedding", "update", "gains")}
    variables = {name: Variable(_PLACES, array) for name, array in arrays.items()}
    with suppress(FileNotFoundError):  # another process finished the same map, and removes its states
        save_hidden(home, path, Result(variables, {"done": state.done}))


def _load_state(home: str, path: str) -> State | None:
    found = load_result(home, path)
    if found is None:
        return None
    return State(found.attributes["done"], found["embedding"], found["update"], found["gains"])
