from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latentscan.kernels.auc import FEW, auc, correlation, midranks


def classes(
    rng: np.random.Generator, apart: float, positive: int, negative: int
) -> tuple[np.ndarray, np.ndarray]:
    scores = rng.standard_normal(positive + negative)
    scores[:positive] += apart
    return scores, np.arange(positive + negative) < positive


def normal_cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


@given(st.lists(st.integers(-5, 5), min_size=1))
def test_midranks_are_those_of_scipy(values: list[int]) -> None:
    x = np.array(values, np.float64)
    np.testing.assert_array_equal(midranks(x), stats.rankdata(x))


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=30)
)
def test_the_auc_is_the_share_of_pairs_in_order_and_p_that_of_the_rank_sum_test(
    high: list[int], low: list[int]
) -> None:
    scores = np.array([*high, *low], np.float64)
    found = auc(scores, np.arange(len(scores)) < len(high))
    pairs = np.subtract.outer(high, low)
    assert found.value == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    if np.ptp(scores) > 0:
        test = stats.mannwhitneyu(high, low, method="asymptotic", use_continuity=False)
        assert found.p == pytest.approx(test.pvalue, rel=1e-6)
        assert 0 <= found.lower <= found.value <= found.upper <= 1 or math.isnan(found.lower)


def test_the_variance_is_delongs_by_its_definition() -> None:
    scores, positive = classes(np.random.default_rng(0), 1.0, 250, 300)
    found = auc(scores, positive)
    above = (scores[positive][:, None] > scores[~positive]).astype(float)
    error = math.sqrt(above.mean(axis=1).var(ddof=1) / 250 + above.mean(axis=0).var(ddof=1) / 300)
    a = above.mean()
    half = (math.log(found.upper / (1 - found.upper)) - math.log(found.lower / (1 - found.lower))) / 2
    assert half == pytest.approx(1.959964 * error / (a * (1 - a)))


@pytest.mark.parametrize(
    ("apart", "positive", "negative"), [(0, 60, 90), (1.5, 300, 300), (3, 20, 1000), (2, FEW, 800)]
)
def test_intervals_hold_the_true_auc_as_often_as_they_say(apart: float, positive: int, negative: int) -> None:
    rng, true, held = np.random.default_rng(1), normal_cdf(apart / math.sqrt(2)), 0
    for _ in range(200):
        found = auc(*classes(rng, apart, positive, negative))
        held += found.lower <= true <= found.upper
    assert held / 200 > 0.9


def test_chance_is_rarely_taken_for_more() -> None:
    rng = np.random.default_rng(2)
    false = sum(auc(*classes(rng, 0, 40, 70)).p < 0.05 for _ in range(300))
    assert 4 <= false <= 27


def test_classes_that_are_apart_have_an_interval_that_few_rows_leave_wide() -> None:
    few = auc(np.arange(8.0), np.arange(8) >= 4)
    many = auc(np.arange(800.0), np.arange(800) >= 400)
    assert (few.value, few.upper) == (many.value, many.upper) == (1, 1)
    assert few.lower == pytest.approx(0.025**0.25)
    assert many.lower > 0.99
    mirrored = auc(np.arange(8.0), np.arange(8) < 4)
    assert mirrored.value == 0
    assert mirrored.upper == pytest.approx(1 - few.lower)


def test_nothing_is_said_of_one_class_or_of_scores_that_are_equal() -> None:
    assert math.isnan(auc(np.arange(3.0), np.ones(3, bool)).value)
    equal = auc(np.ones(6), np.arange(6) < 3)
    assert equal.value == 0.5
    assert math.isnan(equal.lower)


@pytest.mark.parametrize("true", [0.0, 0.7])
def test_intervals_hold_the_true_correlation_as_often_as_they_say(true: float) -> None:
    rng, held = np.random.default_rng(3), 0
    for _ in range(300):
        x = rng.standard_normal(60)
        y = true * x + math.sqrt(1 - true**2) * rng.standard_normal(60)
        found = correlation(x, y)
        assert found.value == pytest.approx(np.corrcoef(x, y)[0, 1])
        held += found.lower <= true <= found.upper
    assert held / 300 > 0.91


def test_a_correlation_without_spread_or_rows_says_nothing() -> None:
    assert math.isnan(correlation(np.ones(9), np.arange(9.0)).value)
    assert math.isnan(correlation(np.arange(3.0), np.arange(3.0)).value)
    assert correlation(np.arange(9.0), -np.arange(9.0)).value == pytest.approx(-1)
