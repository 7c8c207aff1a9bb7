"""Embeddings of a sample of images by t-SNE, with one or several settings, and of all images beside them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request, Scratch, Task
from latentscan.analyses.functions import call
from latentscan.analyses.neighbours.graph import NEIGHBOURS, GraphParameters, NeighbourGraph
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.analyses.tsne.cost import tsne_cost
from latentscan.analyses.tsne.optimize import (
    Callbacks,
    Schedule,
    State,
    affinities,
    initial_embedding,
    optimize,
)
from latentscan.analyses.tsne.parameters import TsneParameters
from latentscan.analyses.tsne.quality import map_quality, noise_floor, quality_among_all
from latentscan.analyses.tsne.transform import transform
from latentscan.errors import TooFewImagesError
from latentscan.kernels.procrustes import procrustes
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.store.results import Result, Results, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.functions import Options
    from latentscan.analyses.inputs import OneStore
    from latentscan.execution.executor import Control
    from latentscan.scan.rows import Points, PointsChoice
    from latentscan.store.reader import LatentStore

    TsneTask = Task[TsneParameters, OneStore]

LEAST_SHARED = 3  # points that two embeddings must share to be aligned


def embed(tasks: Sequence[TsneTask]) -> list[Result]:
    """Embed images with several settings; embeddings of samples are optimized at once.

    Raises
    ------
    TooFewImagesError
        If the perplexity is too large for the number of images.
    """
    samples = iter(_embed_samples([task for task in tasks if task.parameters.is_of_sample]))
    return [next(samples) if task.parameters.is_of_sample else _from_maps(task) for task in tasks]


def _from_maps(task: TsneTask) -> Result:
    """Return what is made from other maps: that of all images, or a map beside its noise floor."""
    parameters, snapshot = task.parameters, task.inputs.snapshot
    sample = _of_sample(parameters)
    if not parameters.noise_floor:
        found = transform(snapshot, task.result_of(sample), task.execution)
        among_all = quality_among_all(snapshot, found, task.execution)
        return replace(found, attributes={**found.attributes, "among_all": among_all})
    own, again, first = task.results_of([_without_floor(parameters), _second(parameters), sample])
    return replace(own, attributes={**own.attributes, "noise_floor": noise_floor(first, again)})


def _requires(parameters: TsneParameters) -> list[Request]:
    if parameters.noise_floor:
        own = [_without_floor(parameters), _second(parameters), _of_sample(parameters)]
        return list(dict.fromkeys(own))
    return [_of_sample(parameters)] if parameters.all else [_cloud(parameters), _graph(parameters)]


def _graph(parameters: TsneParameters) -> Request:
    """Return the request of the graph of neighbours."""
    graph = GraphParameters(
        points=parameters.points,
        seed=parameters.seed,
        array=parameters.array,
        neighbours=parameters.searched,
    )
    return Request(NEIGHBOURS, graph)


def _cloud(parameters: TsneParameters) -> Request:
    """Return the request of the principal axes, along which an embedding begins."""
    return Request(PCA, PcaParameters(array=parameters.array))


def _of_sample(parameters: TsneParameters) -> Request:
    """Return the request of the embedding of the sample alone."""
    return Request(TSNE, parameters.model_copy(update={"all": False, "noise_floor": False}))


def _second(parameters: TsneParameters) -> Request:
    """Return the request of another map of the sample, from another start."""
    return Request(
        TSNE, _of_sample(parameters).parameters.model_copy(update={"start_seed": parameters.start_seed + 1})
    )


def _without_floor(parameters: TsneParameters) -> Request:
    return Request(TSNE, parameters.model_copy(update={"noise_floor": False}))


def align(results: Sequence[Result]) -> list[Result]:
    """Turn, mirror, scale and shift embeddings onto the first one by the images they share.

    Embeddings that share fewer than three images with it stay as they are.
    """
    first, *others = results
    return [first, *(_aligned(first, other) for other in others)]


LABELS = {  # what each variable is, and its unit
    "embedding": ("coordinates of the embedding", "1"),
    "image": ("row of the point's image", "1"),
    "radius": ("radius of the point's latents", "1"),
    "in_sample": ("whether the point is of the sample", "1"),
}

TSNE = Analysis(
    name="tsne",
    version=2,
    parameters=TsneParameters,
    requires=_requires,
    compute_together=embed,
    cost=tsne_cost,
    parts=(NEIGHBOURS,),
    align=align,
    labels=LABELS,
)


def tsne(
    store: LatentStore,
    *,
    points: int = 20_000,
    perplexity: float = 30.0,
    early_exaggeration: float = 12.0,
    iterations: int = 1000,
    seed: int = 0,
    start_seed: int = 0,
    noise_floor: bool = False,
    array: PointsChoice = "auto",
    all: bool = False,  # noqa: A002 (the option of the command)
    **options: Unpack[Options],
) -> Dataset:
    """Embed images in two dimensions such that neighbours lie together: t-SNE.

    An embedding that was interrupted is resumed where it was.

    Parameters
    ----------
    store
        The latent store.
    points
        How many images; all if there are fewer.
    perplexity
        How many neighbours count, about.
    early_exaggeration
        Attraction in the first quarter of the iterations, 250 at most.
    iterations
        Iterations of the optimization.
    seed
        Seed of the sample and of the index of neighbours.
    start_seed
        Seed of the small random part of the start of the map.
    noise_floor
        Whether a second map of the same images is made, with the next `start_seed`, and compared with it.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    all
        Whether every other image is embedded too, among those of the sample.
    **options
        See `Options`.

    Returns
    -------
    `embedding` (point, axis), with the row numbers as coordinate `image` (point), and `radius` (point). The
    attributes have the divergence `kl`, which compares maps of the same points and perplexity only; the
    `search_recall` of the search for neighbours; and how good the map is, over a sample of points:
    `trustworthiness`, and `neighbours_kept`, the share of each point's nearest 15 in the latent space that
    are among its nearest 15 on the map; each with its standard error, `..._error`. With `all`, `among_all`
    has the same for images of the sample and for transformed ones, among all images; with `noise_floor`,
    `noise_floor` has how much two maps that differ in their start alone have in common.

    Raises
    ------
    ParameterError
        If the perplexity is too large for the number of images, or the store lacks the array.
    StoreError
        If the store is incomplete or damaged.
    """
    given = {
        "points": points,
        "perplexity": perplexity,
        "early_exaggeration": early_exaggeration,
        "iterations": iterations,
        "seed": seed,
        "start_seed": start_seed,
        "noise_floor": noise_floor,
        "array": array,
        "all": all,
    }
    return call(TSNE, {"store": store}, given, options)


def _aligned(reference: Result, moving: Result) -> Result:
    _, ours, theirs = np.intersect1d(reference["image"], moving["image"], return_indices=True)
    if len(ours) < LEAST_SHARED:
        return moving
    alignment = procrustes(reference["embedding"][ours], moving["embedding"][theirs])
    embedding = alignment.apply(moving["embedding"]).astype(np.float32)
    variables = {**moving.variables, "embedding": Variable(("point", "axis"), embedding)}
    return Result(variables, {**moving.attributes, "disparity": alignment.disparity})


@dataclass(frozen=True)
class _Input:
    """What an embedding is made from: images (n,), rows (n, components), graph, and the cloud's axes."""

    task: TsneTask
    images: NDArray[np.int64]
    rows: NDArray[np.float32]
    graph: NeighbourGraph
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def effort(self) -> float:
        """How long it takes, in no unit."""
        parameters = self.task.parameters
        return len(self.images) * parameters.perplexity * parameters.iterations

    @property
    def label(self) -> str:
        """The name in an error."""
        return f"t-SNE of {len(self.images):,} points, perplexity {self.task.parameters.perplexity:g}"

    def initial_state(self) -> State:
        """Return the state that the optimization begins with."""
        projection = (self.rows - self.mean) @ self.axes.T
        parameters = self.task.parameters
        return State.start(initial_embedding(projection, (parameters.seed, parameters.start_seed)))


