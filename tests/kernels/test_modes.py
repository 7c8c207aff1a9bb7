from __future__ import annotations

import numpy as np
import pytest

from latentscan.kernels.adaptive import adaptive_histogram
from latentscan.kernels.modes import SIGMAS, deepest_valleys


@pytest.mark.parametrize("rows", [50, 1000, 8000])
@pytest.mark.parametrize("shape", ["gaussian", "uniform", "exponential", "laplace", "cauchy", "constant"])
def test_a_single_peak_of_any_shape_has_no_valley(shape: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    size = (rows, 100)
    x = {
        "gaussian": rng.standard_normal(size),
        "uniform": rng.random(size),
        "exponential": rng.exponential(size=size),
        "laplace": rng.laplace(size=size),
        "cauchy": rng.standard_cauchy(size),
        "constant": np.ones(size),
    }[shape]
    assert deepest_valleys(adaptive_histogram(x)).score.max() < SIGMAS


@pytest.mark.parametrize(("share", "apart"), [(0.5, 5), (0.1, 6), (0.02, 8)])
def test_two_groups_have_one_between_them(share: float, apart: float) -> None:
    x = np.random.default_rng(0).standard_normal((20_000, 2))
    x[: int(20_000 * share), 1] += apart
    found = deepest_valleys(adaptive_histogram(x))
    assert (found.score > SIGMAS).tolist() == [False, True]
    assert 1.2 < found.position[1] < apart
    assert found.share[1] == pytest.approx(share, rel=0.1)
