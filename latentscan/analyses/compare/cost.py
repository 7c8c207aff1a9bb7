"""What a comparison of stores costs, as a function of their schemas and its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.neighbours.graph import search_cost
from latentscan.scan.cost import Cost, gathering, in_turn, merges, one_pass, ranges
from latentscan.store.schema import DEFAULT_CHUNK_ROWS, PATH_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.compare.parameters import CompareParameters
    from latentscan.store.schema import Schema


def compare_cost(setting: Setting, parameters: CompareParameters) -> Cost:
    """Return what `compare` costs beside the analyses of each store.

    Stores with as many images are taken to be of the same ones.
    """
    schemas, have_paths = setting.schemas, setting.have_paths
    own = [one_pass(schema, (parameters.points_of(schema),)) for schema in schemas]
    first = schemas[0]
    same = [at for at, schema in enumerate(schemas) if schema.images == first.images]
    if len(same) > 1:
        compared = [at for at in same[1:] if have_paths[0] and have_paths[at]]
        own += [side_by_side((first, schemas[at]), ((), ()), PATH_BYTES) for at in compared]
        both = [schemas[at] for at in same]
        arrays = [(parameters.points_of(schema),) for schema in both]
        own += 2 * [side_by_side(both, arrays, 0)]  # linear CKA, and its standard error
        shared = min(parameters.sample, first.images)
        for at in same if shared > parameters.nearest else ():
            own.append(gathering(schemas[at], shared, parameters.points_of(schemas[at])))
            own.append(search_cost(schemas[at], shared, parameters.nearest))
    return in_turn(own)


def side_by_side(schemas: Sequence[Schema], arrays: Sequence[Sequence[str]], row_bytes: int) -> Cost:
    """Return the cost of a pass over ranges of several stores at once.

    Parameters
    ----------
    schemas
        Of the stores.
    arrays
        Latents that are read of each, beside `status`.
    row_bytes
        What is read of each image besides.
    """
    length = max(DEFAULT_CHUNK_ROWS, *(schema.chunk_rows for schema in schemas))
    read = [
        ranges(schema, length, names, row_bytes=row_bytes)
        for schema, names in zip(schemas, arrays, strict=True)
    ]
    leaves = read[0].tasks
    return Cost(
        leaves + merges(leaves),
        sum(part.bytes_read for part in read),
        2 * sum(part.task_bytes for part in read),
    )
