from __future__ import annotations

import numpy as np
import pytest

from latentscan.kernels.coverage import wilson
from latentscan.kernels.fragments import (
    GRID,
    LEAST_MISS,
    clustered_share,
    fragments,
    misses,
    points_between,
    usual_length,
)


def lines(count: int, seed: int, components: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return points_between(*rng.standard_normal((2, count, components)).astype(np.float32))


def test_points_lie_on_their_lines() -> None:
    points = lines(20, 0)
    assert points.shape == (20, len(GRID), 3)
    for at, place in enumerate(GRID):
        expected = (1 - place) * points[:, 0] + place * points[:, -1]
        np.testing.assert_allclose(points[:, at], expected, rtol=1e-5, atol=1e-6)


def test_a_miss_is_a_weighted_distance_over_the_median_length() -> None:
    points = lines(41, 1)
    weights = np.array([1.0, 0.25, 0.0])
    back = points + np.array([0.3, 0.8, 99.0], np.float32)
    apart = np.sqrt(((points[:, -1] - points[:, 0]) ** 2 * weights).sum(axis=1))
    assert usual_length(points, weights) == pytest.approx(np.median(apart))
    found = misses(points, back, weights)
    np.testing.assert_allclose(found, 0.5 / np.median(apart), rtol=1e-5)
    back[3, 2] = np.nan
    assert misses(points, back, weights)[3, 2] == np.inf


def test_neighbours_do_not_hide_what_lies_between_others() -> None:
    """The ends of a short line miss themselves by as much as those of a long one."""
    ends = np.zeros((300, 2), np.float32), np.tile(np.array([4, 0], np.float32), (300, 1))
    ends[1][::3] = 0.01
    points = points_between(*ends)
    back = points + np.float32(0.05) * np.random.default_rng(0).standard_normal(points.shape)
    back[:, 2] = np.where(points[:, 2] > 1, 4, points[:, 2])  # the middle of a long line is drawn to its end
    found = fragments(misses(points, back.astype(np.float32), np.ones(2)))
    assert found.share.value == pytest.approx(2 / 9, abs=0.05)
    assert found.verdict == "fragments"


def test_what_misses_itself_everywhere_alike_gets_no_verdict_of_fragments() -> None:
    verdicts = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        points = lines(300, seed)
        usual = 0.2 * np.exp(0.5 * rng.standard_normal((300, 1, 1)))  # of each line: its points are alike
        back = points + usual * rng.standard_normal(points.shape)
        found = fragments(misses(points, back.astype(np.float32), np.ones(3)))
        assert found.at_ends == pytest.approx(found.in_middle, rel=0.4)
        verdicts.append(found.verdict)
    assert verdicts.count("fragments") == 0
    assert verdicts.count("none") >= 90


def test_a_few_lines_decide_nothing() -> None:
    verdicts = [
        fragments(np.abs(np.random.default_rng(seed).standard_normal((6, 5)))).verdict for seed in range(200)
    ]
    assert "none" not in verdicts
    assert verdicts.count("fragments") <= 0.08 * len(verdicts)  # chance allows 5 %


def test_rounding_is_no_fragment() -> None:
    found = np.full((50, 5), 1e-7)
    found[:, 1:-1] *= 10
    assert fragments(found).threshold == LEAST_MISS
    assert fragments(found).share.value == 0
    found[:, 1:-1] = np.inf
    assert fragments(found).verdict == "fragments"


def test_points_of_a_line_that_are_alike_count_as_one() -> None:
    rng = np.random.default_rng(0)
    one = rng.random((200, 1)) < 0.3
    alike, alone = clustered_share(one.repeat(5, axis=1)), wilson(int(one.sum()), 200)
    assert (alike.low, alike.high) == pytest.approx((alone.low, alone.high), abs=1e-3)
    free = rng.random((200, 5)) < 0.3
    found, whole = clustered_share(free), wilson(int(free.sum()), 1000)
    assert found.high - found.low == pytest.approx(whole.high - whole.low, rel=0.1)
    assert found.high - found.low >= whole.high - whole.low - 1e-12
    none = clustered_share(np.zeros((40, 3), bool))
    assert (none.low, none.high) == (0, wilson(0, 40).high)


@pytest.mark.parametrize("alike", [0.0, 0.6])
def test_the_interval_holds_the_share_as_often_as_it_says(alike: float) -> None:
    held = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        values = np.sqrt(alike) * rng.standard_normal((120, 1))
        hits = values + np.sqrt(1 - alike) * rng.standard_normal((120, 3)) > 0.8416  # one of five
        found = clustered_share(hits)
        held += found.low <= 0.2 <= found.high
    assert 0.92 <= held / 400 <= 0.98
