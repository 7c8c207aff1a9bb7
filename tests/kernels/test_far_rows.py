from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.far_rows import MOST, FarRows, far_rows

MIDDLE = np.ones(3, np.float32)


def same(one: FarRows, other: FarRows) -> None:
    assert one.images.tolist() == other.images.tolist()
    assert one.squares.tolist() == other.squares.tolist()
    assert (one.count, one.largest) == (other.count, other.largest)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.floats(0, 20))
def test_any_chunking_finds_the_same_rows(lengths: list[int], limit: float) -> None:
    x = np.random.default_rng(0).standard_normal((sum(lengths), 3)).astype(np.float32)
    cuts = np.cumsum([0, *lengths])
    parts = [
        far_rows(x[start:stop], np.arange(start, stop), MIDDLE, limit)
        for start, stop in pairwise(cuts.tolist())
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    squares = ((x.astype(np.float64) - MIDDLE) ** 2).sum(axis=1)
    beyond = np.flatnonzero(squares > limit)
    assert merged.count == len(beyond)
    assert merged.largest == squares.max(initial=0)
    expected = beyond[np.argsort(-squares[beyond], kind="stable")[:MOST]]
    assert merged.images.tolist() == expected.tolist()
    if len(parts) == 4:
        a, b, c, d = parts
        same(a.merge(b).merge(c.merge(d)), merged)


def test_values_whose_squares_float32_lacks_are_told_apart() -> None:
    x = np.array([[1e-30], [3e-30], [2e25], [1e25]], np.float32)
    found = far_rows(x, np.arange(4), np.zeros(1, np.float32), 4e-60)
    assert found.images.tolist() == [2, 3, 1]
    assert found.count == 3
