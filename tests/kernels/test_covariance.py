from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentscan.kernels.covariance import (
    ROWS,
    CloudPartial,
    Covariance,
    GroupedCloud,
    cloud_partial,
    covariance,
    grouped_cloud,
    without,
)
from latentscan.kernels.intervals import GROUPS

Block = NDArray[np.float32]


@st.composite
def cut_clouds(draw: st.DrawFn) -> tuple[Block, list[int]]:
    """A correlated cloud, and the rows at which it is cut; cuts may coincide, so that pieces may be empty."""
    rows, components = draw(st.integers(1, 2 * ROWS + 10)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mixing = rng.standard_normal((components, components)) * draw(st.sampled_from([0.0, 1e-3, 1.0, 1e4]))
    offset = draw(st.sampled_from([0.0, 7.0, -1e4, 3e7]))
    x = (rng.standard_normal((rows, components)) @ mixing + offset).astype(np.float32)
    if draw(st.booleans()):
        x = x[np.argsort(x[:, 0])]
    return x, sorted(draw(st.lists(st.integers(0, rows), max_size=5)))


def exact(x: Block) -> NDArray[np.float64]:
    wide = x.astype(np.longdouble)
    d = wide - wide.mean(axis=0)
    return np.asarray(d.T @ d / len(x), np.float64)


def check(found: Covariance, x: Block) -> None:
    expected = exact(x)
    assert found.count == len(x)
    spread = np.sqrt(expected.diagonal().max())
    mean = x.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-14, atol=1e-13 * spread + 1e-300)
    assert np.abs(found.matrix - expected).max() <= 1e-12 * np.abs(expected).max() + 1e-300
    assert (found.scatter == found.scatter.T).all()


@given(cut_clouds())
def test_any_chunking_gives_the_covariance_of_the_whole(case: tuple[Block, list[int]]) -> None:
    x, cuts = case
    check(reduce(Covariance.merge, map(covariance, np.split(x, cuts))), x)


@given(cut_clouds())
def test_merging_is_associative_and_no_rows_are_the_identity(case: tuple[Block, list[int]]) -> None:
    x, _ = case
    a, b, c = (covariance(part) for part in np.array_split(x, 3))
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    scale = np.abs(left.scatter).max()
    # a mean is known to a last digit, and what is added up about two means differs by that times the spread
    rounding = 8 * np.spacing(np.abs(left.mean).max()) * np.sqrt(left.count * scale)
    np.testing.assert_allclose(left.scatter, right.scatter, rtol=0, atol=1e-12 * scale + rounding + 1e-300)
    nothing = Covariance.empty(x.shape[1])
    for found in (left.merge(nothing), nothing.merge(left)):
        assert found.scatter.tobytes() == left.scatter.tobytes()
        assert found.mean.tobytes() == left.mean.tobytes()


def test_a_cloud_far_off_loses_no_digits() -> None:
    rng = np.random.default_rng(0)
    x = (1e6 + rng.standard_normal((20_000, 16)) @ rng.standard_normal((16, 16))).astype(np.float32)
    check(reduce(Covariance.merge, map(covariance, np.array_split(x, 9))), x)
    naive = x.T @ x / len(x) - np.outer(x.mean(axis=0), x.mean(axis=0))
    assert np.abs(naive - exact(x)).max() > 0.1 * np.linalg.eigvalsh(exact(x))[-1]


@pytest.mark.parametrize("scale", [1e37, 1e25, 1e-25, 1e-41])
def test_no_square_overflows_or_vanishes(scale: float) -> None:
    x = (np.random.default_rng(0).standard_normal((100, 3)) * scale).astype(np.float32)
    check(covariance(x), x)


def test_a_row_far_out_does_not_spoil_the_others() -> None:
    x = np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float32)
    x[17] = 1e6
    found = reduce(Covariance.merge, map(covariance, np.array_split(x, 7))).matrix
    wide = x.astype(np.float64)
    singular = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.linalg.eigvalsh(found)[::-1], singular**2 / len(x), rtol=2e-6)


@given(cut_clouds())
def test_radii_are_those_of_the_rows(case: tuple[Block, list[int]]) -> None:
    x, cuts = case
    found = reduce(CloudPartial.merge, map(cloud_partial, np.split(x, cuts)))
    radii = np.linalg.norm(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(found.lengths.mean, [radii.mean(), (radii**2).mean()], rtol=1e-12)
    np.testing.assert_allclose(
        found.lengths.variance, [radii.var(), (radii**2).var()], rtol=1e-7, atol=1e-16 * radii.max() ** 4
    )
    assert found.radii.count == len(x)
    np.testing.assert_allclose(
        found.radii.quantile(np.array([0.0, 1.0])), [radii.min(), radii.max()], rtol=1e-4, atol=1e-300
    )


@given(cut_clouds(), st.integers(1, 300))
def test_groups_of_rows_together_are_the_whole(case: tuple[Block, list[int]], run: int) -> None:
    x, cuts = case
    images = np.arange(len(x)) * 2
    pieces = zip(np.split(x, cuts), np.split(images, cuts), strict=True)
    found = reduce(GroupedCloud.merge, [grouped_cloud(*piece, run) for piece in pieces])
    check(found.whole.covariance, x)
    assert found.whole.radii.count == len(x)
    for number, part in found.groups.items():
        own = images // run % GROUPS == number
        check(part.covariance, x[own])
        if not own.all():
            others = without(found.whole.covariance, part.covariance)
            assert others.count == np.count_nonzero(~own)
            scale = np.abs(exact(x)).max() * len(x) / others.count
            assert np.abs(others.matrix - exact(x[~own])).max() <= 1e-9 * scale + 1e-300
