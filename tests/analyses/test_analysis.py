from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.analysis import Analysis, Parameters, Setting, Task
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.scan.cost import Cost
from latentscan.store.results import Result, Variable
from latentscan.store.schema import Schema

if TYPE_CHECKING:
    from latentscan.analyses.inputs import OneStore


class Anything(Parameters):
    """The parameters of an analysis that only tests have."""

    size: int = 1


def _nothing(_task: Task[Anything, OneStore]) -> Result:
    return Result({"size": Variable((), np.array(1))}, {})


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"compute": _nothing, "reduction": PCA.reduction},
        {"compute": _nothing},
    ],
    ids=["no way", "two ways", "no cost"],
)
def test_an_analysis_has_one_way_to_be_computed_and_a_cost(ways: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="strange"):
        Analysis(name="strange", version=1, parameters=Anything, **ways)


def test_the_cost_of_a_reduction_follows_from_it() -> None:
    schemas = [Schema(images, 7, ("z",), chunk_rows=10) for images in (40, 80)]
    one, two = (PCA.cost_of(Setting((schema,), (True,), 1), [PcaParameters()]) for schema in schemas)
    assert (one.tasks, two.tasks) == (4 + 1, 8 + 2 + 1)  # blocks, and merges of four partials
    assert two.bytes_read == 2 * one.bytes_read == 80 * (7 * 4 + 1)
    both = PCA.cost_of(Setting((schemas[0],), (True,), 1), [PcaParameters(), PcaParameters()])
    assert both == Cost(2 * one.tasks, 2 * one.bytes_read, one.task_bytes)


def test_a_setting_of_several_stores_is_one_of_each() -> None:
    schemas = tuple(Schema(images, 7, ("z",)) for images in (40, 80))
    setting = Setting(schemas, (True, False), 3)
    assert setting.schema == schemas[0]
    assert setting.of_each_store() == (
        Setting(schemas[:1], (True,), 3),
        Setting(schemas[1:], (False,), 3),
    )


@pytest.mark.parametrize("given", [{"colour": "red"}, {"size": float("inf")}])
def test_parameters_are_known_and_finite(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Anything(**given)
    with pytest.raises(ValueError, match="frozen"):
        Anything().size = 3  # type: ignore[misc]
