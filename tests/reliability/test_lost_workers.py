"""Workers that die or stop in the middle of work, real processes all of them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from latentscan.cluster.profiles import SchedulerAddress
from latentscan.errors import ClusterError
from tests.reliability.conftest import PATIENCE_S, STOPPED_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.execution.executor import Control
    from tests.reliability.conftest import Command, Frozen, Site

WITHIN_S = 60.0


@pytest.mark.parametrize(
    ("analysis", "middle"),
    [("kmeans", {"amount": 5}), ("tsne", {"number": 12})],
    ids=["training", "search for neighbours"],
)
def test_what_a_killed_worker_was_at_is_done_by_others(
    analysis: str,
    middle: dict[str, int],
    site: Site,
    analyse: Callable[..., Command],
    undisturbed: Callable[[str], dict[str, str]],
    numbers: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    command = analyse(analysis, tmp_path / "found", "--scheduler", site.address)
    os.kill(site.stop_at_work(command, **middle), signal.SIGKILL)
    assert command.ended() == 0, command.said
    assert numbers(tmp_path / "found") == undisturbed(analysis)


def test_without_workers_a_command_gives_up(
    new_site: Callable[..., Site], analyse: Callable[..., Command], tmp_path: Path
) -> None:
    site = new_site()
    command = analyse("kmeans", tmp_path / "found", "--cluster", site.impatient(), "--profile", "here")
    site.wait_for("training", lambda: site.at_work(amount=5), command)
    site.kill_workers()
    assert command.ended(WITHIN_S) == 5, command.said
    assert f"{site.address}: no workers for 2 s; start some, and run the same command again" in command.said


def test_results_that_are_lost_on_their_way_are_not_waited_for_without_end(
    new_site: Callable[..., Site],
) -> None:
    site = new_site()

    class Deadly:
        def __reduce__(self) -> tuple[type[int]]:
            os.kill(os.getpid(), signal.SIGKILL)
            return (int,)

    def work(item: int, _control: Control) -> Deadly:
        return Deadly()

    with site.connected(site.impatient()) as cluster, pytest.raises(ClusterError, match="no workers for 2 s"):
        cluster.run_tasks(work, range(4))


def test_without_workers_a_command_gives_up_soon_enough_where_nobody_says_when() -> None:
    default = SchedulerAddress(address="tcp://127.0.0.1:1").workers_timeout
    assert default <= WITHIN_S - 10


def test_a_worker_that_was_stopped_for_long_goes_on(
    frozen: Frozen,
    undisturbed: Callable[[str], dict[str, str]],
    numbers: Callable[[Path], dict[str, str]],
) -> None:
    assert frozen.command.ended(STOPPED_S + PATIENCE_S) == 0, frozen.command.said
    assert frozen.was_running, frozen.command.said
    assert numbers(frozen.results) == undisturbed("kmeans")
