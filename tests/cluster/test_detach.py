"""Drivers on a cluster: started once for a key, with an executor of their own."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

from latentscan.cluster.connect import connect
from latentscan.cluster.detach import detach

if TYPE_CHECKING:
    from latentscan.execution.distributed import DistributedExecutor
    from tests.cluster.conftest import Schedulers

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests


def driver(cluster: DistributedExecutor, folder: str) -> None:
    found = cluster.run_tasks(lambda item, _control: 2 * item, range(3))
    Path(folder, f"begun-{time.monotonic_ns()}").touch()
    while not Path(folder, "end").exists():
        time.sleep(0.01)
    Path(folder, "found").write_text(f"{found} {cluster.patience_s} {cluster.resources} {cluster.stays}")


def wait_for(folder: Path, name: str) -> list[Path]:
    deadline = time.monotonic() + 60
    while not (found := list(folder.glob(name))):
        assert time.monotonic() < deadline, f"{name} did not appear"
        time.sleep(0.01)
    return found


def test_a_driver_outlives_its_client_and_starts_once(schedulers: Schedulers, tmp_path: Path) -> None:
    for _ in range(2):
        with connect(
            scheduler=schedulers.address["plain"],
            cluster=None,
            profile=None,
            insecure=False,
            say=lambda _: None,
        ) as cluster:
            detach(cluster, driver, str(tmp_path), key="latentscan-a-driver")
            wait_for(tmp_path, "begun-*")
    (tmp_path / "end").touch()
    (result,) = wait_for(tmp_path, "found")
    while not (text := result.read_text()):
        time.sleep(0.01)
    assert text == f"[0, 2, 4] {cluster.patience_s} {cluster.resources} True"
    assert len(list(tmp_path.glob("begun-*"))) == 1
