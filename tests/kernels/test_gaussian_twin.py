from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.gaussian_twin import gaussian_twin


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 3))
def test_a_twin_has_the_mean_and_the_covariance_of_any_rows(rows: int, components: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, components)) * np.geomspace(1, 5, components) + 2).astype(np.float32)
    twin = gaussian_twin(x, rng).astype(np.float64)
    assert twin.shape == x.shape
    np.testing.assert_allclose(twin.mean(axis=0), x.mean(axis=0, dtype=np.float64), atol=1e-4)
    about = [rows_ - rows_.mean(axis=0) for rows_ in (twin, x.astype(np.float64))]
    np.testing.assert_allclose(about[0].T @ about[0], about[1].T @ about[1], atol=0.02 + 1e-5 * rows)


def test_it_is_gaussian_whatever_the_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], (4000, 3))
    twin = gaussian_twin(x, rng)
    kurtosis = (twin.astype(np.float64) ** 4).mean(axis=0)
    np.testing.assert_allclose(kurtosis, 3, atol=0.3)
    assert gaussian_twin(x, np.random.default_rng(1)).tobytes() != twin.tobytes()
    assert gaussian_twin(np.ones((5, 2)), rng).tolist() == np.ones((5, 2)).tolist()
