from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.covariance import covariance
from latentscan.kernels.directions import directions, shared_moments


def rows_with_values(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.random(rows) < 0.3, rng.standard_normal(rows) + 1e3])
    values[rng.random(values.shape) < 0.2] = np.nan
    return rng.standard_normal((rows, 4)).astype(np.float32) + 50, values


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(0, 9))
def test_moments_of_any_blocks_are_those_of_numpy(lengths: list[int], seed: int) -> None:
    x, values = rows_with_values(sum(lengths), seed)
    found, start = shared_moments(x[:0], values[:0]), 0
    for length in lengths:
        found = found.merge(shared_moments(x[start : start + length], values[start : start + length]))
        start += length
    for at in range(2):
        known = ~np.isnan(values[:, at])
        assert found.count[at] == known.sum()
        if known.any():
            own, y = x[known].astype(np.float64), values[known, at]
            assert found.value[at] == pytest.approx(y.mean())
            assert found.square[at] == pytest.approx(((y - y.mean()) ** 2).sum(), abs=1e-6)
            np.testing.assert_allclose(found.mean[at], own.mean(axis=0))
            product = (y - y.mean()) @ (own - own.mean(axis=0))
            np.testing.assert_allclose(found.product[at], product, atol=1e-7 * known.sum())


def test_the_direction_is_that_of_the_pooled_covariance_within_classes_shrunk_alike() -> None:
    rng = np.random.default_rng(0)
    y = rng.random(900) < 0.3
    x = (rng.standard_normal((900, 5)) @ rng.standard_normal((5, 5)) + np.outer(y, [1, -2, 0, 3, 1])) * 10
    found = directions(covariance(x), shared_moments(x, y.astype(float)[:, None]))
    apart = x[y].mean(axis=0) - x[~y].mean(axis=0)
    within = (np.cov(x[y].T, bias=True) * y.sum() + np.cov(x[~y].T, bias=True) * (~y).sum()) / 900
    # the same shrinkage of the whole covariance: (1 - s) of it, and s of its diagonal
    share, whole = found.shrinkage[0], np.cov(x.T, bias=True)
    vector = np.linalg.solve((1 - share) * within + share * np.diag(np.diag(whole)), apart)
    np.testing.assert_allclose(found.vectors[0], vector / np.linalg.norm(vector), rtol=1e-6)
    scores = x @ found.vectors[0]
    assert found.spread[0] == pytest.approx(scores.std())
    slope = ((scores - scores.mean()) @ (x - x.mean(axis=0))) / 900 / scores.std()
    np.testing.assert_allclose(found.steps[0], slope)


def test_the_scale_of_a_component_changes_no_score() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 30))
    y = x[:, 3] + rng.standard_normal(60)
    scale = np.geomspace(1e-3, 1e3, 30)
    one = directions(covariance(x), shared_moments(x, y[:, None]))
    other = directions(covariance(x * scale), shared_moments(x * scale, y[:, None]))
    scores, scaled = x @ one.vectors[0] / one.spread[0], (x * scale) @ other.vectors[0] / other.spread[0]
    np.testing.assert_allclose(scores - scores.mean(), scaled - scaled.mean(), atol=1e-6)
    assert one.component[0] == other.component[0] == 3


def test_shrinking_helps_where_rows_are_few() -> None:
    gains = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((62, 60))
        y = x[:, 0] + rng.standard_normal(62)
        found = directions(covariance(x), shared_moments(x, y[:, None]))
        plain = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(), rcond=None)[0]
        gains.append(found.vectors[0, 0] - plain[0] / np.linalg.norm(plain))
    assert np.mean(gains) > 0.2


def test_components_that_do_not_vary_have_no_part() -> None:
    x = np.ones((50, 3))
    x[:, 1] = np.arange(50)
    found = directions(covariance(x), shared_moments(x, np.arange(50.0)[:, None]))
    np.testing.assert_allclose(found.vectors[0], [0, 1, 0])
    nothing = directions(covariance(x[:, :1]), shared_moments(x[:, :1], np.arange(50.0)[:, None]))
    assert nothing.vectors.tolist() == nothing.steps.tolist() == [[0.0]]


def test_rows_are_shrunk_the_less_the_more_there_are() -> None:
    shares = []
    for rows in (30, 3000):
        rng = np.random.default_rng(2)
        mixed = rng.standard_normal((20, 20)) / 4 + np.eye(20)
        x = rng.standard_normal((rows, 20)) @ mixed
        y = x[:, 0] + rng.standard_normal(rows)
        shares.append(directions(covariance(x), shared_moments(x, y[:, None])).shrinkage[0])
    assert shares[0] > 5 * shares[1]
    assert shares[1] < 0.05


def test_a_thin_direction_is_found_where_rows_are_many() -> None:
    rng = np.random.default_rng(3)
    thin = rng.standard_normal((5000, 2))
    x = thin @ np.array([[1, 1], [0.01, -0.01]])  # two components that nearly are one
    y = thin[:, 1] > 0.5
    found = directions(covariance(x), shared_moments(x, y.astype(float)[:, None]))
    assert abs(np.corrcoef(x @ found.vectors[0], thin[:, 1])[0, 1]) > 0.99
