from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latentscan.kernels.moments import Moments, moments
from latentscan.kernels.tiles import TILE_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIELDS = ("count", "mean", "m2", "m3", "m4")


@st.composite
def cut_blocks(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Rows, and the pieces that they are cut into; a piece may be empty."""
    rows, columns = draw(st.integers(1, 3 * TILE_ROWS)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    offset, power = draw(st.sampled_from([0.0, 5.0, -1000.0])), draw(st.sampled_from([1, 3]))
    x = (rng.standard_normal((rows, columns)) ** power + offset).astype(np.float32)
    if draw(st.booleans()):
        x[:, 0] = draw(st.sampled_from([0.0, 1.5, -3e4]))
    return x, np.split(x, sorted(draw(st.lists(st.integers(0, rows), max_size=5))))


@given(cut_blocks())
def test_any_chunking_gives_the_moments_of_the_whole(
    case: tuple[NDArray[np.float32], list[NDArray[np.float32]]],
) -> None:
    x, pieces = case
    found = reduce(Moments.merge, map(moments, pieces))
    whole = x.astype(np.float64)
    d = whole - whole.mean(axis=0)
    scale = np.maximum(np.abs(d).max(axis=0), 1e-3)
    assert found.count == len(x)
    np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-12, atol=1e-12)
    for power, value in ((2, found.m2), (3, found.m3), (4, found.m4)):
        expected = (d**power).sum(axis=0)
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-9 * len(x) * (scale**power).max())


blocks = st.integers(0, 20).flatmap(
    lambda rows: arrays(np.float32, (rows, 2), elements=st.floats(-8, 8, width=16))
)


@given(blocks, blocks, blocks)
def test_merging_is_associative_and_no_rows_are_the_identity(a: Any, b: Any, c: Any) -> None:
    one, two, three = moments(a), moments(b), moments(c)
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    for field in FIELDS:
        np.testing.assert_allclose(getattr(left, field), getattr(right, field), rtol=1e-9, atol=1e-6)
    for same in (one.merge(Moments.empty(2)), Moments.empty(2).merge(one)):
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(same, field), getattr(one, field))


def test_an_off_centre_cloud_loses_no_digits() -> None:
    rng = np.random.default_rng(1)
    x = (1000 + 0.01 * rng.standard_normal((5000, 3))).astype(np.float32)
    np.testing.assert_allclose(moments(x).variance, x.astype(np.float64).var(axis=0), rtol=1e-10)


def test_shape_of_a_gaussian_and_of_an_exponential() -> None:
    rng = np.random.default_rng(2)
    x = np.stack([rng.standard_normal(200_000), rng.exponential(size=200_000)], axis=1).astype(np.float32)
    found = moments(x)
    np.testing.assert_allclose(found.skewness, [0, 2], atol=0.1)
    np.testing.assert_allclose(found.kurtosis, [0, 6], atol=0.6)


def test_shape_of_a_constant_is_not_a_number() -> None:
    found = moments(np.full((5, 1), 3, np.float32))
    assert found.variance[0] == 0
    assert np.isnan(found.skewness[0])
    assert np.isnan(found.kurtosis[0])
