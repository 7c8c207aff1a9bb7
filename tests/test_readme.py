"""What the README says: its code runs, and its commands, options, modules and paths exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latentscan.analyses.registry import ANALYSES
from latentscan.cli.app import app
from latentscan.report.study import written
from tests.cli.commands import latentscan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SHELL = "\n".join(code for language, code in BLOCKS if language in {"sh", "console"})
# the options of other programs are their own
OWN = re.sub(r"^(dask|python|embedding-atlas) .*$", "", SHELL, flags=re.MULTILINE)
CODE = OWN + "\n".join(re.findall(r"`([^`\n]+)`", README))
# the README's sizes take minutes or hours
SMALLER = {
    "--images 20000": "--images 100",
    "--epochs 5": "--epochs 1",
    "--k 2:80:2 --seeds 3": "--k 2:6:2 --seeds 1",
    "parquet --k 40": "parquet --k 4",
    "range(2, 81, 2)": "range(2, 7, 2)",
    "--points 20000": "--points 100",
    "points=80_000": "points=100",
    "--iterations 1000": "--iterations 30",
    "iterations=1000": "iterations=30",
}


@pytest.mark.timeout(1200)  # dozens of commands, one after another
def test_the_code_runs_from_top_to_bottom_in_one_folder(tmp_path: Path) -> None:
    """All but PyTorch's (py) and those of consoles, which install, need many machines, or measure speed."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    shutil.copy(ROOT / "cluster.yaml", tmp_path)
    run = [(language, code) for language, code in BLOCKS if language not in {"console", "py"}]
    assert {language for language, _ in run} == {"sh", "python"}
    for size, smaller in SMALLER.items():
        assert any(size in code for _, code in run), size
        run = [(language, code.replace(size, smaller)) for language, code in run]
    for language, code in run:
        if language == "python":
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{code}\n{done.stderr}"
            continue
        for line in code.splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "latentscan", line
            found = latentscan(*words, cwd=tmp_path)
            assert found.returncode == 0, f"{line}\n{found.stderr}"


def test_two_commands_set_everything_up() -> None:
    first, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert first == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/latentscan demo"
    assert second == 'python3 -m venv .venv && .venv/bin/pip install ".[test]" && .venv/bin/pytest'
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def used() -> list[tuple[str, tuple[str, ...]]]:
    found = re.findall(r"latentscan ((?:cluster |jobs |results )?[a-z]+)\b([^\n#|)]*)", CODE)
    return sorted({(verb, tuple(re.findall(r"--[a-z-]+", rest))) for verb, rest in found})


@pytest.mark.parametrize(("verb", "options"), used())
def test_every_command_and_option_exists(verb: str, options: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    for option in options:
        assert f"{option} " in shown.output or f"{option}/" in shown.output, option


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z-]+", CODE)) - {"--upgrade", "--help"}))
def test_every_option_belongs_to_some_verb(option: str) -> None:
    making = (
        "demo",
        "study",
        "synth",
        "train",
        "encode",
        "ingest",
        "generate",
        "plot",
        "report",
        "images",
        "export",
        "check",
        "submit",
    )
    verbs = [*making, *ANALYSES, "results remove"]
    helps = [
        CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"}).output
        for verb in ("", *verbs)
    ]
    assert any(f"{option} " in text for text in helps), option


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:latentscan/|tests/|\.ci/)[\w./]+)`", README))))
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("room", re.findall(r"`([a-z]+)/`", README))
def test_every_room_exists(room: str) -> None:
    assert (ROOT / "latentscan" / room).is_dir()


@pytest.mark.parametrize("module", re.findall(r"python -m (tests[\w.]+)", README))
def test_every_module_that_is_run_exists(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_what_it_found_is_what_the_study_stored() -> None:
    """Every figure of the table, and every ratio with its interval, is one of the stored results."""
    document = json.loads((ROOT / ".github" / "study.json").read_text(encoding="utf-8"))
    text = README.partition("## What it found")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    assert len(rows) == 6
    titles = {figure["title"]: figure["kinds"] for figure in document["figures"].values()}
    for row in rows:
        title, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        assert cells == [written(kind["runs"]) for kind in titles[title].values()], title
    ratios = re.findall(r"[0-9.]+ \[[0-9.]+, [0-9.]+\]", text)
    assert len(ratios) == 4
    assert all(any(ratio in answer for answer in document["answers"]) for ratio in ratios)
