"""What embeddings cost, as a function of the schema and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.neighbours.graph import indexing_cost
from latentscan.analyses.tsne.quality import QUERIES_AMONG_ALL, neighbours_of
from latentscan.analyses.tsne.transform import BATCH_IMAGES, NEIGHBOURS, batch_images
from latentscan.kernels.nearest import PRODUCT_ROWS, TILE_DISTANCES
from latentscan.kernels.reduction import Footprint
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass, ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.tsne.parameters import TsneParameters
    from latentscan.scan.rows import Points
    from latentscan.store.schema import Schema

AFFINITY_BYTES = 104  # of each neighbour of a point that is attracted by: the graph made symmetric, sorted
STATE_BYTES = 400  # of each point: its position, step and gains, and what the repulsion needs
GRID_BYTES = 116_000_000  # of an embedding that is spread far; it grows with the extent, not known before


def tsne_cost(setting: Setting, parameters: Sequence[TsneParameters]) -> Cost:
    """Return the cost of several embeddings: rows that they share, and a task each."""
    schema = setting.schema
    optimized = list(dict.fromkeys(one for one in parameters if one.is_of_sample))
    transformed = [one for one in dict.fromkeys(parameters) if one.all and not one.noise_floor]
    parts = [_transforming(schema, one) for one in transformed]
    rows: dict[tuple[Points, int], int] = {}
    graphs: dict[tuple[Points, int, int, int], None] = {}
    for one in optimized:
        points = min(one.points, schema.images)
        of = (one.points_of(schema), one.seed)
        rows[of] = max(rows.get(of, 0), points)
        graphs[*of, points, min(one.searched, points - 1)] = None
    parts += [one_pass(schema, ()) for _seed in {one.seed for one in optimized}]
    parts += [gathering(schema, points, array) for (array, _seed), points in rows.items()]
    shared = sum(points * near * 8 for _array, _seed, points, near in graphs)
    for one in optimized:
        points = min(one.points, schema.images)
        own = points * (min(one.neighbours, points - 1) * AFFINITY_BYTES + STATE_BYTES)
        parts.append(Cost(1, 0, shared + max(own, GRID_BYTES)))
    return in_turn(parts)


def _transforming(schema: Schema, parameters: TsneParameters) -> Cost:
    points, array = min(parameters.points, schema.images), parameters.points_of(schema)
    read = ranges(schema, batch_images(schema), (array,))
    held = 2 * points * schema.components * 4 + BATCH_IMAGES * NEIGHBOURS * 100
    transforming = Cost(read.tasks, read.bytes_read, read.task_bytes + held)
    looked_at = 2 * QUERIES_AMONG_ALL * (1 + neighbours_of(schema.images))
    footprint = Footprint(task_bytes=8 * TILE_DISTANCES + 8 * PRODUCT_ROWS * schema.components)
    measured = gathering(schema, looked_at, array) + one_pass(schema, (array,), footprint)
    return gathering(schema, points, array) + indexing_cost(points) + transforming + measured
