from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from latentscan.analyses.kmeans.parameters import CentresParameters, KMeansParameters
from latentscan.errors import spelled


@pytest.mark.parametrize(
    "k", ["2:8:2", [2, 4, 6, 8], (8, 6, 4, 2), range(2, 9, 2), "8,2,4,6,4", ["2:6:2", "8"]]
)
def test_ways_to_name_k(k: Any) -> None:
    assert CentresParameters(k=k).k == (2, 4, 6, 8)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"k": "0:4"}, "k"),
        ({"k": ""}, "k"),
        ({"k": "9:2"}, "k"),
        ({"k": "a:2"}, "k"),
        ({"k": "2:4:0"}, "k"),
        ({"k": "2:4:1:1"}, "k"),
        ({"k": "2,x"}, "k"),
        ({"k": 9, "batch_rows": 8}, "batch_rows"),
        ({"seeds": 0}, "seeds"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"passes": -1}, "passes"),
    ],
)
def test_impossible_parameters(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CentresParameters(**given)
    assert {problem["loc"][0] for problem in refused.value.errors()} == {field}


def test_a_batch_smaller_than_the_largest_model_says_what_to_give() -> None:
    with pytest.raises(ValidationError) as refused:
        CentresParameters(k=9, batch_rows=8)
    assert "--batch-rows 9 or more" in spelled(str(refused.value), "command line")


@pytest.mark.parametrize("labels", ["5", (4, 5), [5]])
def test_labels_are_of_models_that_are_trained(labels: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        KMeansParameters(k=4, labels=labels)
    assert [problem["loc"] for problem in refused.value.errors()] == [("labels",)]
    assert spelled(str(refused.value), "command line").count("--k, got 5") == 1
