from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from latentscan.analyses.runs.parameters import RunsParameters


@pytest.mark.parametrize("kind", [["a=x*", "b=y*"], ("a=x*", "b=y*"), {"a": "x*", "b": "y*"}])
def test_kinds_are_given_as_texts_or_by_name(kind: Any) -> None:
    assert RunsParameters(kind=kind).kind == ("a=x*", "b=y*")


def test_one_kind_is_a_text() -> None:
    assert RunsParameters.model_validate({"kind": "a=x=1*"}).kind == ("a=x=1*",)


@pytest.mark.parametrize(
    "parameters",
    [
        {"kind": ["a"]},
        {"kind": ["\udcff"]},
        {"kind": ["=x"]},
        {"kind": ["a="]},
        {"margin": 1},
        {"sample": 3},
        {"nearest": 10_000},
    ],
)
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        RunsParameters.model_validate(parameters)
    assert [problem["loc"] for problem in refused.value.errors()] == [tuple(parameters)]
