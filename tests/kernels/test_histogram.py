from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.histogram import (
    Bins,
    Histogram,
    RelativeHistogram,
    even_edges,
    histogram,
    relative_histogram,
)

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


radii = st.lists(
    st.floats(0, 1e6) | st.floats(0, 1e-30) | st.sampled_from([0.0, 1e38]), min_size=1, max_size=60
)


@given(radii, st.lists(st.integers(0, 60), max_size=4))
def test_any_chunking_has_the_quantiles_of_the_whole(given_values: list[float], cuts: list[int]) -> None:
    r = np.array(given_values, np.float64)
    found = reduce(RelativeHistogram.merge, map(relative_histogram, np.split(r, sorted(cuts))))
    whole = relative_histogram(r)
    assert found.bins.tolist() == whole.bins.tolist()
    assert found.counts.tolist() == whole.counts.tolist()
    shares = np.array([0.0, 0.3, 0.5, 0.999, 1.0])
    expected = np.quantile(r, shares, method="inverted_cdf")
    np.testing.assert_allclose(found.quantile(shares), expected, rtol=2.0**-13, atol=1e-307)
    assert found.merge(RelativeHistogram.empty()).bins.tolist() == whole.bins.tolist()
    edges, below = found.curve
    assert (below[0], below[-1]) == (0, 1)
    assert edges[0] <= r.min() < edges[-1]
    half = relative_histogram(r[: len(r) // 2])
    assert found.without(half).count == len(r) - len(r) // 2


@given(st.floats(0, 1e3), st.floats(1e-3, 1e3), st.integers(3, 300))
def test_even_bins_count_what_numpy_counts(low: float, span: float, most: int) -> None:
    values = low + span * np.random.default_rng(0).random(200)
    edges = even_edges(low, low + span, most)
    counts = relative_histogram(values).counts_in(edges)
    assert counts[1:-1].tolist() == np.histogram(values, edges)[0].tolist()
    assert len(edges) <= 2 * most + 3
    assert edges[0] <= low
    assert edges[-1] > low + span
    assert counts.sum() == 200
