"""`submit` and `jobs` as a user starts them: here, and on a scheduler with a worker process."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.cli import jobs as jobs_module
from latentscan.errors import ClusterError
from latentscan.jobs import record as records
from latentscan.jobs.record import new_record, write_record
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.commands import Command, Done

WIDTH = 80


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a store and two job files, one of them long."""
    build_store(tmp_path / "z.zarr", images=900, components=5, chunk_rows=320, latents=("z",))
    (tmp_path / "short.yaml").write_text("store: z.zarr\nanalyses: [stats, pca]\n")
    (tmp_path / "mine.yaml").write_text(
        "default: own\nprofiles:\n  own: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 5}}\n"
    )
    (tmp_path / "long.yaml").write_text(
        "store: z.zarr\nanalyses: [stats, tsne: {points: 500, iterations: 1000000}]\n"
    )
    return tmp_path


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with a worker, processes on loopback."""
    file = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "dask", *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    try:
        place = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        start("scheduler", *place, "--scheduler-file", str(file))
        while not (file.exists() and file.read_text()):
            assert started[0].poll() is None
            time.sleep(0.05)
        address: str = json.loads(file.read_text())["address"]
        start("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard")
        yield address
    finally:
        for process in started:
            process.kill()
            process.wait(30)


def good(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= WIDTH for line in done.stdout.splitlines() if "/" not in line), done.stdout
    return done.stdout


NOWHERE: dict[str, Any] = {
    "scheduler": None,
    "cluster": None,
    "profile": None,
    "insecure": False,
    "trust_cluster": False,
}


def test_a_plan_starts_nothing(latentscan: Command, contents: Any, folder: Path) -> None:
    before = contents(folder)
    screen = good(latentscan("submit", "short.yaml", "--plan", cwd=folder))
    assert "z.zarr" in screen
    assert "in all" in screen
    planned = latentscan("submit", "short.yaml", "--plan", "--json", "--workers", "7", cwd=folder)
    document = json.loads(good(planned))
    assert [(step["name"], step["cached"], step["tasks"]) for step in document["steps"]] == [
        ("stats", False, 4),
        ("pca", False, 4),
    ]
    assert document["workers"] == 7
    planned = latentscan("submit", "short.yaml", "--plan", "--json", "--cluster", "mine.yaml", cwd=folder)
    assert json.loads(good(planned))["workers"] == 5
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "cluster.yaml").write_text((folder / "mine.yaml").read_text())
    (folder / "elsewhere" / "z.zarr").symlink_to(folder / "z.zarr")
    planned = latentscan("submit", "../short.yaml", "--plan", "--json", cwd=folder / "elsewhere")
    assert json.loads(good(planned))["workers"] == 5  # those of the profile that `submit` would use
    shutil.rmtree(folder / "elsewhere")
    assert document["total"]["bytes_read"] == 2 * 900 * (5 * 4 + 1)
    assert contents(folder) == before


def test_a_job_runs_here(latentscan: Command, latentscan_process: Command, folder: Path) -> None:
    def jobs(verb: str, *words: str) -> str:
        return good(latentscan("jobs", verb, *words, "--store", "z.zarr", cwd=folder))

    done = latentscan_process("submit", "short.yaml", cwd=folder)
    steps = good(done).splitlines()
    assert [step.split(":")[0] for step in steps] == ["stats", "pca"]
    assert all(": computed in " in step and f"{folder}/z.zarr/analyses/" in step for step in steps)
    assert "stats: 3 of 3 blocks" in done.stderr
    assert "scheduler" in done.stderr
    again = latentscan_process("submit", "short.yaml", "--json", cwd=folder)
    record = json.loads(good(again))
    job_id = record["id"]
    assert "scheduler" not in again.stderr  # none is started for what is cached
    assert [step["cached"] for step in record["steps"]] == [True, True]
    assert len([line for line in jobs("list").splitlines() if line.strip().startswith("short-20")]) == 2
    shown = jobs("show", job_id)
    assert "done, exit code 0" in shown
    assert "done, cached" in shown
    assert json.loads(jobs("show", job_id, "--json")) == record
    log = [line.split("  ")[1] for line in jobs("logs", job_id, "--follow").splitlines()]
    assert (log[0], log[-1]) == ("submitted", "done")
    for verb in ("wait", "cancel"):  # what has ended stays as it is
        assert jobs(verb, job_id) == f"{job_id} done\n"


def test_a_job_that_fails(latentscan: Command, latentscan_process: Command, folder: Path) -> None:
    (folder / "bad.yaml").write_text("store: z.zarr\nanalyses: [stats, kmeans: {k: 2000}]\n")
    done = latentscan_process("submit", "bad.yaml", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: k: 2000")  # as it stands in the file
    (record,) = json.loads(good(latentscan("jobs", "list", "--store", "z.zarr", "--json", cwd=folder)))
    waited = latentscan("jobs", "wait", record["id"], "--store", "z.zarr", cwd=folder)
    assert (waited.returncode, waited.stdout) == (2, f"{record['id']} failed\n")
    assert "error: k: 2000" in waited.stderr


@pytest.mark.parametrize("words", [(), ("--plan",)])
def test_a_store_that_is_missing_is_named_before_anything_is_started(
    latentscan: Command, folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "absent.yaml").write_text("store: [z.zarr, absent.zarr]\nanalyses: [stats]\n")
    done = latentscan("submit", "absent.yaml", *words, cwd=folder)
    assert done.returncode == 4
    assert "absent.zarr" in done.stderr
    assert "starting" not in done.stderr
    assert not (folder / "absent.zarr").exists()
    assert not (folder / "z.zarr" / "jobs").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("submit", "short.yaml", "--workers", "3"), "--workers 3: expected with --plan"),
        (("submit", "short.yaml", "--plan", "--detach"), "give --plan or --detach, not both"),
        (("submit", "short.yaml", "--detach"), "the cluster of this profile ends with the command"),
        (("submit", "none.yaml"), "none.yaml: No such file or directory"),
        (("jobs", "list"), "give --store STORE, --scheduler ADDRESS"),
        (
            ("jobs", "list", "--cluster", "mine.yaml"),
            "the cluster of this profile ends with the command",
        ),
        (("jobs", "show", "x-1", "--store", "z.zarr"), "z.zarr has no job x-1"),
        (("jobs", "cancel", "../x", "--store", "z.zarr"), "expected the id of a job"),
        (
            ("jobs", "list", "--store", "z.zarr", "--insecure"),
            "leave out --scheduler, --cluster, --profile, --insecure and --trust-cluster",
        ),
        (
            ("jobs", "wait", "x-1", "--store", "z.zarr", "--scheduler", "tcp://127.0.0.1:1"),
            "leave out --scheduler, --cluster, --profile, --insecure and --trust-cluster",
        ),
    ],
)
def test_wrong_usage(latentscan: Command, folder: Path, words: tuple[str, ...], complaint: str) -> None:
    done = latentscan(*words, cwd=folder)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not (folder / "z.zarr" / "jobs").exists()


def test_a_damaged_record_is_named_beside_the_others(latentscan: Command, folder: Path) -> None:
    done = replace(new_record("mine", {}, cluster=None), state="done")
    write_record(str(folder / "z.zarr"), done)
    broken = folder / "z.zarr" / "jobs" / "broken-1"
    broken.mkdir()
    (broken / "zarr.json").write_text("{")
    listed = latentscan("jobs", "list", "--store", "z.zarr", "--json", cwd=folder)
    assert listed.returncode == 0
    assert [record["state"] for record in json.loads(listed.stdout)] == ["done"]
    assert "z.zarr/jobs/broken-1/zarr.json is damaged" in listed.stderr


def test_a_job_is_lost_by_the_clock_of_who_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LOST_AFTER_S", 0.2)
    monkeypatch.setattr(jobs_module, "ASK_EVERY_S", 0.01)
    home = str(folder / "z.zarr")
    running = replace(new_record("mine", {}, cluster=None), state="running")
    signs = (f"2001-01-01T00:00:{second:02}+00:00" for second in range(40))  # a clock that is far behind
    write_record(home, replace(running, heard=next(signs)))

    def follow() -> None:
        for _ in jobs_module._followed(home, running.id):
            if heard := next(signs, None):
                write_record(home, replace(running, heard=heard))

    with pytest.raises(ClusterError) as lost:
        follow()
    assert "2001-01-01T00:00:39" in str(lost.value)
    assert "submit the same job again" in str(lost.value)


def test_lines_are_followed_whatever_the_clocks_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted = new_record("mine", {}, cluster=None)
    lines = [("2026-01-01T00:00:30", "submitted"), ("2026-01-01T00:00:01", "begun"), ("2026-01-01", "done")]
    seen = [replace(submitted, log=tuple(lines[:count])) for count in (1, 1, 2, 3)]
    monkeypatch.setattr(
        jobs_module, "_followed", lambda *_: iter([*seen, replace(submitted, log=tuple(lines[1:]))])
    )
    jobs_module.logs(job_id="mine", store=str(folder / "z.zarr"), follow=True, **NOWHERE)
    assert [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "submitted",
        "begun",
        "done",
    ]


def test_an_interrupted_job_says_so(latentscan: Command, folder: Path) -> None:
    command = [sys.executable, "-m", "latentscan", "submit", "long.yaml"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("stats: computed")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what is finished is saved; submit the same job again" in said
    (record,) = json.loads(good(latentscan("jobs", "list", "--store", "z.zarr", "--json", cwd=folder)))
    assert (record["state"], record["exit_code"]) == ("interrupted", 130)
    assert latentscan("jobs", "wait", record["id"], "--store", "z.zarr", cwd=folder).returncode == 130


def test_a_job_is_left_running_and_looked_after(
    latentscan: Command,
    latentscan_process: Command,
    folder: Path,
    scheduler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detached = latentscan_process("submit", "long.yaml", "--detach", "--scheduler", scheduler, cwd=folder)
    job_id = good(detached).strip()
    known_here = ("--store", "z.zarr")
    assert f"latentscan jobs logs --follow {job_id} --store {folder}/z.zarr" in detached.stderr
    following = subprocess.Popen(
        [sys.executable, "-m", "latentscan", "jobs", "logs", "--follow", job_id, *known_here],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    while "tsne" not in following.stdout.readline():
        assert following.poll() is None
    waited = latentscan("jobs", "wait", job_id, "--timeout", "0.1", *known_here, cwd=folder)
    assert waited.returncode == 1
    assert "is running after 0.1 s of waiting; it goes on" in waited.stderr
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    known = json.loads(good(latentscan_process("jobs", "list", "--json")))  # from anywhere
    assert [(record["id"], record["state"]) for record in known] == [(job_id, "running")]
    assert (
        good(latentscan_process("jobs", "cancel", job_id, "--scheduler", scheduler))
        == f"{job_id} cancelled\n"
    )
    assert following.communicate(timeout=30)[0].splitlines()[-1].endswith("  cancelled")
    assert latentscan("jobs", "wait", job_id, *known_here, cwd=folder).returncode == 130
