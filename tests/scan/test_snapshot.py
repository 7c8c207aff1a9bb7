from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latentscan.errors import StoreError
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks, write_block
from tests.builders import LATENTS, block_values, build_store, random_latents

if TYPE_CHECKING:
    from pathlib import Path


def test_a_snapshot_stays_as_it_was_while_the_store_grows(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4, blocks=(0, 2))
    before = Snapshot.of(store, allow_partial=True)
    writable = open_store(store.location, writable=True)
    write_block(writable, 1, block_values(store.schema, 1, random_latents(11, 3, LATENTS, 0)))
    after = Snapshot.of(store)
    assert (before.blocks, after.blocks) == ([0, 2], [0, 1, 2])
    assert [before.is_written(block) for block in range(3)] == [True, False, True]
    assert before.content != after.content
    assert before.content == Snapshot(store, before.digests).content


def test_the_same_rows_have_the_same_content(tmp_path: Path) -> None:
    one, same, other = (
        build_store(tmp_path / name, images=11, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert Snapshot.of(one).content == Snapshot.of(same).content != Snapshot.of(other).content


def test_what_analyses_read_beside_rows_is_part_of_the_content(tmp_path: Path) -> None:
    """Results of the same rows whose noise had another limit are not the same."""
    recorded: tuple[dict[str, Any], ...] = (
        {"epsilon_limit": 5.0},
        {"epsilon_limit": 1.0},
        {"preprocessing": {"size": 16}},
        {"seed": 7},
    )
    narrow, wide, sized, seeded = (
        Snapshot.of(build_store(tmp_path / str(number), images=11, provenance=provenance))
        for number, provenance in enumerate(recorded)
    )
    assert narrow.facts.attributes["epsilon_limit"] == 5
    assert len({narrow.content, wide.content, sized.content, seeded.content}) == 4
    assert seeded.content == Snapshot.of(build_store(tmp_path / "plain", images=11)).content


def test_too_few_blocks_are_an_error(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4)
    retract_blocks(store.location, (1,))
    with pytest.raises(StoreError, match="2 of 3 blocks"):
        Snapshot.of(store)
    assert Snapshot.of(store, allow_partial=True).blocks == [0, 2]
    retract_blocks(store.location, (0, 2))
    with pytest.raises(StoreError):
        Snapshot.of(store, allow_partial=True)


def test_a_block_is_named_by_its_images(tmp_path: Path) -> None:
    snapshot = Snapshot.of(build_store(tmp_path / "z.zarr", images=11, chunk_rows=4))
    assert snapshot.label(2) == f"{tmp_path}/z.zarr: block 2 (images 8..10)"
