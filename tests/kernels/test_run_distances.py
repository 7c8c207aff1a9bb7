from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import ortho_group, wasserstein_distance

from latentscan.kernels.run_distances import (
    Distance,
    Maps,
    Shape,
    cka_distance,
    map_distance,
    radius_distance,
    spectrum_distance,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAMES = ("cka", "map", "spectrum", "radius")


def cloud(seed: int = 0, rows: int = 400, components: int = 5) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, components)) * 0.7 ** np.arange(components)


def noisy(seed: int, rows: int = 400) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 5)) * 0.7 ** np.arange(5)
    return x + 0.3 * rng.standard_normal(x.shape), x + 0.3 * rng.standard_normal(x.shape)


def all_of(x: Floats, y: Floats) -> dict[str, Distance]:
    shapes, maps = (Shape.of(x), Shape.of(y)), (Maps.of(x), Maps.of(y))
    return {
        "cka": cka_distance(x, y, shapes),
        "map": map_distance(maps[0].misfit(y), maps[1].misfit(x)),
        "spectrum": spectrum_distance(*shapes),
        "radius": radius_distance(*shapes),
    }


@pytest.mark.parametrize("name", NAMES)
def test_turned_and_scaled_copies_are_no_distance_apart(name: str) -> None:
    x = cloud()
    assert all_of(x, 3 * x @ ortho_group.rvs(5, random_state=0))[name].value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_distance_is_the_same_both_ways_and_zero_to_itself(name: str) -> None:
    x, y = cloud(0), cloud(1) ** 3
    assert all_of(x, y)[name].value == pytest.approx(all_of(y, x)[name].value)
    assert all_of(x, x)[name].value == pytest.approx(0, abs=1e-9)


def test_against_definitions() -> None:
    x, y = noisy(0)
    y = np.hstack([y, y[:, :1] ** 2])
    found = all_of(x, y)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    cka = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert found["cka"].value == pytest.approx(1 - cka)
    shares = [np.sort(np.linalg.eigvalsh(np.cov(z.T)))[::-1] / np.trace(np.cov(z.T)) for z in (x, y)]
    apart = np.linalg.norm(np.sqrt(np.append(shares[0], 0)) - np.sqrt(shares[1]))
    assert found["spectrum"].value == pytest.approx(apart)
    radii = [np.linalg.norm(z, axis=1) for z in (x, y)]
    assert found["radius"].value == pytest.approx(wasserstein_distance(*(r / r.mean() for r in radii)))


def misfit(x: Floats, y: Floats) -> float:
    design = np.column_stack([np.ones(len(x)), x])
    weights = np.linalg.lstsq(design[::2], y[::2], rcond=None)[0]
    rest, own = y[1::2] - design[1::2] @ weights, y[1::2] - y[::2].mean(axis=0)
    return float((rest**2).sum() / (own**2).sum())


def test_maps_are_those_of_least_squares_on_rows_that_they_were_not_fitted_on() -> None:
    x, y = noisy(1)
    assert Maps.of(x).misfit(y)[0] == pytest.approx(misfit(x, y))
    assert all_of(x, y)["map"].value == pytest.approx((misfit(x, y) + misfit(y, x)) / 2)


def test_a_component_that_holds_nothing_is_no_direction_of_a_map() -> None:
    x, y = noisy(2)
    wider = np.hstack([x, np.full((len(x), 1), 7.0), x[:, :1]])
    assert Maps.of(wider).misfit(y)[0] == pytest.approx(Maps.of(x).misfit(y)[0])


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_what_values_of_other_rows_spread_by(name: str) -> None:
    found = [all_of(*noisy(seed))[name] for seed in range(60)]
    spread = np.std([one.value for one in found])
    assert 0.7 * spread < np.median([one.error for one in found]) < 1.45 * spread


@pytest.mark.parametrize("points", [np.zeros((20, 3)), np.ones((20, 3)), np.eye(3)])
def test_what_is_not_defined_is_not_a_number(points: Floats) -> None:
    found: dict[str, Any] = all_of(points, points[:, ::-1])
    assert all(np.isnan(one.value) or abs(one.value) < 1e-6 or len(points) == 3 for one in found.values())
    if len(points) == 20:
        assert np.isnan(found["cka"].value)
