from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.kernels.kinds import two_kinds, verdict_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST, SECOND = np.arange(4), np.arange(4, 8)
ALL = np.ones((8, 8), bool)
T = 2.353  # Student's t of 3 degrees of freedom, of an interval of 90 %


def distances(at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(at[:, np.newaxis] - at, axis=2)[np.newaxis])


def test_the_ratio_is_that_of_means_over_different_runs() -> None:
    apart = distances(np.random.default_rng(0).standard_normal((8, 3)))
    found = two_kinds(apart, ALL, FIRST, SECOND, T)
    (first, second) = (
        apart[0][np.ix_(kind, kind)][~np.eye(4, dtype=bool)].mean() for kind in (FIRST, SECOND)
    )
    cross = apart[0][:4, 4:].mean()
    assert found.cross == pytest.approx(cross)
    assert found.within[:, 0].tolist() == pytest.approx([first, second])
    assert found.ratio.value == pytest.approx(cross / ((first + second) / 2))
    assert found.spread.value == pytest.approx(second / first)
    assert found.ratio.low < found.ratio.value < found.ratio.high


def test_the_error_is_that_of_the_jackknife_over_runs() -> None:
    apart = distances(np.random.default_rng(0).standard_normal((8, 3)))

    def log_ratio(first: NDArray[np.intp], second: NDArray[np.intp]) -> float:
        return float(np.log(two_kinds(apart, ALL, first, second, T).ratio.value[0]))

    left = [
        [log_ratio(FIRST[run != FIRST], SECOND) for run in FIRST],
        [log_ratio(FIRST, SECOND[run != SECOND]) for run in SECOND],
    ]
    error = np.sqrt(sum(3 / 4 * np.sum((np.array(part) - np.mean(part)) ** 2) for part in left))
    ratio = two_kinds(apart, ALL, FIRST, SECOND, T).ratio
    assert np.log(ratio.high / ratio.value) == pytest.approx(T * error)
    assert ratio.low * ratio.high == pytest.approx(ratio.value**2)


def test_a_scale_changes_nothing_and_order_does_not_matter() -> None:
    apart = distances(np.random.default_rng(1).standard_normal((8, 3)))
    one, other = (two_kinds(scale * apart, ALL, FIRST, SECOND, T) for scale in (1, 7))
    swapped = two_kinds(apart, ALL, SECOND[::-1], FIRST, T)
    assert other.ratio.low == pytest.approx(one.ratio.low)
    assert swapped.ratio.low == pytest.approx(one.ratio.low)
    assert swapped.spread.value == pytest.approx(1 / one.spread.value)


def test_pairs_that_are_not_used_change_nothing() -> None:
    apart = distances(np.random.default_rng(2).standard_normal((8, 3)))
    used = ALL.copy()
    used[0, 4] = used[4, 0] = False
    expected = two_kinds(apart, used, FIRST, SECOND, T)
    apart[:, 0, 4] = apart[:, 4, 0] = 1e6
    found = two_kinds(apart, used, FIRST, SECOND, T).ratio
    assert (found.low, found.high) == (expected.ratio.low, expected.ratio.high)
    assert two_kinds(apart, ALL, FIRST, SECOND, T).ratio.value > 100


@pytest.mark.parametrize(("runs", "has_ratio"), [(1, False), (2, True)])
def test_too_few_runs_have_no_interval(runs: int, has_ratio: bool) -> None:
    apart = distances(np.random.default_rng(3).standard_normal((8, 3)))
    found = two_kinds(apart, ALL, FIRST, SECOND[:runs], T).ratio
    assert np.isfinite(found.value[0]) == has_ratio
    assert np.isnan(found.low[0])
    assert np.isnan(found.high[0])


@pytest.mark.parametrize(("shift", "wrong"), [(0.0, "farther"), (np.sqrt(0.5 * 30), "as near as seeds")])
def test_false_verdicts_are_as_rare_as_the_interval_says(shift: float, wrong: str) -> None:
    """Squared distances of points in 30 dimensions, of kinds that are the same or 1.25 times as far."""
    rng = np.random.default_rng(6)
    found: list[str] = []
    for _ in range(300):
        at = rng.standard_normal((8, 30))
        at[SECOND, 0] += shift
        ratio = two_kinds(distances(at) ** 2, ALL, FIRST, SECOND, T).ratio
        found.append(verdict_of(ratio.low[0], ratio.high[0], 1.25))
    assert found.count(wrong) <= 0.05 * len(found)


def test_copies_have_no_ratio() -> None:
    apart = 1e-9 * distances(np.random.default_rng(4).standard_normal((8, 3)))
    found = two_kinds(apart, ALL, FIRST, SECOND, T)
    assert np.isnan(found.ratio.value)
    assert verdict_of(found.ratio.low[0], found.ratio.high[0], 1.25) == "undecided"
