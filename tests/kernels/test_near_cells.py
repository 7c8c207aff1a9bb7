from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.near_cells import Cells, links, touched_cells


def pairs_in_cells(cells: Cells) -> set[tuple[int, int]]:
    found = set()
    for value in np.unique(cells.hashes):
        images = sorted(set(cells.images[cells.hashes == value].tolist()))
        found |= {(a, b) for at, a in enumerate(images) for b in images[at + 1 :]}
    return found


@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(1e-3, 0.3))
def test_every_two_near_rows_share_a_cell(seed: int, axes: int, near: float) -> None:
    x = np.random.default_rng(seed).standard_normal((60, axes))
    x[30:] = x[:30] + near * np.random.default_rng(seed + 1).uniform(-1, 1, (30, axes)) / np.sqrt(axes)
    shared = pairs_in_cells(touched_cells(x, np.arange(60), near))
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    near_pairs = {(a, b) for a, b in np.argwhere(apart <= near).tolist() if a < b}
    assert near_pairs
    assert near_pairs <= shared


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_any_chunking_touches_the_same_cells(lengths: list[int]) -> None:
    x = np.round(np.random.default_rng(0).standard_normal((sum(lengths), 2)), 1)
    cuts = np.cumsum([0, *lengths]).tolist()
    parts = [touched_cells(x[a:b], np.arange(a, b), 1e-3) for a, b in pairwise(cuts)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    whole = touched_cells(x, np.arange(len(x)), 1e-3).shared()
    assert merged.shared().hashes.tolist() == whole.hashes.tolist()
    assert merged.shared().images.tolist() == whole.images.tolist()


def test_a_share_of_very_many_cells_is_followed_whole() -> None:
    x = np.repeat(np.random.default_rng(0).standard_normal((500, 3)), 2, axis=0)
    cells = touched_cells(x, np.arange(1000), 1e-6)
    some = cells.merge(Cells(0, cells.hashes[:0], cells.images[:0]), most=300)
    assert some.level > 0
    assert 0 < len(some.hashes) <= 300
    _, counts = np.unique(some.shared().hashes, return_counts=True)
    assert (counts == 2).all()
    assert len(some.shared().hashes) == len(some.hashes)


def test_links_join_what_is_near_and_say_what_was_not_compared() -> None:
    x = np.array([[0.0], [0.1], [0.2], [7.0], [7.0], [1.0]], np.float32)
    cells = np.array([0, 0, 0, 0, 0, 9])
    found, left = links(x, cells, near=0.15)
    assert {tuple(sorted(pair)) for pair in found.tolist()} == {(0, 1), (1, 2), (3, 4)}
    assert left == 0
    found, left = links(x, cells, near=0.15, most=1)
    assert (found.tolist(), left) == ([[0, 1]], 3)
    assert links(x[:0], cells[:0], near=1.0)[0].shape == (0, 2)
