from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.far_out import Figures, Nearest, Whitening, largest_expected, local_density


def test_mahalanobis_distances_are_those_of_the_inverse_covariance() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((700, 6)) @ rng.standard_normal((6, 6)) + 5
    covariance = np.cov(x.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    found = Whitening.of(x.mean(axis=0), vectors.T, values, 0.0).distances(x)
    apart = x - x.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_axes_without_width_do_not_count() -> None:
    frame = Whitening.of(np.zeros(2), np.eye(2), np.array([1.0, 1e-17]), 1e-16)
    assert frame.axes == 1
    assert frame.distances(np.array([[3.0, 1e-9]])).tolist() == [3.0]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_figures_of_any_chunking_are_the_same(lengths: list[int]) -> None:
    values = np.arange(sum(lengths), dtype=np.float32)
    cuts = np.cumsum([0, *lengths]).tolist()
    parts = [Figures(np.arange(a, b), *[values[a:b]] * 4) for a, b in pairwise(cuts)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert merged.images.tolist() == values.tolist() == merged.density.tolist()


@given(st.integers(1, 40), st.integers(1, 4))
def test_the_nearest_of_two_ranges_are_those_of_both(rows: int, k: int) -> None:
    squares = np.random.default_rng(rows).random((2, rows))
    whole = np.sort(squares, axis=1)[:, :k]

    def part(start: int, stop: int) -> Nearest:
        images, found = np.full((2, k), -1), np.full((2, k), np.inf)
        order = np.argsort(squares[:, start:stop], axis=1)[:, :k]
        images[:, : order.shape[1]] = order + start
        found[:, : order.shape[1]] = np.take_along_axis(squares[:, start:stop], order, axis=1)
        return Nearest(images, found)

    merged = part(0, rows // 2).merge(part(rows // 2, rows))
    assert merged.squares[:, : whole.shape[1]].tolist() == whole.tolist()


def test_density_does_not_depend_on_the_scale() -> None:
    own, theirs = np.array([2.0, 3.0]), np.array([[1.0, 3.0], [3.0, 3.0]])
    assert (
        local_density(own, theirs).tolist() == local_density(1e-20 * own, 1e-20 * theirs).tolist() == [1, 1]
    )


def test_the_largest_of_gaussian_values_seldom_exceeds_what_is_expected() -> None:
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(200):
        limit = largest_expected(rng.standard_normal(1000) ** 2, 50_000, 0.05)
        beyond += bool(rng.standard_normal(50_000).max() ** 2 > limit)
    assert beyond <= 20
    assert largest_expected(rng.standard_normal(1000) ** 2, 50_000, 0.05) < 60
