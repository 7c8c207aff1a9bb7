from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from latentscan.analyses.compare.parameters import CompareParameters
from latentscan.analyses.kmeans.parameters import KMeansParameters
from latentscan.analyses.stats import StatsParameters
from latentscan.analyses.tsne.parameters import TsneParameters


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"sample": 10, "nearest": 10}, "nearest"),
        ({"nearest": 0}, "nearest"),
        ({"k": "9:2"}, "k"),
        ({"seed": 2**31}, "seed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_impossible_parameters(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CompareParameters.model_validate(parameters)
    assert {problem["loc"][0] for problem in refused.value.errors()} == {field}


def test_the_analyses_of_each_store_have_the_parameters_of_the_comparison() -> None:
    asked = CompareParameters(k=(2, 5), seeds=2, seed=7, array="mu", points=50, perplexity=4, upper=9)
    assert asked.of(StatsParameters) == StatsParameters(upper=9)
    assert asked.of(KMeansParameters) == KMeansParameters(k=(2, 5), seeds=2, seed=7, array="mu")
    assert asked.of(TsneParameters) == TsneParameters(points=50, perplexity=4, seed=7, array="mu")
