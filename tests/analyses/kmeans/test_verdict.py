from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from latentscan.analyses.kmeans.verdict import judge

K = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24])
SAMPLES = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def gap(*means: float, spread: float = 0.001) -> Any:
    """Return curves that differ by chance alone, at every k in another way."""
    orders = np.stack([np.roll(SAMPLES, k) for k in range(len(means))])
    return np.array(means)[:, None] + spread * orders * (np.array(means) != 0)[:, None]


PEAK = (0, 0.02, 0.05, 0.1, 0.3, 0.28, 0.25, 0.24, 0.23)
FLAT = (0, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.2, 0.1)
SMOOTH = (0, 0.1, 0.2, 0.27, 0.3, 0.27, 0.2, 0.1, 0.05)  # within a factor of 2, but no peak
RISING = (0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
LOW = (0, 0.001, -0.01, 0.015, 0, 0.001, 0, 0, 0)


@pytest.mark.parametrize(
    ("means", "spread", "kind"),
    [
        (PEAK, 0.001, "about"),
        (FLAT, 0.001, "no natural k"),
        (PEAK, 0.03, "no natural k"),  # the top is as flat as far as can be told
        (SMOOTH, 0.02, "no natural k"),
        (RISING, 0.001, "no natural k"),
        (LOW, 0.001, "nothing"),
        (LOW, 0.1, "nothing"),
        (PEAK, 0.2, "undecided"),
    ],
)
def test_the_verdicts(means: tuple[float, ...], spread: float, kind: str) -> None:
    assert judge(K, gap(*means, spread=spread), rows=1000, components=9).kind == kind


def test_a_range_holds_the_numbers_that_are_as_good() -> None:
    found = judge(K, gap(0, 0.1, 0.2, 0.25, 0.3, 0.2995, 0.2, 0.1, 0.1), rows=1000, components=9)
    assert (found.k, found.low, found.high, found.missing) == (6, 6, 8, "")


@pytest.mark.parametrize(("rows", "components"), [(1000, 501), (17, 9)])
def test_few_rows_say_neither_that_there_is_nothing_nor_that_it_has_no_end(
    rows: int, components: int
) -> None:
    for means in (LOW, RISING):
        found = judge(K, gap(*means), rows, components)
        assert (found.kind, found.missing) == ("undecided", "more images")
    assert judge(K, gap(*PEAK), rows, components).kind == "about"


def test_a_single_k_says_nothing() -> None:
    found = judge(np.array([1]), np.zeros((1, 5)), rows=3, components=9)
    assert (found.kind, found.k, found.missing) == ("undecided", 1, "more images")
