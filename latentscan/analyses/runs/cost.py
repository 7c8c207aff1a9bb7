"""What `runs` costs, as a function of the schemas of the stores and its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.compare.cost import side_by_side
from latentscan.analyses.neighbours.graph import search_cost
from latentscan.scan.cost import Cost, gathering, in_turn
from latentscan.store.schema import PATH_BYTES

if TYPE_CHECKING:
    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.runs.parameters import RunsParameters


def runs_cost(setting: Setting, parameters: RunsParameters) -> Cost:
    """Return what `runs` costs; its stores have to be of the same images."""
    schemas, have_paths = setting.schemas, setting.have_paths
    first = schemas[0]
    compared = [at for at in range(1, len(schemas)) if have_paths[0] and have_paths[at]]
    own = [side_by_side((first, schemas[at]), ((), ()), PATH_BYTES) for at in compared]
    own.append(side_by_side(schemas, ((),) * len(schemas), 0))
    shared = min(parameters.sample, first.images)
    for schema in schemas:
        own.append(gathering(schema, shared, parameters.points_of(schema)))
        own.append(search_cost(schema, shared, parameters.nearest))
    held = sum(shared * schema.components * 4 for schema in schemas)
    widest = max(schema.components for schema in schemas)
    work = 4 * shared * widest * 8 + 24 * widest**2 * 8  # of two clouds in float64, and their scatters
    return in_turn([*own, Cost(task_bytes=held + work)])
