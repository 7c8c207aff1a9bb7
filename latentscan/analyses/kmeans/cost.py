"""What k-means costs, as a function of the schema, its parameters, and the number of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.kmeans.gap import GRID
from latentscan.analyses.kmeans.training import TRIALS, WINDOW_BATCHES, Schedule, initial_rows
from latentscan.kernels.reduction import Footprint
from latentscan.kernels.tiles import TILE_ROWS
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass

if TYPE_CHECKING:
    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.kmeans.parameters import CentresParameters, KMeansParameters


def kmeans_cost(setting: Setting, parameters: KMeansParameters) -> Cost:
    """Return the cost of the pass that counts inertia, sizes and labels of all models."""
    schema, seeds = setting.schema, parameters.seeds
    natural = max(GRID) if parameters.reference else 0  # the most that the gap may name, beside k
    centres, width = (sum(parameters.k) + natural) * seeds, schema.components * 4
    return one_pass(
        schema,
        (parameters.points_of(schema),),
        Footprint(
            partial_bytes=len(parameters.labels) * seeds * schema.images * 4 + 16 * centres,
            # the product of a tile with all centres, and these themselves in three forms
            task_bytes=5 * TILE_ROWS * centres + 3 * centres * width,
        ),
    )


def centres_cost(setting: Setting, parameters: CentresParameters) -> Cost:
    """Return the cost of choosing initial centres and training all models."""
    schema = setting.schema
    sample = min(initial_rows(max(parameters.k)), schema.images)
    return in_turn(
        (
            one_pass(schema, ()),
            gathering(schema, sample, parameters.points_of(schema)),
            _training(setting, parameters),
        )
    )


def _training(setting: Setting, parameters: CentresParameters) -> Cost:
    """Return the cost of training: a task a group of models, each of which goes through the rows itself."""
    schema, seeds = setting.schema, parameters.seeds
    width = schema.components * 4
    largest, groups = max(parameters.k), min(len(parameters.k), setting.tasks_at_once)
    schedule = Schedule.of(schema.images, parameters.batch_rows, parameters.passes)
    sample = min(initial_rows(largest), schema.images)
    window = min((WINDOW_BATCHES + 1) * parameters.batch_rows + schema.chunk_rows, schema.images)
    first = sample * (3 * width + 2 * TRIALS * 8)
    models = (seeds * largest + 4 * -(-sum(parameters.k) // groups)) * width
    rows = schema.images * (width + 1) * schedule.passes * groups * seeds
    return Cost(seeds) + Cost(groups * seeds, rows, max(first, int(4.5 * window * width) + models))
