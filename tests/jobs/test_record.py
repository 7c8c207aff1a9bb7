"""Records of jobs: written whole, read anywhere, and no part of the store's data."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import xarray as xr
import zarr

from latentscan.errors import StoreError, UsageError
from latentscan.jobs.record import (
    LOG_LINES,
    LOST_AFTER_S,
    JobRecord,
    StepRecord,
    cancel_requested,
    list_records,
    new_record,
    read_record,
    request_cancel,
    write_record,
)
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path


def record(name: str = "stats") -> JobRecord:
    made = new_record(name, {"store": ["z.zarr"], "analyses": [{"stats": None}]}, cluster="tcp://127.0.0.1:1")
    return replace(made, steps=(StepRecord("stats", "z.zarr"),)).logged("submitted")


@pytest.fixture(params=["here", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path if request.param == "here" else request.getfixturevalue("s3")
    return f"{folder}/z.zarr"


def test_a_record_is_read_as_it_was_written(location: str) -> None:
    written = record()
    write_record(location, written)
    assert read_record(location, written.id) == written
    later = replace(written, state="running", heard=datetime.now(UTC).isoformat()).logged("stats: begun")
    write_record(location, later)
    assert read_record(location, written.id) == later
    assert [line for _, line in later.log] == ["submitted", "stats: begun"]
    assert {"latentscan", "zarr", "python"} <= later.versions.keys()
    assert later.user
    assert later.host


def test_jobs_are_listed_as_they_were_submitted(location: str) -> None:
    with pytest.raises(StoreError) as missing:
        list_records(location)
    assert location in str(missing.value)
    names = ["b", "a", "c"]
    for hours, name in enumerate(names):
        at = datetime.now(UTC) + timedelta(hours=hours)
        write_record(location, replace(record(name), submitted=at.isoformat()))
    assert [found.name for found in list_records(location)] == names


def test_the_mark_that_asks_for_the_end(location: str) -> None:
    mine, other = record(), record()
    for one in (mine, other):
        write_record(location, one)
    assert not cancel_requested(location, mine.id)
    for _ in range(2):
        request_cancel(location, mine.id)
    assert cancel_requested(location, mine.id)
    assert not cancel_requested(location, other.id)
    assert len(list_records(location)) == 2


def test_a_job_that_is_silent_for_long_is_lost() -> None:
    now = datetime.now(UTC)
    running = replace(record(), state="running", heard=now.isoformat())
    assert running.shown_state(now + timedelta(seconds=LOST_AFTER_S - 1)) == "running"
    assert running.shown_state(now + timedelta(seconds=LOST_AFTER_S + 1)) == "lost"
    assert replace(running, state="done").shown_state(now + timedelta(days=1)) == "done"
    assert record().shown_state(now + timedelta(days=1)) == "waiting"


def test_records_are_no_part_of_the_data(tmp_path: Path) -> None:
    location = str(tmp_path / "z.zarr")
    write_record(location, record())  # a job that is to write the store comes before it
    build_store(location, images=3, components=2, latents=("z",))
    write_record(location, record())
    assert set(xr.open_zarr(location).data_vars) == {"z"}
    mine = list_records(location)[0]
    assert zarr.open_group(location, path=f"jobs/{mine.id}", mode="r").attrs["state"] == "waiting"


def test_ids_are_made_of_names_whatever_these_are() -> None:
    assert new_record("My job (2)/..", {}, cluster=None).id.startswith("my-job-2-20")
    assert new_record("日本", {}, cluster=None).id.startswith("job-20")
    assert record().id != record().id


def test_a_record_that_is_missing_or_damaged(tmp_path: Path) -> None:
    location = str(tmp_path / "z.zarr")
    with pytest.raises(UsageError) as unknown:
        read_record(location, "none-1")
    assert "none-1" in str(unknown.value)
    remedy = f"latentscan jobs list --store {location}"
    assert remedy in unknown.value.spelled("command line")
    with pytest.raises(UsageError) as refused:
        request_cancel(location, "../../etc")
    assert "../../etc" in str(refused.value)
    assert not (tmp_path / "z.zarr").exists()
    mine = record()
    write_record(location, mine)
    file = tmp_path / "z.zarr" / "jobs" / mine.id / "zarr.json"
    for text in ("{", "{}", file.read_text().replace('"waiting"', '"lazy"')):
        file.write_text(text)
        with pytest.raises(StoreError) as damaged:
            read_record(location, mine.id)
        assert str(file) in str(damaged.value)
        assert "remove the folder of that job" in str(damaged.value)


def test_what_is_no_record_hides_no_other(tmp_path: Path) -> None:
    location = str(tmp_path / "z.zarr")
    mine, newer, broken = record(), record(), record()
    for one in (mine, newer, broken):
        write_record(location, one)
    folder = tmp_path / "z.zarr" / "jobs"
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "begun-1").mkdir()
    (folder / broken.id / "zarr.json").write_text("{")
    node = json.loads((folder / newer.id / "zarr.json").read_text())
    node["attributes"]["mood"] = node["attributes"]["steps"][0]["colour"] = "of a later version"
    (folder / newer.id / "zarr.json").write_text(json.dumps(node))
    damaged: list[StoreError] = []
    assert {found.id for found in list_records(location, damaged=damaged.append)} == {mine.id, newer.id}
    assert [broken.id in str(error) for error in damaged] == [True]
    assert read_record(location, newer.id) == newer
    shutil.rmtree(folder / mine.id)
    assert len(list_records(location)) == 1


def test_the_log_keeps_its_last_lines() -> None:
    long = record()
    for number in range(LOG_LINES + 5):
        long = long.logged(str(number))
    assert len(long.log) == LOG_LINES
    assert long.log[-1][1] == str(LOG_LINES + 4)
