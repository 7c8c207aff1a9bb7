"""Any chunking equals NumPy on the whole; merging is associative and has an identity."""

from __future__ import annotations

import itertools
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.extremes import Maxima, maxima
from latentscan.kernels.histogram import Bins, Histogram, histogram
from latentscan.kernels.moments import Moments, moments
from latentscan.kernels.reduction import LatentBlock
from latentscan.kernels.statistics import Settings, StatsPartial, radii, stats_partial, unscaled_kl
from latentscan.kernels.tiles import TILE_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETTINGS = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ((1.0, 2.0), (0.0, 3.0)))


@st.composite
def cut_matrices(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[int]]:
    """A matrix, and the rows at which it is cut; cuts may coincide, so that pieces may be empty."""
    rows = draw(st.integers(1, 3 * TILE_ROWS))
    columns = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    offset = draw(st.sampled_from([0.0, 5.0, -1000.0]))
    x = (rng.standard_normal((rows, columns)) ** draw(st.sampled_from([1, 3])) + offset).astype(np.float32)
    if draw(st.booleans()):
        x[:, 0] = draw(st.sampled_from([0.0, 1.5, -3e4]))
    cuts = draw(st.lists(st.integers(0, rows), max_size=5))
    return x, [0, *sorted(cuts), rows]


def pieces(x: NDArray[Any], cuts: list[int]) -> list[NDArray[Any]]:
    return [x[a:b] for a, b in itertools.pairwise(cuts)]


@given(cut_matrices())
def test_moments_of_any_chunking_are_those_of_the_whole(case: tuple[NDArray[np.float32], list[int]]) -> None:
    x, cuts = case
    found = reduce(Moments.merge, [moments(piece) for piece in pieces(x, cuts)])
    whole = x.astype(np.float64)
    d = whole - whole.mean(axis=0)
    scale = np.maximum(np.abs(d).max(axis=0), 1e-3)
    assert found.count == len(x)
    np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-12, atol=1e-12)
    for power, value in ((2, found.m2), (3, found.m3), (4, found.m4)):
        expected = (d**power).sum(axis=0)
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-9 * len(x) * (scale**power).max())


def test_moments_of_an_off_centre_cloud_lose_no_digits() -> None:
    rng = np.random.default_rng(1)
    x = (1000 + 0.01 * rng.standard_normal((5000, 3))).astype(np.float32)
    found = moments(x)
    np.testing.assert_allclose(found.variance, x.astype(np.float64).var(axis=0), rtol=1e-10)


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


@given(cut_matrices())
def test_maxima_are_exact_and_the_first_of_equals(case: tuple[NDArray[np.float32], list[int]]) -> None:
    x, cuts = case
    images = np.arange(len(x)) * 3 + 7
    parts = [maxima(a, b) for a, b in zip(pieces(x, cuts), pieces(images, cuts), strict=True)]
    found = reduce(Maxima.merge, parts)
    np.testing.assert_array_equal(found.values, x.max(axis=0))
    np.testing.assert_array_equal(found.images, images[x.argmax(axis=0)])


@given(st.lists(st.floats(-2, 9, width=32)), st.integers(0, 50))
def test_histogram_counts_what_numpy_counts(values: list[float], cut: int) -> None:
    bins = Bins(0.5, 6.0)
    r = np.array(values, np.float64)
    found = histogram(r[:cut], bins).merge(histogram(r[cut:], bins))
    inside = r[(r >= 0) & (r < 6)]
    expected, _ = np.histogram(inside, bins=12, range=(0, 6))
    np.testing.assert_array_equal(found.counts, expected)
    assert found.underflow == np.count_nonzero(r < 0)
    assert found.overflow == np.count_nonzero(r >= 6)


def test_the_last_bin_reaches_the_upper_end_whatever_the_width() -> None:
    assert Bins(0.1, 0.3).count == 3
    assert Bins(0.3, 1.0).edges[-1] == pytest.approx(1.2)


def block(rng: np.random.Generator, start: int, rows: int, arrays: tuple[str, ...]) -> LatentBlock:
    mu = rng.standard_normal((rows, 3)).astype(np.float32)
    logvar = (rng.standard_normal((rows, 3)) * 4 - 5).astype(np.float32)
    z = (mu + np.exp(logvar / 2) * rng.standard_normal((rows, 3))).astype(np.float32)
    latents = {"mu": mu, "logvar": logvar, "z": z}
    status = (rng.random(rows) < 0.2).astype(np.uint8)
    for array in latents.values():
        array[status != 0] = np.nan
    return LatentBlock.of_rows(start, {name: latents[name] for name in arrays}, status)


def leaves(part: Any) -> list[Any]:
    """All numbers of a partial."""
    if isinstance(part, dict):
        return [leaf for value in part.values() for leaf in leaves(value)]
    if hasattr(part, "__dataclass_fields__"):
        return [leaf for name in part.__dataclass_fields__ for leaf in leaves(getattr(part, name))]
    return [] if part is None else [np.asarray(part, np.float64)]


def assert_same(one: StatsPartial, other: StatsPartial) -> None:
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 40), min_size=3, max_size=3),
    st.sampled_from([("mu", "logvar", "z"), ("z",), ("mu", "z"), ("mu", "logvar")]),
)
def test_merging_stats_is_associative_with_an_identity(
    seed: int, rows: list[int], arrays: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (stats_partial(block(rng, 100 * number, n, arrays), SETTINGS) for number, n in enumerate(rows))
    empty = stats_partial(block(rng, 0, 0, arrays), SETTINGS)
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert_same(a.merge(empty), a)
    assert_same(empty.merge(a), a)


def test_identities() -> None:
    x = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    images = np.arange(9)
    bins = Bins(0.5, 3)
    cases: list[tuple[Any, Any]] = [
        (moments(x), Moments.empty(2)),
        (maxima(x, images), Maxima.empty(2)),
        (histogram(radii(x), bins), Histogram.empty(bins)),
    ]
    for part, empty in cases:
        for merged in (part.merge(empty), empty.merge(part)):
            for a, b in zip(leaves(merged), leaves(part), strict=True):
                np.testing.assert_array_equal(a, b)


def test_kl_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(3)
    mu = rng.standard_normal((500, 4)).astype(np.float32)
    logvar = rng.standard_normal((500, 4)).astype(np.float32) - 2
    found = stats_partial(LatentBlock(np.arange(500), {"mu": mu, "logvar": logvar}), SETTINGS)
    assert found.logvar is not None
    m, v = mu.astype(np.float64), logvar.astype(np.float64)
    expected = (-0.5 * (1 + v - m**2 - np.exp(v))).mean(axis=0)
    np.testing.assert_allclose(unscaled_kl(found.moments["mu"], found.logvar), expected, rtol=1e-6)
