"""Tasks that fail wherever they run."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from latentscan.errors import TaskError
from latentscan.scan.snapshot import block_label
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.execution.executor import Control
    from tests.reliability.conftest import Command, Site


def test_a_damaged_chunk_is_named_as_it_is_without_a_cluster(
    site: Site, start: Callable[..., Command], latents: Path, tmp_path: Path
) -> None:

    store = shutil.copytree(latents, tmp_path / "z.zarr")
    chunk = store / "z/c/3/0"
    chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
    alone = start("stats", "--store", store)
    on_cluster = start("stats", "--store", store, "--scheduler", site.address)
    assert (alone.ended(), on_cluster.ended()) == (4, 4), on_cluster.said
    assert "z/c/3/0" in alone.said
    assert alone.said.splitlines()[-1] == on_cluster.said.splitlines()[-1]


def test_a_block_that_kills_its_workers_is_named_and_given_up(site: Site, latents: Path) -> None:
    store, deadly = open_store(str(latents)), 3

    def work(block: int, _control: Control) -> int:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return block

    # alone: what waits for the same worker dies as often, and may be named instead
    with site.connected() as cluster, pytest.raises(TaskError) as raised:
        cluster.run_tasks(work, [deadly], describe=partial(block_label, store))
    assert str(raised.value).startswith(f"{latents}: block {deadly} (images 12000..15999): 4 workers died")
