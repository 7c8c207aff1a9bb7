"""Commands on streams that are closed, full, read no more, or of another encoding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.cli.app import main
from latentscan.cli.terminal import note, print_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.commands import Command

EVIL = "\x1b]0;title\x07"


@pytest.fixture(scope="module")
def folder(latentscan: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose names would set the title of a terminal."""
    here = tmp_path_factory.mktemp("terminal")
    np.save(here / f"{EVIL}z.npy", np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32))
    done = latentscan("ingest", "--z", f"{EVIL}z.npy", "--store", "z.zarr", "--chunk-rows", 20, cwd=here)
    assert done.returncode == 0
    assert latentscan("stats", "--store", "z.zarr", cwd=here).returncode == 0
    (here / "job.yaml").write_text("store: z.zarr\nanalyses: [pca]\n")
    assert latentscan("submit", "job.yaml", cwd=here).returncode == 0
    return here


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run commands of a shell, in which `latentscan` is this one."""
    script = f'latentscan() {{ "{sys.executable}" -m latentscan "$@"; }}; {command}'
    return subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        check=False,
        timeout=60,
    )


STREAMS = {  # what the shell does with the streams, and the exit code
    "latentscan stats --json --store z.zarr 2>&-": 0,
    "latentscan stats --store z.zarr <&- >&- 2>&-": 0,
    "latentscan stats --store absent.zarr 2>/dev/full": 4,
    "latentscan stats --store z.zarr --json >/dev/full": 1,
    "latentscan --version >/dev/full": 1,
    "latentscan --help | head -1; exit ${PIPESTATUS[0]}": 0,
    "latentscan check --store short.zarr | head -1; exit ${PIPESTATUS[0]}": 4,
}


@pytest.mark.parametrize("command", STREAMS)
def test_streams_that_are_closed_or_full(folder: Path, command: str) -> None:
    if "short" in command:
        subprocess.run(["cp", "-r", "z.zarr", "short.zarr"], cwd=folder, check=True)  # noqa: S607
        (folder / "short.zarr/commits/digest/c/1/0/0").unlink()
    done = shell(command, folder)
    assert done.returncode == STREAMS[command], done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if ">/dev/full" in command and "2>" not in command:
        assert b"error: the output could not be written: No space left on device" in done.stderr
    if "2>&-" in command and ">&- 2" not in command:
        assert json.loads(done.stdout)["images"] == 60


@dataclass(frozen=True)
class Shown:
    """What a command that ran as a process does left on its streams."""

    code: int | str | None
    out: str
    err: str


@pytest.fixture
def shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """Run a command as a process of its own does, on streams of an encoding."""

    def run(*words: str, encoding: str = "utf-8") -> Shown:
        buffers = io.BytesIO(), io.BytesIO()
        inner = [io.TextIOWrapper(buffer, encoding=encoding) for buffer in buffers]
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "80")
        for name, value in (("argv", ["latentscan", *words]), ("stdout", inner[0]), ("stderr", inner[1])):
            monkeypatch.setattr(sys, name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        return Shown(ended.value.code, *(buffer.getvalue().decode(encoding) for buffer in buffers))

    return run


@pytest.mark.parametrize(
    ("encoding", "sign"), [("ascii", "+-"), ("cp437", "±"), ("latin-1", "±"), ("utf-8", "±")]
)
def test_a_terminal_of_another_encoding(shown: Callable[..., Shown], encoding: str, sign: str) -> None:
    for verb in ("stats", "axes", "pca"):
        found = shown(verb, "--store", "z.zarr", encoding=encoding)
        assert found.code == 0, found.err
    assert f"mean {sign} std" in shown("stats", "--store", "z.zarr", encoding=encoding).out
    assert f"uniform in {sign}UNIFORM" in shown("generate", "--help", encoding=encoding).out
    missing = shown("stats", "--store", "a–b", encoding=encoding)
    assert missing.code == 4
    assert ("a–b does" if encoding == "utf-8" else "a-b does") in missing.err
    assert shown("stats", "–b", encoding=encoding).code == 2


def test_names_reach_a_terminal_as_text(folder: Path, shown: Callable[..., Shown]) -> None:
    """Of arrays in a store's attributes, of a job's record, and of what a user gives."""
    (record,) = (folder / "z.zarr" / "jobs").glob("*/zarr.json")
    content = json.loads(record.read_text())
    content["attributes"] |= {"state": "failed", "error": f"{EVIL}e\nerror: f", "log": [["t", f"{EVIL}l\nm"]]}
    record.write_text(json.dumps(content))
    job = record.parent.name
    info = shown("info", "z.zarr")
    show = shown("jobs", "show", job, "--store", "z.zarr")
    logs = shown("jobs", "logs", job, "--store", "z.zarr")
    wait = shown("jobs", "wait", job, "--store", "z.zarr")
    absent = shown("stats", "--store", f"{EVIL}\u202e\udcff")
    unknown = shown("stats", f"--{EVIL}")
    for output in (info.out, show.out, logs.out, wait.err, absent.err, unknown.err):
        assert "\x1b" not in output
        assert "\x07" not in output
        assert r"\x1b]0;title\x07" in output
    assert r"t  \x1b]0;title\x07l\nm" in logs.out
    assert "error: \\x1b]0;title\\x07e\n  error: f\n" in wait.err
    assert r"title\x07\u202e\xff does not exist" in absent.err


def test_further_lines_of_a_note_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    note("a\nerror: b")
    assert capsys.readouterr().err == "a\n  error: b\n"


def test_json_has_neither_nan_nor_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("-inf"), 1.5, (1, "\x9b\u202e\x1b")], "c": {"d": None}})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": None, "b": [None, 1.5, [1, "\x9b\u202e\x1b"]], "c": {"d": None}}
    assert "\x1b" not in out
