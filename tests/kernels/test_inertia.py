from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.frame import Frame
from latentscan.kernels.inertia import InertiaPartial, Models, inertia_partial

COUNTS = (3, 1, 5)


def points(rows: int, offset: float = 0.0) -> Any:
    return (np.random.default_rng(0).standard_normal((rows, 4)) + offset).astype(np.float32)


def models(offset: float = 0.0, scale: float = 1.0, exponent: int = 0) -> Models:
    centres = np.random.default_rng(1).standard_normal((sum(COUNTS), 4)) + offset
    frame = Frame(np.full(4, scale * offset, np.float32), exponent)
    return Models.of((scale * centres).astype(np.float32), COUNTS, frame)


def expected(x: Any, prepared: Models) -> tuple[Any, Any]:
    """Squared distances (row, model) and labels, one by one in float64."""
    centres = prepared.frame.outside(prepared.centres)
    distances, labels = [], []
    for start, stop in pairwise(prepared.starts.tolist()):
        squares = ((x.astype(np.float64)[:, None] - centres[start:stop]) ** 2).sum(axis=2)
        distances.append(squares.min(axis=1))
        labels.append(squares.argmin(axis=1))
    return np.stack(distances, axis=1), np.stack(labels, axis=1)


def same(a: InertiaPartial, b: InertiaPartial) -> None:
    for field in fields(a):
        np.testing.assert_allclose(getattr(a, field.name), getattr(b, field.name), rtol=1e-12, atol=1e-9)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=5))
def test_any_chunking_equals_numpy_on_the_whole(lengths: list[int]) -> None:
    x, prepared = points(sum(lengths)), models()
    cuts = np.cumsum([0, *lengths])
    parts = [
        inertia_partial(x[start:stop], np.arange(start, stop), prepared, labelled=[0, 2])
        for start, stop in pairwise(cuts.tolist())
    ]
    found = parts[0]
    for part in parts[1:]:
        found = found.merge(part)
    distances, labels = expected(x, prepared)
    assert found.rows == len(x)
    np.testing.assert_allclose(found.inertia, distances.sum(axis=0), rtol=1e-6)
    sizes = [np.bincount(column, minlength=k) for column, k in zip(labels.T, COUNTS, strict=True)]
    assert found.sizes.tolist() == np.concatenate(sizes).tolist()
    first = [
        next((row for row in range(len(x)) if column[row] == centre), -1)
        for column, k in zip(labels.T, COUNTS, strict=True)
        for centre in range(k)
    ]
    assert found.members.tolist() == first
    assert found.images.tolist() == list(range(len(x)))
    assert found.labels.tolist() == labels[:, [0, 2]].tolist()
    if len(x):
        spread = ((x - x.mean(axis=0, dtype=np.float64)) ** 2).sum()
        np.testing.assert_allclose(found.total_inertia, spread, rtol=1e-6, atol=1e-6)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_merging_is_associative_and_has_an_identity(first: int, second: int, third: int) -> None:
    x, prepared = points(first + second + third), models()
    a, b, c = (
        inertia_partial(part, np.arange(len(part)), prepared, labelled=[1])
        for part in np.split(x, [first, first + second])
    )
    same(a.merge(b).merge(c), a.merge(b.merge(c)))
    none = inertia_partial(x[:0], np.arange(0), prepared, labelled=[1])
    same(a.merge(none), a)
    same(none.merge(a), a)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_cloud_far_from_the_origin_loses_no_digits(offset: float) -> None:
    x, prepared = points(1000, offset), models(offset)
    distances, _ = expected(x, prepared)
    found = inertia_partial(x, np.arange(1000), prepared)
    np.testing.assert_allclose(found.inertia, distances.sum(axis=0), rtol=1e-6)


def test_tight_clusters_far_apart_lose_no_digits() -> None:
    rng = np.random.default_rng(2)
    centres = 100 * rng.standard_normal((3, 50)).astype(np.float32)
    x = np.repeat(centres, 100, axis=0) + 1e-3 * rng.standard_normal((300, 50)).astype(np.float32)
    prepared = Models.of(centres, [3], Frame(np.zeros(50, np.float32)))
    found = inertia_partial(x, np.arange(300), prepared)
    exact = ((x.astype(np.float64) - np.repeat(centres, 100, axis=0)) ** 2).sum()
    np.testing.assert_allclose(found.inertia[0], exact, rtol=1e-5)
    assert found.sizes.tolist() == [100, 100, 100]


def test_a_row_at_a_centre_is_at_no_distance() -> None:
    centres = points(7, 50.0)
    prepared = Models.of(centres, [7], Frame(np.zeros(4, np.float32)))
    assert inertia_partial(centres, np.arange(7), prepared).inertia.tolist() == [0.0]


@pytest.mark.parametrize("exponent", [-140, -80, -30, 40])
def test_values_of_any_size_have_the_inertia_of_the_same_digits(exponent: int) -> None:
    scale = 2.0**exponent
    x = np.ldexp(points(500), exponent)
    held = models(scale=scale, exponent=exponent)
    distances, labels = expected(x, held)
    found = inertia_partial(x, np.arange(500), held, labelled=[0, 1, 2])
    np.testing.assert_allclose(found.inertia, distances.sum(axis=0), rtol=1e-6)
    assert found.labels.tolist() == labels.tolist()
    spread = ((x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)) ** 2).sum()
    np.testing.assert_allclose(found.total_inertia, spread, rtol=1e-6)


def test_the_inertia_of_one_point_many_times_is_never_below_0() -> None:
    x = np.full((999, 4), 0.1, np.float32)
    prepared = Models.of(x[:1], [1], Frame(np.zeros(4, np.float32)))
    found = inertia_partial(x, np.arange(999), prepared)
    assert found.inertia[0] >= 0
    assert 0 <= found.total_inertia < 1e-4


def test_a_row_far_out_does_not_blur_the_others() -> None:
    x = points(400)
    x[7] = [1e6, 0, 0, 0]
    centres = np.concatenate([models().centres[:3], x[7:8]])
    prepared = Models.of(centres, [4], Frame(np.zeros(4, np.float32)))
    distances, _ = expected(x, prepared)
    found = inertia_partial(x, np.arange(400), prepared)
    np.testing.assert_allclose(found.inertia[0], distances.sum(), rtol=1e-6)
    assert (found.sizes[3], found.members[3]) == (1, 7)
