from __future__ import annotations

import itertools
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.histogram import Bins
from latentscan.kernels.reduction import LatentBlock
from latentscan.kernels.statistics import (
    Settings,
    StatsPartial,
    difference_partial,
    radii,
    stats_partial,
    unscaled_kl,
)

SETTINGS = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ((1.0, 2.0), (0.0, 3.0)))


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
    assert leaves(one)
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 40), min_size=3, max_size=3),
    st.sampled_from([("mu", "logvar", "z"), ("z",), ("mu", "z"), ("mu", "logvar")]),
)
def test_merging_is_associative_and_no_rows_are_the_identity(
    seed: int, rows: list[int], arrays: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (stats_partial(block(rng, 100 * number, n, arrays), SETTINGS) for number, n in enumerate(rows))
    empty = stats_partial(block(rng, 0, 0, arrays), SETTINGS)
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert_same(a.merge(empty), a)
    assert_same(empty.merge(a), a)


@given(st.integers(0, 2**32), st.integers(1, 80), st.lists(st.integers(0, 80), max_size=4))
def test_any_chunking_equals_numpy_on_the_whole(seed: int, rows: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    mu = rng.standard_normal((rows, 3)).astype(np.float32)
    logvar = (rng.standard_normal((rows, 3)) * 4 - 3).astype(np.float32)
    z = mu + (0.05 * rng.standard_normal((rows, 3))).astype(np.float32)
    latents = {"mu": mu, "logvar": logvar, "z": z}
    at = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    parts = [
        stats_partial(
            LatentBlock(np.arange(a, b), {name: array[a:b] for name, array in latents.items()}), SETTINGS
        )
        for a, b in itertools.pairwise(at)
    ]
    found = reduce(StatsPartial.merge, parts)
    assert found.logvar is not None
    assert found.deviation is not None
    assert found.difference is not None
    exact = logvar.astype(np.float64)
    np.testing.assert_array_equal(found.logvar.maxima.values, logvar.max(axis=0))
    np.testing.assert_array_equal(found.logvar.maxima.images, logvar.argmax(axis=0))
    np.testing.assert_array_equal(found.logvar.negated_minima.values, -logvar.min(axis=0))
    np.testing.assert_allclose(found.logvar.total, exact.sum(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        found.logvar.excess, (np.exp(exact) - exact - 1).sum(axis=0), rtol=1e-9, atol=1e-9
    )
    assert found.logvar.within == np.count_nonzero((logvar >= -3) & (logvar <= 5))
    deviation = np.abs(z - mu)
    np.testing.assert_array_equal(found.deviation.maxima.values, deviation.max(axis=0))
    np.testing.assert_array_equal(found.deviation.above, (deviation > 0.05).sum(axis=0))
    r_mu, r_z = (np.linalg.norm(x.astype(np.float64), axis=1) for x in (mu, z))
    np.testing.assert_allclose(found.radii["z"].maximum.values, r_z.max(), rtol=1e-12)
    assert found.radii["z"].within.tolist() == [
        np.count_nonzero((r_z >= 1) & (r_z < 2)),
        np.count_nonzero(r_z < 3),
    ]
    absolute = np.abs(r_z - r_mu)
    np.testing.assert_allclose(
        found.difference.maxima.values, [absolute.max(), (absolute / r_z).max()], rtol=1e-9
    )
    np.testing.assert_allclose(found.difference.total, [absolute.sum(), (absolute / r_z).sum()], rtol=1e-9)


@pytest.mark.parametrize("arrays", [("z",), ("mu",), ("mu", "logvar")])
def test_parts_whose_arrays_are_absent_are_none(arrays: tuple[str, ...]) -> None:
    found = stats_partial(block(np.random.default_rng(0), 0, 9, arrays), SETTINGS)
    assert (found.logvar is None) == ("logvar" not in arrays)
    assert found.deviation is None
    assert found.difference is None
    assert list(found.radii) == [name for name in ("mu", "z") if name in arrays]


def test_a_zero_radius_does_not_differ_relatively() -> None:
    found = difference_partial(np.array([1.0]), np.array([0.0]), np.arange(1))
    assert found.maxima.values.tolist() == [1.0, 0.0]


def test_radii_are_lengths_in_float64() -> None:
    x = np.full((600, 4), 1e-30, np.float32)
    np.testing.assert_allclose(radii(x), 2e-30, rtol=1e-6)


def test_kl_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(3)
    mu = rng.standard_normal((500, 4)).astype(np.float32)
    logvar = rng.standard_normal((500, 4)).astype(np.float32) - 2
    found = stats_partial(LatentBlock(np.arange(500), {"mu": mu, "logvar": logvar}), SETTINGS)
    assert found.logvar is not None
    m, v = mu.astype(np.float64), logvar.astype(np.float64)
    expected = (-0.5 * (1 + v - m**2 - np.exp(v))).mean(axis=0)
    np.testing.assert_allclose(unscaled_kl(found.moments["mu"], found.logvar), expected, rtol=1e-6)
