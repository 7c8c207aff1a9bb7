from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import chi2, norm, wasserstein_distance

from latentscan.kernels.gaussian_core import Cut, core_squares
from latentscan.kernels.shape import (
    Principal,
    axis_distances,
    elliptical_frame,
    gride,
    nearest_squares,
    own_neighbour_shares,
    squares_to,
    tail_ratio,
)

RNG = np.random.default_rng(0)


def test_principal_axes_are_those_of_the_covariance_and_distances_stay() -> None:
    x = RNG.standard_normal((100, 4)) * [9, 3, 1, 0.5] + 50
    found = Principal.of(x)
    deviations = np.sqrt(np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1])
    assert found.deviations == pytest.approx(deviations / deviations[0])
    apart = cdist(x, x) / deviations[0]
    np.testing.assert_allclose(cdist(found.scores, found.scores), apart, rtol=1e-6)
    np.testing.assert_allclose(np.cov(found.standard(found.scores).T, bias=True), np.eye(4), atol=1e-9)


@pytest.mark.parametrize("components", [1, 5, 30])
def test_a_gaussian_has_the_tails_of_one(components: int) -> None:
    own = Principal.of(np.random.default_rng(1).standard_normal((20_000, components)))
    value, error = tail_ratio(own.standard(own.scores))
    assert value == pytest.approx(1, abs=4 * error)
    # Mardia (1970): the asymptotic variance of the kurtosis is 8 d (d + 2) / n
    assert error == pytest.approx(np.sqrt(8 / (20_000 * components * (components + 2))), rel=0.1)


@pytest.mark.parametrize("components", [1, 6])
def test_the_error_of_the_tails_is_what_they_spread_by(components: int) -> None:
    rng, found = np.random.default_rng(11), []
    for _ in range(150):
        own = Principal.of(rng.beta(2, 4, size=(500, components)))
        found.append(tail_ratio(own.standard(own.scores)))
    values, errors = np.array(found).T
    assert np.median(errors) == pytest.approx(values.std(), rel=0.25)


def test_the_distance_along_an_axis_is_that_of_scipy() -> None:
    x = np.random.default_rng(2).exponential(size=(500, 2)) - 1
    normal = norm.ppf((np.arange(500) + 0.5) / 500)
    expected = [wasserstein_distance(column, normal) for column in x.T]
    assert axis_distances(x, normal) == pytest.approx(expected)
    assert axis_distances(normal[:, np.newaxis], normal) == pytest.approx(0)


def test_own_neighbours_are_those_of_both_sets_joined() -> None:
    a, b = np.random.default_rng(3).standard_normal((2, 40, 3))
    b += 0.5
    joined = cdist(np.concatenate([a, b]), np.concatenate([a, b]))
    np.fill_diagonal(joined, np.inf)
    expected = [(np.argsort(row)[:5] < 40).mean() for row in joined[:40]]
    own = squares_to(a, a)
    np.fill_diagonal(own, np.inf)
    found = own_neighbour_shares(nearest_squares(own, 5), nearest_squares(squares_to(a, b), 5))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("n1", [1, 4, 16])
@pytest.mark.parametrize("dimension", [1, 3])
def test_the_dimension_of_a_uniform_cloud_is_found_at_every_scale(dimension: int, n1: int) -> None:
    x = np.random.default_rng(4).random((3000, dimension))
    squares = squares_to(x, x)
    np.fill_diagonal(squares, np.inf)
    near = np.sqrt(nearest_squares(squares, 2 * n1))
    inner = ((x > 0.2) & (x < 0.8)).all(axis=1)  # away from the edges
    value, error = gride(near[inner, n1 - 1], near[inner, 2 * n1 - 1], n1)
    assert value == pytest.approx(dimension, abs=0.1 * dimension)
    assert 0 < error < 0.1 * dimension


def test_two_nearest_neighbours_have_the_closed_form() -> None:
    near = np.random.default_rng(5).random(100) + 1
    far = near * np.random.default_rng(6).pareto(4, 100).clip(0.01) + near
    assert gride(near, far, 1)[0] == pytest.approx(100 / np.log(far / near).sum())


def test_rows_on_top_of_one_another_are_left_out() -> None:
    near, far = np.array([1.0, 0.0, 0.0, 1.0]), np.array([2.0, 0.0, 1.0, 1.0])
    assert gride(near, far, 1)[0] == pytest.approx(1 / np.log(2))
    assert np.isnan(gride(near[1:], far[1:], 1)[0])


def test_the_frame_of_an_elliptical_cloud_is_found_whatever_its_tails() -> None:
    rng = np.random.default_rng(7)
    widths = np.array([4.0, 2.0, 1.0])
    x = rng.standard_normal((4000, 3)) * widths / np.sqrt(rng.chisquare(1, (4000, 1)))
    root, lengths = elliptical_frame(x)
    assert np.diag(root) / root[2, 2] == pytest.approx(widths, rel=0.06)
    white = np.linalg.norm(x / widths, axis=1)
    assert (lengths / white).std() / (lengths / white).mean() < 0.06


def test_twins_with_the_same_tails_have_them() -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((2000, 5)) / np.sqrt(rng.chisquare(4, (2000, 1)))
    own = Principal.of(x)
    twin = Principal.of(own.matched(rng.standard_normal(own.scores.shape) * own.deviations))
    tails = [tail_ratio(one.standard(one.scores))[0] for one in (own, twin)]
    assert tails[1] == pytest.approx(tails[0], rel=0.2)
    assert tails[0] > 1.5


def cut(share: float, axes: int) -> Cut:
    square = chi2.ppf(share, axes)
    return Cut(square, share / chi2.cdf(square, axes + 2))


def test_the_core_of_a_contaminated_gaussian_is_found() -> None:
    rng = np.random.default_rng(9)
    x = rng.standard_normal((8000, 4))
    far = rng.random(8000) < 0.2
    x[far] *= 12
    squares = core_squares(x, cut(0.5, 4), cut(0.9, 4))
    for share in (0.25, 0.5, 0.75, 0.9):
        assert (squares <= chi2.ppf(share, 4)).mean() / share == pytest.approx(0.8, abs=0.04)


def test_a_gaussian_is_all_core() -> None:
    x = np.random.default_rng(10).standard_normal((8000, 4)) * [5, 1, 1, 0.1]
    squares = core_squares(x, cut(0.5, 4), cut(0.9, 4))
    assert np.quantile(squares, [0.25, 0.9]) == pytest.approx(chi2.ppf([0.25, 0.9], 4), rel=0.05)
