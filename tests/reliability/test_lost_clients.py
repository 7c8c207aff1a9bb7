"""Commands that are killed, interrupted, or given twice, while their work runs on a cluster."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from latentscan.store.reader import open_store
from tests.builders import analyse as analyse_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from latentscan.progress import Advance
    from tests.reliability.conftest import Command, Site

POINTS, ITERATIONS = 2000, 500


class Beginnings:
    """A subscriber that notes how much of each piece of work was there already."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.done[label] = done
        yield lambda amount, /, **figures: None


def test_an_interrupted_map_is_dropped_and_taken_up_where_it_was(
    site: Site,
    start: Callable[..., Command],
    latents: Path,
    numbers: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    asked = ("tsne", "--points", str(POINTS), "--iterations", str(ITERATIONS), "--store", latents)
    undisturbed = start(*asked, "--results", tmp_path / "undisturbed")
    command = start(*asked, "--results", tmp_path / "found", "--scheduler", site.address)
    site.wait_for("iterations", lambda: site.at_work(amount=100), command)
    command.process.send_signal(signal.SIGINT)
    assert command.ended() == 130, command.said
    assert command.said.splitlines()[-1] == (
        "interrupted; what is finished is saved, and the same command goes on from there"
    )
    site.wait_for("the end of all tasks", site.is_idle)

    (state,) = (tmp_path / "found").glob("analyses/tsne-state/*/zarr.json")
    saved = json.loads(state.read_text())["attributes"]["done"]
    assert 100 <= saved < ITERATIONS
    beginnings = Beginnings()
    with site.connected() as cluster:
        analyse_here(
            open_store(str(latents)),
            "tsne",
            results=str(tmp_path / "found"),
            executor=cluster,
            progress=beginnings,
            points=POINTS,
            iterations=ITERATIONS,
        )
    assert beginnings.done["t-SNE"] == saved
    assert undisturbed.ended() == 0, undisturbed.said
    assert numbers(tmp_path / "found") == numbers(tmp_path / "undisturbed")


def test_the_tasks_of_a_killed_command_are_dropped_and_two_at_once_repeat_it(
    site: Site,
    analyse: Callable[..., Command],
    undisturbed: Callable[[str], dict[str, str]],
    numbers: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    on = (tmp_path / "found", "--scheduler", site.address)
    command = analyse("kmeans", *on)
    site.wait_for("training", lambda: site.at_work(amount=5), command)
    command.kill()
    site.wait_for("the end of all tasks", site.is_idle)
    assert numbers(tmp_path / "found") != undisturbed("kmeans")
    first = analyse("kmeans", *on)
    site.wait_for("training", lambda: site.at_work(amount=5), first)
    second = analyse("kmeans", *on)
    for again in (first, second):
        assert again.ended() == 0, again.said
    assert numbers(tmp_path / "found") == undisturbed("kmeans")


def test_a_detached_job_goes_on_without_the_command_and_without_the_worker_that_drives_it(
    site: Site,
    start: Callable[..., Command],
    latents: Path,
    parameters: dict[str, dict[str, Any]],
    undisturbed: Callable[[str], dict[str, str]],
    numbers: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    job = {
        "store": str(latents),
        "results": str(tmp_path / "found"),
        "analyses": [{"kmeans": parameters["kmeans"]}],
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    submitted = start("submit", tmp_path / "job.yaml", "--detach", "--scheduler", site.address)
    site.wait_for("training", lambda: site.at_work(amount=5))
    submitted.kill()
    (record,) = (tmp_path / "found").glob("jobs/*/zarr.json")
    assert json.loads(record.read_text())["attributes"]["state"] == "running"
    site.kill_worker_of(f"latentscan-{record.parent.name}")
    waiting = start("jobs", "wait", record.parent.name, "--store", tmp_path / "found")
    assert waiting.ended() == 0, waiting.said
    assert numbers(tmp_path / "found") == undisturbed("kmeans")