def _embed_samples(tasks: Sequence[TsneTask]) -> list[Result]:
    if not tasks:
        return []
    inputs = _inputs(tasks)
    return [_result(one, *found) for one, found in zip(inputs, _optimize_together(inputs), strict=True)]


def _inputs(tasks: Sequence[TsneTask]) -> list[_Input]:
    """Sample and read rows, once for all embeddings that share them, and search for neighbours."""
    snapshot, execution = tasks[0].inputs.snapshot, tasks[0].execution
    most: dict[int, int] = {}
    for parameters in (task.parameters for task in tasks):
        most[parameters.seed] = max(most.get(parameters.seed, 0), parameters.points)
    images = {seed: sample_images(snapshot, size, seed, execution).images for seed, size in most.items()}
    for parameters in (task.parameters for task in tasks):
        _require_perplexity(parameters, min(parameters.points, len(images[parameters.seed])))
    read: dict[tuple[Points, int], int] = {}
    for parameters in (task.parameters for task in tasks):
        shared = (parameters.points_of(snapshot.schema), parameters.seed)
        read[shared] = max(read.get(shared, 0), parameters.points)
    rows = {
        (array, seed): gather_rows(snapshot, array, images[seed][:size], execution)
        for (array, seed), size in read.items()
    }
    inputs = []
    for task in tasks:
        parameters = task.parameters
        own = rows[parameters.points_of(snapshot.schema), parameters.seed]
        cloud = task.result_of(_cloud(parameters))
        inputs.append(
            _Input(
                task,
                images[parameters.seed][: parameters.points],
                own[: parameters.points],
                NeighbourGraph.of_result(task.result_of(_graph(parameters))),
                cloud["mean"],
                cloud["axes"][:2],
            )
        )
    return inputs


