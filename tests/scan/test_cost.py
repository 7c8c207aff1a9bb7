from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.execution.executor import FAN_IN
from latentscan.scan.cost import Cost, gathering, in_turn, latent_bytes, merges, one_pass, ranges
from latentscan.store.schema import Schema


@given(st.integers(1, 5000))
def test_merges_are_those_of_a_tree(leaves: int) -> None:
    level, count = leaves, 0
    while level > 1:
        level = len(range(0, level, FAN_IN))
        count += level
    assert merges(leaves) == count


def test_costs_in_turn_add_up_and_the_largest_task_stays() -> None:
    assert in_turn([Cost(1, 2, 3), Cost(10, 20, 1)]) == Cost(11, 22, 3)
    assert in_turn([]) == Cost()


def test_a_pass_reads_the_arrays_that_the_store_has() -> None:
    schema = Schema(100, 3, ("z",), chunk_rows=30)
    assert latent_bytes(schema, 10, ("z", "mu")) == 10 * 3 * 4
    assert one_pass(schema, ("z", "mu")) == one_pass(schema, ("z",))
    assert one_pass(schema, ("z",)).tasks == 4 + 1
    assert one_pass(schema, ()).bytes_read == 100


@given(st.integers(1, 400), st.integers(1, 120), st.integers(1, 120))
def test_ranges_read_every_block_that_they_touch(images: int, chunk_rows: int, length: int) -> None:
    schema = Schema(images, 3, ("z",), chunk_rows=chunk_rows)
    read = 0
    for start in range(0, images, length):
        touched = np.unique(np.arange(start, min(start + length, images)) // chunk_rows)
        read += sum(len(schema.rows(int(block))) for block in touched)
    found = ranges(schema, length, ("z",))
    assert found.tasks == len(range(0, images, length))
    assert found.bytes_read == read * (3 * 4 + 1)


def test_a_sample_as_large_as_the_store_is_a_pass_over_it() -> None:
    schema = Schema(1000, 3, ("z",), chunk_rows=30)
    assert gathering(schema, 5000, "z").tasks == schema.blocks
    assert gathering(schema, 5000, "z").bytes_read == latent_bytes(schema, 1000)
    few = gathering(schema, 5, "z")
    assert 1 <= few.tasks <= 5
    assert few.bytes_read == few.tasks * latent_bytes(schema, 30)
