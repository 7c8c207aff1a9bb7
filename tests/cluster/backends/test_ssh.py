from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latentscan.cluster.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.cluster.profiles import Profile


def test_dashboards_of_machines_reached_by_ssh_are_on_loopback_unless_the_profile_says_otherwise(
    keywords_of: Callable[[Profile], dict[str, Any]],
    written: Callable[[str], Path],
) -> None:
    pytest.importorskip("asyncssh")
    path = written(
        "profiles:\n  a: {class: dask.distributed.SSHCluster, kwargs: {hosts: [x, y]}}\n"
        "  b: {class: dask.distributed.SSHCluster, kwargs: {hosts: [x, y],\n"
        "    scheduler_options: {dashboard_address: ':1'}, worker_options: {dashboard_address: ':2'}}}\n"
    )
    for name, expected in {"a": ("127.0.0.1:8787", "127.0.0.1:0"), "b": (":1", ":2")}.items():
        keywords = keywords_of(load_profile(path, name))
        roles = (keywords["scheduler_options"], keywords["worker_options"])
        assert tuple(role["dashboard_address"] for role in roles) == expected
