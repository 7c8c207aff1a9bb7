"""What maps and graphs of neighbours cost, as functions of the schema and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.neighbours.graph import TASK_BLOCKS
from latentscan.analyses.neighbours.index import BLOCK, EXACT_ROWS, RECALL_QUERIES
from latentscan.analyses.pca import PcaParameters
from latentscan.analyses.tsne.transform import BATCH_IMAGES, NEIGHBOURS
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass, ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.analyses.tsne.analysis import TsneParameters
    from latentscan.store.schema import Schema

AFFINITY_BYTES = 104  # of each neighbour of a point that a map is made from: the graph made symmetric, sorted
STATE_BYTES = 400  # of each point of a map: places, steps, gains, and what the repulsion needs
GRID_BYTES = 116_000_000  # of a map that is spread far; it grows with the extent, which nobody knows before


def tsne_cost(schema: Schema, parameters: Sequence[TsneParameters], _workers: int) -> Cost:
    """Give what `tsne` costs for several maps: rows and neighbours that they share, and a task a map."""
    maps = list(dict.fromkeys(one for one in parameters if not one.all))
    placed = [one for one in dict.fromkeys(parameters) if one.all]
    parts = [_placing(schema, one) for one in placed]
    rows: dict[tuple[str, int], int] = {}
    graphs: dict[tuple[str, int, int, int], None] = {}
    for one in maps:
        points = min(one.points, schema.images)
        rows[one.array, one.seed] = max(rows.get((one.array, one.seed), 0), points)
        graphs[one.array, one.seed, points, one.searched(points)] = None
    parts += [one_pass(schema, ()) for _seed in {one.seed for one in maps}]
    parts += [gathering(schema, points, array) for (array, _seed), points in rows.items()]
    for array, _seed, points, near in graphs:
        parts += [one_pass(schema, ()), gathering(schema, points, array), search(schema, points, near)]
    shared = sum(points * near * 8 for _array, _seed, points, near in graphs)
    for one in maps:
        points = min(one.points, schema.images)
        own = points * (one.neighbours * AFFINITY_BYTES + STATE_BYTES)
        parts.append(Cost(1, 0, shared + max(own, GRID_BYTES)))
    clouds = [("pca", PcaParameters(array=array)) for array in dict.fromkeys(one.array for one in maps)]
    sampled = [("tsne", one.model_copy(update={"all": False})) for one in placed]
    return in_turn(parts).needing(*clouds, *sampled)


def search(schema: Schema, rows: int, neighbours: int) -> Cost:
    """Give the cost of the nearest neighbours of each of some rows, where the first index will do."""
    searches = -(-rows // (TASK_BLOCKS * BLOCK))
    index = 2 * rows * schema.components * 4
    found = TASK_BLOCKS * BLOCK * (neighbours + 1) * 32
    return _indexing(rows) + Cost(searches, 0, index + found)


def _indexing(rows: int) -> Cost:
    if rows <= EXACT_ROWS:
        return Cost()
    return Cost(1 + 2 * -(-RECALL_QUERIES // BLOCK))


def _placing(schema: Schema, parameters: TsneParameters) -> Cost:
    points = min(parameters.points, schema.images)
    length = BATCH_IMAGES * max(1, schema.chunk_rows // BATCH_IMAGES)
    read = ranges(schema, length, (parameters.array,))
    held = 2 * points * schema.components * 4 + BATCH_IMAGES * NEIGHBOURS * 100
    placing = Cost(read.tasks, read.bytes_read, read.task_bytes + held)
    return gathering(schema, points, parameters.array) + _indexing(points) + placing
