from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentscan.scan.check import check_store, repair_store
from latentscan.store.disk_store import DiskStore
from latentscan.store.reader import LatentStore, open_store
from latentscan.store.rewrite import finish_rewrites, interrupted_rewrites, replace_block
from tests.builders import block_values, build_store, random_latents

LATENTS = random_latents(10, 3, ("mu", "logvar", "z"), seed=0)


class KilledError(BaseException):
    """The process ends here."""


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    """A store of which image 5, in block 1, was rejected."""
    build_store(tmp_path / "z.zarr", arrays=LATENTS, rejected=(5,))
    return open_store(str(tmp_path / "z.zarr"), writable=True)


def replace_rejected(store: LatentStore) -> bool:
    return replace_block(store, 1, block_values(store.schema, 1, LATENTS), store.read_digests(1))


def files(store: LatentStore) -> dict[str, bytes]:
    folder = Path(store.location)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_block_is_replaced_and_no_copy_of_it_is_left(store: LatentStore, tmp_path: Path) -> None:
    assert replace_rejected(store)
    whole = build_store(tmp_path / "whole.zarr", arrays=LATENTS)
    assert files(store) == files(whole)
    assert not (tmp_path / "z.zarr" / "rewrites").exists()
    assert finish_rewrites(store) == []


def test_a_block_that_another_has_written_is_left_as_it_is(store: LatentStore) -> None:
    old = store.read_digests(1)
    assert replace_rejected(store)
    before = files(store)
    assert not replace_block(store, 1, block_values(store.schema, 1, LATENTS, rejected=(4, 5)), old)
    assert files(store) == before


@pytest.mark.parametrize("repaired", [False, True])
def test_no_kill_loses_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: LatentStore, repaired: bool
) -> None:
    old, whole = files(store), files(build_store(tmp_path / "whole.zarr", arrays=LATENTS))
    set_sync, one_at_a_time = DiskStore.set_sync, threading.Lock()
    outcomes: list[str] = []
    while "done" not in outcomes:
        left = len(outcomes)  # so many files are written before the kill

        def set_or_die(self: DiskStore, key: str, value: Any) -> None:
            nonlocal left
            with one_at_a_time:  # no thread of a killed process goes on
                if left == 0:
                    raise KilledError
                left -= 1
                set_sync(self, key, value)

        with monkeypatch.context() as patched:
            patched.setattr(DiskStore, "set_sync", set_or_die)
            try:
                replace_rejected(store)
                outcomes.append("done")
            except KilledError:
                outcomes.append("killed")
        if repaired:
            repair_store(store.location, check_store(open_store(store.location)))
        else:
            finish_rewrites(store)
        found = files(store)
        assert found in (old, whole)
        outcomes[-1] += " new" if found == whole and outcomes[-1] == "killed" else ""
        for file, content in old.items():
            (tmp_path / "z.zarr" / file).write_bytes(content)
    arrays = len(store.schema.names)
    assert outcomes == ["killed"] * (2 * arrays + 1) + ["killed new"] * (arrays + 1) + ["done"]


def test_a_check_names_the_copy_of_a_block(store: LatentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KilledError

    monkeypatch.setattr("latentscan.store.rewrite.write_block", killed)
    with pytest.raises(KilledError):
        replace_rejected(store)
    monkeypatch.undo()
    assert interrupted_rewrites(store) == [1]
    found = check_store(open_store(store.location))
    assert (found.damages, found.leftovers) == ((), ("rewrites/1",))
    assert repair_store(store.location, found) == [
        "blocks that were being replaced are written to their end: 1",
        "what killed writers left is removed",
    ]
    assert int(np.count_nonzero(store.array("status")[:])) == 0
