from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from latentscan.kernels.adaptive import adaptive_histogram
from latentscan.kernels.moments import moments
from latentscan.kernels.normality import axes_partial, normal_distances, sampling_floor
from latentscan.kernels.reduction import LatentBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(0)
N = 20_000
SHAPES = {
    "normal": RNG.standard_normal(N),
    "far off": RNG.standard_normal(N) + 1000,
    "uniform": RNG.random(N),
    "laplace": RNG.laplace(size=N),
    "exponential": RNG.exponential(size=N),
    "peaks": RNG.standard_normal(N) + 4 * (RNG.random(N) < 0.5),
    "two points": (RNG.random(N) < 0.5).astype(float),
    "tails": RNG.standard_t(3, N),
    "one far out": np.append(RNG.standard_normal(N - 1), 50),
}


def distances(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return normal_distances(adaptive_histogram(x), moments(x))


@pytest.mark.parametrize("name", SHAPES)
def test_the_distance_is_the_wasserstein_of_the_values_themselves(name: str) -> None:
    x = SHAPES[name].astype(np.float32)
    exact = x.astype(np.float64)
    fine = norm.ppf((np.arange(8 * N) + 0.5) / (8 * N), exact.mean(), exact.std())
    expected = wasserstein_distance(exact, fine) / exact.std()
    # bins of w standard deviations hide about w²: the tails of the heaviest make bins of 0.15
    assert distances(x[:, None])[0] == pytest.approx(expected, abs=3e-3)


def test_neither_shift_nor_scale_changes_the_distance() -> None:
    x = RNG.exponential(size=(5000, 1))
    both = np.concatenate([x, 7 - 100 * x], axis=1)
    first, second = distances(both)
    assert second == pytest.approx(first, abs=2e-3)


def test_a_constant_column_has_no_distance() -> None:
    x = np.array([[3.0, 1.0], [3.0, 2.0]], np.float32)
    assert np.isnan(distances(x)).tolist() == [True, False]


@pytest.mark.parametrize("count", [30, 200, 4000])
def test_samples_of_a_gaussian_are_at_the_floor(count: int) -> None:
    found = distances(RNG.standard_normal((count, 400)))
    assert found.mean() == pytest.approx(sampling_floor(count), rel=0.08)
    assert found.max() < 2.5 * sampling_floor(count)


def test_values_at_the_ends_of_float32() -> None:
    x = np.array([[3e38, 1e-42], [-3e38, -1e-45], [0, 0]], np.float32)
    assert np.isfinite(distances(x)).all()


@given(st.lists(st.integers(0, 50), max_size=4))
def test_any_grouping_of_blocks_gives_the_same(cuts: list[int]) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 3)).astype(np.float32)

    def part(rows: NDArray[np.int64]) -> LatentBlock:
        return LatentBlock(rows, {"z": x[rows]})

    whole = axes_partial(part(np.arange(50)))
    pieces = [axes_partial(part(rows)) for rows in np.split(np.arange(50), sorted(cuts))]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged.merge(piece)
    assert merged.moments["z"].count == 50
    assert merged.histograms["z"].counts.tolist() == whole.histograms["z"].counts.tolist()
    np.testing.assert_allclose(merged.moments["z"].m4, whole.moments["z"].m4, rtol=1e-12)
