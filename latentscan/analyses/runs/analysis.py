"""Several runs of several kinds: how far every two are apart, and whether kinds are as near as seeds are."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis
from latentscan.analyses.compare.shared_images import Member, same_images, shared_sample
from latentscan.analyses.functions import call
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.runs.cost import runs_cost
from latentscan.analyses.runs.distances import MEASURES, Distances, distances_of
from latentscan.analyses.runs.kinds import UNKNOWN, kinds_of, seeds_of, share_first_weights, training_of
from latentscan.analyses.runs.parameters import RunsParameters
from latentscan.errors import TooFewImagesError, UsageError
from latentscan.kernels.kinds import TwoKinds, two_kinds, verdict_of
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.analysis import Task
    from latentscan.analyses.functions import Options
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.reader import LatentStore

ENOUGH = 3  # runs of a kind, from which on leaving one out says how far a ratio may be off
CONFIDENCE = 0.9  # of an interval: each of its ends is a test at 5 %
NAMED = 4  # pairs that a note names


def compare_runs(task: Task[RunsParameters, SeveralStores]) -> Result:
    """Compute the distances of every two stores, and compare every two kinds of them.

    Raises
    ------
    UsageError
        If stores are of different images.
    TooFewImagesError
        If they share too few good ones.
    """
    parameters, snapshots = task.parameters, task.inputs.snapshots
    members = [
        Member(name, snapshot, parameters.points_of(snapshot.schema)) for name, snapshot in snapshots.items()
    ]
    names = list(snapshots)
    trainings = [training_of(snapshot) for snapshot in snapshots.values()]
    kinds = kinds_of(names, trainings, parameters.kind)
    _, differences = same_images(members, task.execution)
    if differences:
        raise UsageError(
            f"runs are compared on the same images, but {'; '.join(differences.values())}; leave out the "
            "stores of other images"
        )
    images = shared_sample(members, parameters.sample, parameters.seed, task.execution).images
    if len(images) <= max(parameters.nearest, 3):
        raise TooFewImagesError(
            f"expected fewer nearest neighbours than the {len(images):,} images that are good in all stores, "
            "and 4 such images or more",
            field="nearest",
            value=parameters.nearest,
        )
    found = distances_of(members, images, parameters.nearest, parameters.seed, task.execution)
    seeds = seeds_of(trainings)
    shared = share_first_weights(seeds)
    variables = {
        "store": Variable(("store",), np.array(names, object)),
        "kind": Variable(("store",), np.array(kinds, object)),
        "training_seed": Variable(("store",), seeds),
        "array": Variable(("store",), np.array([member.array for member in members], object)),
        "components": Variable(("store",), np.array([m.snapshot.schema.components for m in members])),
        "search_recall": Variable(("store",), found.recall),
        **_pair_variables(names, found, shared),
        **_kind_variables(kinds, found, ~shared, parameters.margin),
    }
    attributes = {
        **parameters.model_dump(include={"margin", "nearest"}),
        "sampled": len(images),
        "notes": _notes(names, kinds, shared, found),
        "coordinates": "first second first_kind second_kind measure",  # so that xarray reads them as such
    }
    return Result(variables, attributes)


LABELS = {  # what each variable is, and its unit
    "store": ("store of a run", ""),
    "kind": ("kind of the run", ""),
    "training_seed": ("seed of the first weights, -1 where it is not known", "1"),
    "array": ("array of the points of a store", ""),
    "components": ("components", "1"),
    "search_recall": ("share of the nearest neighbours that the search found", "1"),
    "measure": ("how the distance of two runs is measured", ""),
    "first": ("first store of a pair", ""),
    "second": ("second store of a pair", ""),
    "same_first_weights": ("whether both runs began with the same weights", "1"),
    "distance": ("distance of two runs", "1"),
    "distance_error": ("standard error of the distance over the sampled images", "1"),
    "first_kind": ("first of two kinds", ""),
    "second_kind": ("second of two kinds", ""),
    "first_runs": ("runs of the first kind", "1"),
    "second_runs": ("runs of the second kind", "1"),
    "left_out": ("pairs of runs of both kinds that are left out: they began with the same weights", "1"),
    "cross": ("mean distance of two runs of different kinds", "1"),
    "within_first": ("mean distance of two runs of the first kind", "1"),
    "within_second": ("mean distance of two runs of the second kind", "1"),
    "ratio": ("mean distance across kinds over that within them", "1"),
    "ratio_low": ("lower end of its 90 % interval, over runs", "1"),
    "ratio_high": ("upper end of its 90 % interval, over runs", "1"),
    "spread": ("mean distance within the second kind over that within the first", "1"),
    "spread_low": ("lower end of its 90 % interval, over runs", "1"),
    "spread_high": ("upper end of its 90 % interval, over runs", "1"),
    "verdict": ("what the interval allows to say", ""),
}

RUNS = Analysis(
    name="runs",
    version=1,
    parameters=RunsParameters,
    inputs=SeveralStores,
    compute=compare_runs,
    cost=runs_cost,
    labels=LABELS,
)


def runs(
    stores: Mapping[str, LatentStore | str] | Sequence[str],
    *,
    kind: Sequence[str] | Mapping[str, str] = (),
    sample: int = 10_000,
    nearest: int = 10,
    margin: float = 1.25,
    seed: int = 0,
    array: PointsChoice = "auto",
    **options: Unpack[Options],
) -> Dataset:
    """Compare runs of several kinds: whether other kinds are farther apart than other seeds.

    Parameters
    ----------
    stores
        Three or more, best five of each kind: opened stores by the names that they are to have in the
        result, or paths.
    kind
        Kinds and the patterns of their stores' names, as ``{"ae": "a*.zarr"}`` or ``["ae=a*.zarr"]``; by
        default the kinds that the encoders were trained as, or one kind where no store records that.
    sample
        Images, good in all stores, that are compared.
    nearest
        How many nearest neighbours of each.
    margin
        Kinds are as near as seeds where the interval of their ratio ends below this.
    seed
        Seed of the sample.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    **options
        See `Options`; the result is cached in the first store by default.

    Returns
    -------
    For every two stores, `first` and `second` (pair), five distances, `distance` (measure, pair) with their
    standard errors over the images, `distance_error`: ``cka``, 1 − linear CKA; ``map``, 1 − R² of linear
    maps on a held-out half, the mean of both directions; ``neighbours``, 1 − the share of nearest neighbours
    in common; ``spectrum``, of the covariances; ``radius``, of the distributions of radii over their means.

    For every two kinds, `first_kind` and `second_kind` (kinds), each (measure, kinds): the mean distances
    `cross`, `within_first` and `within_second`; `ratio`, of `cross` to the mean of both within, with its
    90 % interval over runs, `ratio_low` and `ratio_high`; the `verdict`, "as near as seeds" where the
    interval ends below `margin`, else "farther" where it begins above 1, else "undecided"; and `spread`, of
    the distances within the second kind to those within the first, with its interval. Pairs that began with
    the same weights, `same_first_weights` (pair), are in no mean; `left_out` (kinds) counts them. The
    attribute `notes` says what to know when reading all this.

    Raises
    ------
    UsageError
        If there are fewer than two stores, or they are of different images.
    ParameterError
        If a parameter does not fit, or a store is of no kind or of two.
    StoreError
        If a store is incomplete or damaged.
    """
    given = {
        "kind": kind,
        "sample": sample,
        "nearest": nearest,
        "margin": margin,
        "seed": seed,
        "array": array,
    }
    return call(RUNS, {"stores": stores}, given, options)


def _pair_variables(names: Sequence[str], found: Distances, shared: NDArray[np.bool_]) -> dict[str, Variable]:
    pairs = list(combinations(range(len(names)), 2))
    first, second = np.array(pairs).T
    return {
        "measure": Variable(("measure",), np.array(MEASURES, object)),
        "first": Variable(("pair",), np.array([names[at] for at in first], object)),
        "second": Variable(("pair",), np.array([names[at] for at in second], object)),
        "same_first_weights": Variable(("pair",), shared[first, second]),
        "distance": Variable(("measure", "pair"), found.values[:, first, second]),
        "distance_error": Variable(("measure", "pair"), found.errors[:, first, second]),
    }


def _kind_variables(
    kinds: Sequence[str], found: Distances, used: NDArray[np.bool_], margin: float
) -> dict[str, Variable]:
    """Compare every two kinds."""
    each = list(dict.fromkeys(kinds))
    runs_of = {kind: np.flatnonzero([own == kind for own in kinds]) for kind in each}
    pairs = list(combinations(each, 2))
    compared = [
        two_kinds(found.values, used, runs_of[a], runs_of[b], _standard_errors(runs_of[a], runs_of[b]))
        for a, b in pairs
    ]

    def stacked(of: Callable[[TwoKinds], NDArray[np.float64]]) -> Variable:
        values = [of(one) for one in compared]
        return Variable(
            ("measure", "kinds"), np.stack(values, axis=1) if values else np.empty((len(MEASURES), 0))
        )

    low, high = stacked(lambda one: one.ratio.low), stacked(lambda one: one.ratio.high)
    said = [
        [verdict_of(*ends, margin) for ends in zip(*both, strict=True)]
        for both in zip(low.values.tolist(), high.values.tolist(), strict=True)
    ]
    verdicts = np.array(said, object).reshape(low.values.shape)
    left_out = [np.count_nonzero(~used[np.ix_(runs_of[a], runs_of[b])]) for a, b in pairs]
    return {
        "first_kind": Variable(("kinds",), np.array([a for a, _ in pairs], object)),
        "second_kind": Variable(("kinds",), np.array([b for _, b in pairs], object)),
        "first_runs": Variable(("kinds",), np.array([len(runs_of[a]) for a, _ in pairs], np.int64)),
        "second_runs": Variable(("kinds",), np.array([len(runs_of[b]) for _, b in pairs], np.int64)),
        "left_out": Variable(("kinds",), np.array(left_out, np.int64)),
        "cross": stacked(lambda one: one.cross),
        "within_first": stacked(lambda one: one.within[0]),
        "within_second": stacked(lambda one: one.within[1]),
        "ratio": stacked(lambda one: one.ratio.value),
        "ratio_low": low,
        "ratio_high": high,
        "spread": stacked(lambda one: one.spread.value),
        "spread_low": stacked(lambda one: one.spread.low),
        "spread_high": stacked(lambda one: one.spread.high),
        "verdict": Variable(("measure", "kinds"), verdicts),
    }


def _standard_errors(*runs: NDArray[np.intp]) -> float:
    """Return how many standard errors an interval reaches, by the t distribution of the kind with fewer runs.

    That is cautious: the variances of both kinds are estimated, each from its own runs.
    """
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, max(min(map(len, runs)) - 1, 1)))


def _notes(
    names: Sequence[str], kinds: Sequence[str], shared: NDArray[np.bool_], found: Distances
) -> list[str]:
    """Return what a reader of the figures has to know."""
    notes = []
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    few = [f"{kind} has {count}" for kind, count in counts.items() if count < ENOUGH]
    if len(counts) < 2:
        notes.append("all stores are of one kind, so there are no kinds to compare; name kinds to do so")
    elif few:
        notes.append(
            "too few runs: at least two of each kind give a ratio, three an interval, and five are better; "
            f"{', '.join(few)}"
        )
    pairs = [f"{names[a]} and {names[b]}" for a, b in np.argwhere(np.triu(shared)).tolist()]
    if pairs:
        some = "; ".join(pairs[:NAMED]) + (f" and {len(pairs) - NAMED:,} more" if len(pairs) > NAMED else "")
        notes.append(f"left out of all means, as they began with the same weights: {some}")
    if UNKNOWN in counts:
        lacking = [name for name, kind in zip(names, kinds, strict=True) if kind == UNKNOWN]
        notes.append(f"{', '.join(lacking)}: the store does not say how its encoder was trained")
    undefined = [
        measure for measure, of in zip(MEASURES, found.values, strict=True) if not np.isfinite(of).all()
    ]
    if undefined:
        notes.append(f"not defined for some pairs, such as points that are all equal: {', '.join(undefined)}")
    return notes
