"""What the search for outliers costs, as a function of the schema and its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.neighbours.graph import indexing_cost, search_cost
from latentscan.analyses.outliers.chance import twins_of
from latentscan.kernels.nearest import PRODUCT_ROWS, TILE_DISTANCES
from latentscan.kernels.reduction import Footprint
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass

if TYPE_CHECKING:
    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.outliers.parameters import OutliersParameters

IMAGE_BYTES = 64  # of an image: its figures, and the cells that it touches
LISTS = 6


def outliers_cost(setting: Setting, parameters: OutliersParameters) -> Cost:
    """Return the cost of the figures of all images and of their lists, where there are no near-duplicates."""
    schema, array = setting.schema, parameters.points_of(setting.schema)
    sample, k = min(parameters.sample, schema.images), min(parameters.nearest, schema.images - 1)
    index = 2 * sample * schema.components * 4
    footprint = Footprint(task_bytes=index, partial_bytes=schema.images * IMAGE_BYTES)
    parts = [
        gathering(schema, sample, array),
        *[search_cost(schema, sample, k)] * twins_of(sample),
        indexing_cost(sample),
        one_pass(schema, (array,), footprint),
    ]
    if schema.images > parameters.sample:
        listed = LISTS * min(parameters.listed, schema.images)
        held = 8 * TILE_DISTANCES + 8 * PRODUCT_ROWS * schema.components
        among_all = one_pass(schema, (array,), Footprint(task_bytes=held))
        for rows in (listed, listed * k):
            parts += [gathering(schema, rows, array), among_all]
    return in_turn(parts)
