"""What a comparison of stores costs, as a function of their schemas and its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.kmeans.analysis import KMeansParameters
from latentscan.analyses.stats import StatsParameters
from latentscan.analyses.tsne.analysis import TsneParameters
from latentscan.analyses.tsne.cost import search
from latentscan.scan.cost import PATH_BYTES, Cost, gathering, in_turn, merges, one_pass, ranges
from latentscan.store.schema import DEFAULT_CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from latentscan.analyses.compare.analysis import CompareParameters
    from latentscan.store.schema import Schema


def compare_cost(
    schemas: Sequence[Schema], with_paths: Sequence[bool], parameters: CompareParameters
) -> Cost:
    """Give what `compare` costs beside the analyses of each store.

    Parameters
    ----------
    schemas
        Those of the stores; where they have as many images, they are taken to be the same.
    with_paths
        Whether each store knows the paths of its images.
    """
    own = [one_pass(schema, (parameters.array,)) for schema in schemas]
    first = schemas[0]
    same = [place for place, schema in enumerate(schemas) if schema.images == first.images]
    if len(same) > 1:
        compared = [place for place in same[1:] if with_paths[0] and with_paths[place]]
        own += [_side_by_side((first, schemas[place]), (), PATH_BYTES) for place in compared]
        own.append(_side_by_side([schemas[place] for place in same], (parameters.array,), 0))
        shared = min(parameters.sample, first.images)
        for place in same if shared > parameters.nearest else ():
            own.append(gathering(schemas[place], shared, parameters.array))
            own.append(search(schemas[place], shared, parameters.nearest))
    return in_turn(own).needing(*_of_each(parameters))


def _of_each(parameters: CompareParameters) -> list[tuple[str, BaseModel]]:
    """Give the analyses of each store that go into a comparison."""
    values = parameters.model_dump()
    models: dict[str, type[BaseModel]] = {"stats": StatsParameters}
    if parameters.kmeans:
        models["kmeans"] = KMeansParameters
    if parameters.tsne:
        models["tsne"] = TsneParameters
    return [
        (name, model(**{field: values[field] for field in model.model_fields}))
        for name, model in models.items()
    ]


def _side_by_side(schemas: Sequence[Schema], arrays: Sequence[str], row_bytes: int) -> Cost:
    length = max(DEFAULT_CHUNK_ROWS, *(schema.chunk_rows for schema in schemas))
    read = [ranges(schema, length, arrays, row_bytes=row_bytes) for schema in schemas]
    leaves = read[0].tasks
    return Cost(
        leaves + merges(leaves),
        sum(part.bytes_read for part in read),
        2 * sum(part.task_bytes for part in read),
    )
