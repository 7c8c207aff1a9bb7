from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from latentscan.kernels.adaptive import BINS, AdaptiveHistogram, adaptive_histogram

Block = NDArray[np.float32]
values = st.floats(width=32, allow_nan=False, allow_infinity=False)
blocks = arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=values)


def same(a: AdaptiveHistogram, b: AdaptiveHistogram) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("lowest", "highest", "exponents", "counts")
    )


@given(blocks, st.lists(st.integers(0, 40), max_size=4))
def test_any_chunking_gives_the_same_histogram(x: Block, cuts: list[int]) -> None:
    parts = [adaptive_histogram(part) for part in np.split(x, sorted(cut for cut in cuts if cut < len(x)))]
    assert same(reduce(AdaptiveHistogram.merge, parts), adaptive_histogram(x))


@given(blocks)
@example(np.array([[-1.0, 0.0, 0.0], [-3.3537985e-35, 0.0, 0.0]], np.float32))
def test_it_counts_like_numpy_in_bins_that_are_as_narrow_as_can_be(x: Block) -> None:
    found = adaptive_histogram(x)
    for column in range(3):
        exact = x[:, column].astype(np.float64)
        edges = found.edges[column]
        counts, _ = np.histogram(exact, np.append(edges[:-1], np.inf))  # NumPy closes the last bin
        assert found.counts[column].tolist() == counts.tolist()
        assert edges[0] <= exact.min()
        assert exact.max() < edges[-1]
        halves = np.floor(np.ldexp([exact.min(), exact.max()], 1 - int(found.exponents[column])))
        finest = np.frexp(np.abs(exact).max())[1] - 20
        spread = np.ldexp(exact.max() - exact.min(), 1 - int(found.exponents[column]))  # rounded, as here
        assert max(halves[1] - halves[0], spread) >= BINS or found.exponents[column] <= finest


@given(blocks, blocks, blocks)
def test_merging_is_associative(x: Block, y: Block, z: Block) -> None:
    a, b, c = (adaptive_histogram(part) for part in (x, y, z))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))


@given(blocks)
def test_no_values_are_the_identity(x: Block) -> None:
    found, nothing = adaptive_histogram(x), adaptive_histogram(x[:0])
    assert same(found.merge(nothing), found)
    assert same(nothing.merge(found), found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1000.0, -3e7])
def test_a_normal_cloud_far_off_keeps_its_shape(dtype: type[np.floating], offset: float) -> None:
    x = (np.random.default_rng(0).standard_normal((5000, 2)) + offset).astype(dtype)
    found = adaptive_histogram(x)
    assert found.counts.sum() == x.size
    middle = (found.edges[:, 1:] + found.edges[:, :-1]) / 2
    width = np.ldexp(1.0, found.exponents)
    mean = (middle * found.counts).sum(axis=1) / len(x)
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64), atol=width.max())


@pytest.mark.parametrize("x", [[-1023.9, -1e-45], [-1.7e38, -1e-30], [1e-42, -3e-42], [3.4e38, -3.4e38]])
def test_values_that_float32_cannot_scale(x: list[float]) -> None:
    whole = np.array(x, np.float32)[:, np.newaxis]
    found = adaptive_histogram(whole)
    assert found.counts.sum() == 2
    assert same(found, adaptive_histogram(whole[:1]).merge(adaptive_histogram(whole[1:])))
