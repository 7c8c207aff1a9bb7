from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.histogram import Bins, Histogram, histogram

BINS = Bins(0.5, 6.0)
values = st.lists(st.floats(-2, 9, width=32) | st.sampled_from([0.0, 0.5, 6.0, np.inf, -np.inf]), max_size=40)


def numbers(found: Histogram) -> list[Any]:
    return [*found.counts.tolist(), found.underflow, found.overflow]


@given(values, st.lists(st.integers(0, 40), max_size=4))
def test_any_chunking_counts_what_numpy_counts(given_values: list[float], cuts: list[int]) -> None:
    r = np.array(given_values, np.float64)
    found = reduce(Histogram.merge, [histogram(part, BINS) for part in np.split(r, sorted(cuts))])
    inside = r[(r >= 0) & (r < 6)]
    expected, _ = np.histogram(inside, bins=12, range=(0, 6))
    np.testing.assert_array_equal(found.counts, expected)
    assert found.underflow == np.count_nonzero(r < 0)
    assert found.overflow == np.count_nonzero(r >= 6)


@given(values, values, values)
def test_merging_is_associative_and_no_values_are_the_identity(
    a: list[float], b: list[float], c: list[float]
) -> None:
    one, two, three = (histogram(np.array(part, np.float64), BINS) for part in (a, b, c))
    assert numbers(one.merge(two).merge(three)) == numbers(one.merge(two.merge(three)))
    assert numbers(one.merge(Histogram.empty(BINS))) == numbers(one)
    assert numbers(Histogram.empty(BINS).merge(one)) == numbers(one)


def test_the_last_bin_reaches_the_upper_end_whatever_the_width() -> None:
    assert Bins(0.1, 0.3).count == 3
    assert Bins(0.3, 1.0).edges[-1] == pytest.approx(1.2)


def test_the_peak_is_the_middle_of_the_fullest_bin() -> None:
    assert histogram(np.array([0.1, 0.7, 0.8, 99.0]), BINS).peak == 0.75
    assert np.isnan(histogram(np.array([-1.0]), BINS).peak)
