from __future__ import annotations

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
    set_sync, outcomes, calls = DiskStore.set_sync, [], 0

    def killed_at(last: int) -> Any:
        def set_or_die(self: DiskStore, key: str, value: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == last:
                raise KilledError
            set_sync(self, key, value)

        return set_or_die

    while "done" not in outcomes:
        build_store(tmp_path / "z.zarr", arrays=LATENTS, rejected=(5,))
        calls, last = 0, len(outcomes) + 1
        with monkeypatch.context() as patched:
            patched.setattr(DiskStore, "set_sync", killed_at(last))
            try:
                replace_rejected(store)
                outcomes.append("done")
            except KilledError:
                outcomes.append("killed")
        if repaired:
            repair_store(store.location, check_store(open_store(store.location)))
        else:
            finish_rewrites(store)
        found = check_store(open_store(store.location))
        assert (found.damages, found.unwritten, found.leftovers) == ((), (), ())
        assert files(store) in (old, whole), last
        np.testing.assert_array_equal(store.z[[4, 6, 7]], LATENTS["z"][[4, 6, 7]])
        for file, content in old.items():
            (tmp_path / "z.zarr" / file).write_bytes(content)
    assert len(outcomes) > len(store.schema.names)


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
    assert repair_store(store.location, found)
    assert int(np.count_nonzero(store.array("status")[:])) == 0