def _require_perplexity(parameters: TsneParameters, points: int) -> None:
    if 3 * parameters.perplexity <= points - 1:
        return
    raise TooFewImagesError(
        f"three times as many neighbours of each point are needed, and there are {points:,} points; "
        + (f"at most {(points - 1) // 3} is possible" if points > 3 else "an embedding needs at least 4"),
        field="perplexity",
        value=f"{parameters.perplexity:g}",
    )


def _optimize_together(inputs: Sequence[_Input]) -> list[tuple[NDArray[np.float32], float]]:
    """Optimize several embeddings at once, the longest first; each resumes from its last state."""
    execution = inputs[0].task.execution
    states = [_load_state(one.task.scratch) if one.task.resume else None for one in inputs]
    begun = [
        _Begun(one.task.parameters, one.graph, state or one.initial_state(), one.task.scratch)
        for one, state in zip(inputs, states, strict=True)
    ]
    order = sorted(range(len(inputs)), key=lambda at: inputs[at].effort, reverse=True)
    work = partial(_optimize_one, begun, threads=execution.executor.threads_per_task(len(inputs)))
    total = sum(one.task.parameters.iterations for one in inputs)
    done = sum(state.done for state in states if state is not None)
    with execution.progress.task("t-SNE", total, "iterations", done) as advance:
        found = execution.executor.run_tasks(
            work, order, describe=lambda at: inputs[at].label, report=advance
        )
    by_input = dict(zip(order, found, strict=True))
    return [by_input[at] for at in range(len(inputs))]


@dataclass(frozen=True)
class _Begun:
    """An embedding to be optimized: of which graph, from which state on, and where its states are saved."""

    parameters: TsneParameters
    graph: NeighbourGraph
    state: State
    scratch: Scratch


def _optimize_one(
    begun: Sequence[_Begun], at: int, control: Control, *, threads: int
) -> tuple[NDArray[np.float32], float]:
    """Optimize one of several embeddings, (n, 2), and return its divergence too."""
    one = begun[at]
    parameters = one.parameters
    name = "KL" if len(begun) == 1 else f"KL {parameters.points:,}/{parameters.perplexity:g}"

    def report(iterations: int, divergence: float) -> None:
        control.advance(iterations, **{name: divergence})

    callbacks = Callbacks(control.stopped, report, partial(_save_state, one.scratch))
    joint = affinities(one.graph, parameters.perplexity, threads)
    schedule = Schedule(parameters.iterations, parameters.early_exaggeration)
    last, divergence = optimize(joint, one.state, schedule, callbacks, threads)
    callbacks.save(last)
    return last.embedding.astype(np.float32), divergence


def _result(one: _Input, embedding: NDArray[np.float32], divergence: float) -> Result:
    variables = {
        "embedding": Variable(("point", "axis"), embedding),
        "image": Variable(("point",), one.images),
        "radius": Variable(("point",), np.linalg.norm(one.rows, axis=1)),
    }
    attributes = {
        **one.task.parameters.model_dump(mode="json", exclude={"noise_floor"}),
        "points": len(embedding),
        "kl": divergence,
        "search_recall": one.graph.recall,
        **map_quality(one.rows, embedding),
        "coordinates": "image",  # so that xarray reads it as one
    }
    return Result(variables, attributes)


_STATE = ("embedding", "update", "gains")


def _save_state(scratch: Scratch, state: State) -> None:
    variables = {name: Variable(("point", "axis"), getattr(state, name)) for name in _STATE}
    with suppress(FileNotFoundError):  # another process finished the same embedding, and removes its states
        Results(scratch.location).save_unlisted(scratch.path, Result(variables, {"done": state.done}))


def _load_state(scratch: Scratch) -> State | None:
    found = Results(scratch.location).load(scratch.path)
    if found is None:
        return None
    return State(found.attributes["done"], found["embedding"], found["update"], found["gains"])
