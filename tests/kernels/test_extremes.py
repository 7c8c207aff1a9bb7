from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latentscan.kernels.extremes import Maxima, maxima, negated_minima

if TYPE_CHECKING:
    from numpy.typing import NDArray

# so few different values that the largest one is there several times
values = st.sampled_from([-1e30, -2.0, 0.0, 0.5, 7.0])
blocks = st.tuples(st.integers(1, 60), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=values)
)
pairs = st.integers(1, 20).flatmap(lambda rows: arrays(np.float32, (rows, 2), elements=values))
cuts = st.lists(st.integers(0, 60), max_size=4)


@given(blocks, cuts)
def test_any_chunking_gives_the_first_of_the_largest(x: NDArray[np.float32], at: list[int]) -> None:
    images = np.arange(len(x)) * 3 + 7
    parts = [
        maxima(rows, numbers)
        for rows, numbers in zip(np.split(x, sorted(at)), np.split(images, sorted(at)), strict=True)
    ]
    found = reduce(Maxima.merge, parts)
    np.testing.assert_array_equal(found.values, x.max(axis=0))
    np.testing.assert_array_equal(found.images, images[x.argmax(axis=0)])


@given(blocks, cuts)
def test_minima_are_the_maxima_of_the_negated(x: NDArray[np.float32], at: list[int]) -> None:
    images = np.arange(len(x))
    parts = [
        negated_minima(rows, numbers)
        for rows, numbers in zip(np.split(x, sorted(at)), np.split(images, sorted(at)), strict=True)
    ]
    found = reduce(Maxima.merge, parts)
    np.testing.assert_array_equal(found.values, -x.min(axis=0))
    np.testing.assert_array_equal(found.images, x.argmin(axis=0))


@given(st.lists(pairs, min_size=3, max_size=3))
def test_merging_is_associative_and_no_rows_are_the_identity(parts: list[Any]) -> None:
    one, two, three = (maxima(x, np.arange(len(x)) + 100 * number) for number, x in enumerate(parts))
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    for found, expected in (
        (left, right),
        (one.merge(Maxima.empty(2)), one),
        (Maxima.empty(2).merge(one), one),
    ):
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.images, expected.images)


@pytest.mark.parametrize("kernel", [maxima, negated_minima])
def test_no_rows_have_no_image(kernel: Any) -> None:
    found = kernel(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    assert found.images.tolist() == [-1, -1, -1]
    assert np.isneginf(found.values).all()
