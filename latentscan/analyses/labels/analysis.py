"""A direction of the latent space for each attribute, tried on images held out, and clusters beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request, count_attributes
from latentscan.analyses.functions import call
from latentscan.analyses.kmeans.centres import CENTRES
from latentscan.analyses.labels.known import known_of, row_bytes
from latentscan.analyses.labels.parameters import SEEDS, LabelsParameters
from latentscan.analyses.labels.passes import fit, parts_of, score
from latentscan.analyses.labels.tried import Tried
from latentscan.errors import TooFewImagesError
from latentscan.kernels.contingency import holm, phi, shared_information
from latentscan.kernels.directions import directions
from latentscan.kernels.reduction import Footprint
from latentscan.scan.cost import Cost, in_turn, one_pass
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.analysis import Setting, Task
    from latentscan.analyses.functions import Options
    from latentscan.analyses.inputs import OneStore
    from latentscan.kernels.directions import Directions
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.reader import LatentStore

    Floats = NDArray[np.float64]
    LabelsTask = Task[LabelsParameters, OneStore]

PERMUTATIONS = 1999  # a p-value of 1/2000 is below 5 % among 100 attributes
SCORE_BYTES = 20  # of an image held out and an attribute: both scores, and the attribute
_NO_CENTRES = np.zeros((0, 0, 0), np.float32)
ALIKE = 0.5  # phi, from which on a cluster is called an attribute


def find_labels(task: LabelsTask) -> Result:
    """Fit a direction for each attribute, try it on images held out, and compare clusters with attributes.

    Raises
    ------
    UsageError
        If the store has no attributes.
    """
    parameters, snapshot, execution = task.parameters, task.inputs.snapshot, task.execution
    array = parameters.points_of(snapshot.schema)
    known, names = known_of(snapshot)
    parts = parts_of(snapshot, parameters.held_out, parameters.seed, execution)
    fitting = fit(snapshot, array, known, parts, execution)
    found = directions(fitting.points, fitting.shared)
    binary = [at for at, one in enumerate(known) if one.measure == "binary"]
    centres, note = _NO_CENTRES, "clusters are compared with binary attributes only"
    if binary:
        centres, note = _centres(task)
    scores, counts = score(snapshot, array, known, parts, fitting.points.mean, found, centres, execution)
    tried = Tried.of(known, fitting.shared, scores, parameters.fewest)
    with_clusters = len(centres) > 0 and bool(set(binary) & set(tried.suited))
    attributes = {
        **count_attributes(counts, snapshot.schema),
        "array": array,
        "by_split": parts.by_split,
        "fitted": fitting.points.count,
        "held_out": sum(map(len, scores.values)),
        "left_out": [*tried.left_out, *(f"{name}: its texts are names" for name in names)],
        "scales": [one.name for one in known if one.kind == "integer"],
        "clusters": parameters.clusters if with_clusters else 0,
        "alike": ALIKE,
        "note": note,
    }
    variables = {
        "mean": Variable(("component",), fitting.points.mean),
        **tried.variables(),
        **_direction_variables(tried.suited, found),
    }
    if with_clusters:
        best = scores.counts[scores.inertia.argmin()]
        variables |= _cluster_variables(best, binary, tried.suited, parameters.seed)
    return Result(variables, attributes)


def _centres(task: LabelsTask) -> tuple[NDArray[np.float32], str]:
    """Return the centres of some models (model, cluster, component), or none and why."""
    parameters = task.parameters
    if not parameters.clusters:
        return _NO_CENTRES, "clusters are left out, as asked for"
    try:
        result = task.result_of(Request(CENTRES, parameters.training))
    except TooFewImagesError:
        few = f"clusters are left out: there are fewer images than {parameters.clusters:,} clusters"
        return _NO_CENTRES, few
    centres: NDArray[np.float32] = result["centres"]
    return centres.reshape(-1, parameters.clusters, centres.shape[1]), ""


def _requires(parameters: LabelsParameters) -> list[Request]:
    return [Request(CENTRES, parameters.training)] if parameters.clusters else []


def labels_cost(setting: Setting, parameters: LabelsParameters) -> Cost:
    """Return the cost of the passes that fit directions and try them."""
    schema = setting.schema
    read = (parameters.points_of(schema),)
    attributes = sum(map(len, schema.labelled.values()))
    square = schema.components * (schema.components + 2 * attributes) * 8
    block = (
        min(schema.chunk_rows, schema.images) * attributes * 16
    )  # their values, as they are read and as float64
    held = min(parameters.held_out, schema.images) * attributes * SCORE_BYTES
    split = schema.images if schema.split else 0
    more = Cost(0, 2 * (schema.images * row_bytes(schema) + split))
    first = [one_pass(schema, ()) + Cost(0, split)] if schema.split else []
    return in_turn(
        [
            *first,
            one_pass(schema, read, Footprint(copies=3, partial_bytes=2 * square, task_bytes=square + block)),
            one_pass(
                schema,
                read,
                Footprint(
                    copies=3,
                    partial_bytes=held,
                    task_bytes=block + SEEDS * parameters.clusters * schema.components * 12,
                ),
            ),
            more,
        ]
    )


VARIABLES = {  # what each variable is, and its unit
    "mean": ("mean of the points that directions are fitted on", "1"),
    "attribute": ("attribute", ""),
    "measure": ("whether the attribute is binary or continuous", ""),
    "known": ("images held out whose attribute is known", "1"),
    "having": ("images held out that have a binary attribute, -1 for a continuous one", "1"),
    "skill": ("AUC of the direction on images held out, correlation of a continuous attribute", "1"),
    "skill_interval": ("95 % interval of that", "1"),
    "p": ("p-value of that, of no relation", "1"),
    "p_holm": ("p-value after Holm, over the attributes", "1"),
    "component": ("component that is correlated most with the attribute, on images fitted on", "1"),
    "component_skill": ("AUC or correlation of that component on images held out", "1"),
    "component_interval": ("95 % interval of that", "1"),
    "direction": ("direction of length 1 along which images are scored", "1"),
    "spread": ("standard deviation of the scores", "1"),
    "shrinkage": ("share of the identity in the correlation matrix of the fit", "1"),
    "step": ("mean change of the points as the score grows by a standard deviation", "1"),
    "shared": ("share of the attribute's entropy that clusters explain, less chance", "1"),
    "shared_error": ("standard error of that share", "1"),
    "shared_chance": ("share that permuted attributes have", "1"),
    "shared_p": ("p-value of that share, by permutation", "1"),
    "shared_p_holm": ("p-value after Holm, over the attributes", "1"),
    "agreement": ("phi coefficient of a cluster and an attribute", "1"),
    "agreement_error": ("standard error of the phi coefficient", "1"),
}

LABELS = Analysis(
    name="labels",
    version=2,
    parameters=LabelsParameters,
    requires=_requires,
    compute=find_labels,
    cost=labels_cost,
    labels=VARIABLES,
    suits=lambda schema: bool(schema.labelled),
)


def labels(
    store: LatentStore,
    *,
    fewest: int = 20,
    held_out: int = 100_000,
    clusters: int = 40,
    seed: int = 0,
    array: PointsChoice = "auto",
    **options: Unpack[Options],
) -> Dataset:
    """Find a direction for each attribute of the images, and whether clusters are attributes.

    Parameters
    ----------
    store
        The latent store, of images with attributes.
    fewest
        Attributes that fewer images have, or lack, are left out.
    held_out
        Images held out whose scores are looked at, at most.
    clusters
        Clusters of k-means that are compared with binary attributes; 0 for none.
    seed
        Of the half that is held out, of k-means, and of permutations.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    **options
        See `Options`.

    Returns
    -------
    Of each `attribute`, whose `measure` is binary or continuous: its `direction` (attribute, component), of
    length 1, fitted on the images of the training where the store knows its partition, on a random half
    where not, the standard deviation of the scores, `spread`, and the `step` (attribute, component) that
    the points take on average as the score grows by one; `skill` on the images held out, the AUC of a binary
    attribute (which `having` of the `known` have) and the correlation of a continuous one, with its
    `skill_interval` (attribute, end) of 95 %, `p`, and `p_holm` over all attributes; the same of the
    `component` that is correlated most with it on the images that are fitted on, `component_skill` and
    `component_interval`. A text of few values has an attribute for each value.

    Of binary attributes and the clusters of k-means, in all images: `shared`, the mutual information as a
    share of the attribute's entropy, less its mean for permuted attributes, `shared_chance`; `shared_error`,
    `shared_p` and `shared_p_holm` (attribute); the `agreement` of each cluster with each attribute, the phi
    coefficient, and `agreement_error` (attribute, cluster). Attributes that cannot
    be tried are named in the attribute `left_out`.

    Raises
    ------
    UsageError
        If the store has no attributes.
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit.
    """
    given = {
        "fewest": fewest,
        "held_out": held_out,
        "clusters": clusters,
        "seed": seed,
        "array": array,
    }
    return call(LABELS, {"store": store}, given, options)


def _direction_variables(suited: Sequence[int], found: Directions) -> dict[str, Variable]:
    at = np.array(suited, np.int64)
    return {
        "direction": Variable(("attribute", "component"), found.vectors[at]),
        "spread": Variable(("attribute",), found.spread[at]),
        "step": Variable(("attribute", "component"), found.steps[at]),
        "component": Variable(("attribute",), found.component[at]),
        "shrinkage": Variable(("attribute",), found.shrinkage[at]),
    }


def _cluster_variables(
    counts: NDArray[np.int64], binary: Sequence[int], suited: Sequence[int], seed: int
) -> dict[str, Variable]:
    """Return how much clusters say of each attribute that is suited; NaN of those that are not binary.

    Parameters
    ----------
    counts
        Images in each cluster without and with each binary attribute, (binary attribute, cluster, 2).
    binary, suited
        Which attributes are binary, and which are suited.
    seed
        Of the permutations.
    """
    of_attribute = np.full((len(suited), 4), np.nan)
    agreement = np.full((2, len(suited), counts.shape[1]), np.nan)
    for place, at in enumerate(suited):
        if at in binary:
            own = counts[binary.index(at)]
            of_attribute[place] = shared_information(own, PERMUTATIONS, seed)
            agreement[:, place] = phi(own)
    names = ("shared", "shared_error", "shared_chance", "shared_p")
    variables = {
        name: Variable(("attribute",), of_attribute[:, column].copy()) for column, name in enumerate(names)
    }
    return {
        **variables,
        "shared_p_holm": Variable(("attribute",), holm(of_attribute[:, 3])),
        "agreement": Variable(("attribute", "cluster"), agreement[0]),
        "agreement_error": Variable(("attribute", "cluster"), agreement[1]),
    }
