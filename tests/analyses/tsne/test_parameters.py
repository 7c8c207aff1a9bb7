from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from latentscan.analyses.tsne.parameters import TsneParameters


@pytest.mark.parametrize(
    "parameters",
    [
        {"points": 3},
        {"perplexity": 0.5},
        {"perplexity": np.inf},
        {"iterations": 0},
        {"early_exaggeration": 0},
    ],
)
def test_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        TsneParameters.model_validate(parameters)
    assert [problem["loc"] for problem in refused.value.errors()] == [tuple(parameters)]


@pytest.mark.parametrize(("perplexity", "searched"), [(5, 90), (30, 90), (31, 180), (60, 180), (61, 360)])
def test_embeddings_of_the_same_points_share_a_graph(perplexity: float, searched: int) -> None:
    assert TsneParameters(perplexity=perplexity).searched == searched
