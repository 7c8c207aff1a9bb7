from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latentscan.cluster.connect import connect
from latentscan.cluster.diagnostics import PACKAGES, Inspection, inspect

if TYPE_CHECKING:
    from tests.cluster.conftest import Schedulers

HERE = {**dict.fromkeys(PACKAGES, "1.0"), "python": "3.11.7"}


def inspection(there: dict[str, str | None], *workers: dict[str, str | None]) -> Inspection:
    on_workers = {f"tcp://{number}:1": {**HERE, **versions} for number, versions in enumerate(workers)}
    return Inspection("tcp://a:1", "http://a:2", False, (), {**HERE}, {**HERE, **there}, on_workers)


def test_the_same_everywhere_is_no_warning() -> None:
    assert inspection({}, {}, {"python": "3.11.9"}, {"tensorflow": None}).warnings() == []


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (inspection({"python": "3.12.1"}), "python 3.12.1 on the scheduler, 3.11.7 here"),
        (inspection({}, {"numpy": "2.0"}), "numpy 2.0 on tcp://0:1, 1.0 here"),
        (inspection({}, {"zarr": None}), "zarr is not installed on tcp://0:1: install zarr 1.0 there"),
        (
            inspection({"dask": "2"}, {"dask": "2"}, {"dask": "2"}, {}),
            "dask 2 on the scheduler, tcp://0:1 and 1 more, 1.0 here",
        ),
    ],
)
def test_what_must_match_and_does_not_is_a_warning(found: Inspection, warning: str) -> None:
    (said,) = found.warnings()
    assert said.startswith(warning)
    assert found.unlike(warning.partition(" ")[0])


def test_a_cluster_of_this_environment_matches_it(schedulers: Schedulers) -> None:
    address = schedulers.address["plain"]
    with connect(
        scheduler=address, cluster=None, profile=None, insecure=False, say=lambda _: None
    ) as cluster:
        found = inspect(cluster)
    assert (found.scheduler, found.tls, found.warnings()) == (address, False, [])
    (worker,) = found.workers
    assert (worker.threads, worker.resources) == (1, {"GPU": 1})
    assert found.here == found.there == found.on_workers[worker.address]
