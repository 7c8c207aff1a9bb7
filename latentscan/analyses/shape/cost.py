"""What `shape` costs: a pass, the rows of the sample, and what their twins take in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.scan.cost import Cost, gathering, in_turn, one_pass

if TYPE_CHECKING:
    from latentscan.analyses.analysis import Setting
    from latentscan.analyses.shape.parameters import ShapeParameters


def shape_cost(setting: Setting, parameters: ShapeParameters) -> Cost:
    """Return the cost of the shape of a sample; twins are measured where the result is put together."""
    schema, sample = setting.schema, min(parameters.sample, setting.schema.images)
    held = sample * schema.components * (8 * 6 + 4 * 2 * parameters.twins)
    return in_turn(
        (
            one_pass(schema, ()),
            gathering(schema, sample, parameters.points_of(schema)),
            Cost(task_bytes=held),
        )
    )
