"""What k-means costs, as a function of the schema, its parameters, and the number of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.kmeans.reference import MOST_ROWS
from latentscan.analyses.kmeans.training import TRIALS, WINDOW_BATCHES, Schedule, initial_rows
from latentscan.analyses.pca import PcaParameters
from latentscan.kernels.tiles import TILE_ROWS
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass

if TYPE_CHECKING:
    from latentscan.analyses.kmeans.analysis import KMeansParameters
    from latentscan.store.schema import Schema


def kmeans_cost(schema: Schema, parameters: KMeansParameters, workers: int) -> Cost:
    """Give what `kmeans` costs: choosing first centres, training, and one pass for the inertia."""
    seeds, array, width = parameters.seeds, parameters.array, schema.components * 4
    sample = min(initial_rows(max(parameters.k)), schema.images)
    centres = sum(parameters.k) * seeds
    labelled = len(parameters.labels) * seeds * schema.images * 4
    counting = one_pass(
        schema,
        (array,),
        partial_bytes=labelled,
        # the product of a tile with all centres, and these themselves in three forms
        task_bytes=5 * TILE_ROWS * centres + 3 * centres * width,
    )
    own = (
        one_pass(schema, ()),
        gathering(schema, sample, array),
        _training(schema, parameters, seeds, workers, reads=True),
        counting,
    )
    if not parameters.reference:
        return in_turn(own)
    batches = Schedule.of(schema.images, parameters.batch_rows, parameters.passes).batches
    reference = _training(schema, parameters, 1, workers, reads=False)
    evaluated = Cost(min(batches, max(1, MOST_ROWS // parameters.batch_rows)))
    return in_turn((*own, reference, evaluated)).needing(("pca", PcaParameters(array=array)))


def _training(schema: Schema, parameters: KMeansParameters, seeds: int, workers: int, *, reads: bool) -> Cost:
    """Give the cost of training: a task a group of models, each of which goes through the rows itself."""
    width = schema.components * 4
    largest, groups = max(parameters.k), min(len(parameters.k), workers)
    schedule = Schedule.of(schema.images, parameters.batch_rows, parameters.passes)
    sample = min(initial_rows(largest), schema.images)
    window = min((WINDOW_BATCHES + 1) * parameters.batch_rows + schema.chunk_rows, schema.images)
    first = sample * (3 * width + 2 * TRIALS * 8)
    models = (seeds * largest + 4 * -(-sum(parameters.k) // groups)) * width
    rows = schema.images * (width + 1) * schedule.passes * groups * seeds if reads else 0
    return Cost(seeds) + Cost(groups * seeds, rows, max(first, int(4.5 * window * width) + models))
