"""What the README says is there: its commands, their options, its modules and paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latentscan.cli.app import app
from latentscan.table import ANALYSES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
OWN = re.sub(r"^dask .*$", "", SHELL, flags=re.MULTILINE)  # Dask's commands have options of their own
CODE = OWN + "\n".join(re.findall(r"`([^`\n]+)`", README))


def test_two_commands_set_everything_up() -> None:
    first, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert first == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/latentscan demo"
    assert second == 'python3 -m venv .venv && .venv/bin/pip install ".[test]" && .venv/bin/pytest'
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def used() -> list[tuple[str, tuple[str, ...]]]:
    found = re.findall(r"latentscan ((?:cluster |jobs )?[a-z]+)\b([^\n#|)]*)", CODE)
    return sorted({(verb, tuple(re.findall(r"--[a-z-]+", rest))) for verb, rest in found})


@pytest.mark.parametrize(("verb", "options"), used())
def test_every_command_and_option_exists(verb: str, options: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    for option in options:
        assert f"{option} " in shown.output or f"{option}/" in shown.output, option


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z-]+", CODE)) - {"--upgrade", "--help"}))
def test_every_option_belongs_to_some_verb(option: str) -> None:
    making = ("demo", "synth", "train", "encode", "ingest", "generate", "compare", "plot", "check", "submit")
    verbs = (*making, *ANALYSES)
    helps = [CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output for verb in verbs]
    assert any(f"{option} " in text for text in helps), option


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:latentscan/|tests/|\.ci/)[\w./]+)`", README))))
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("room", re.findall(r"`([a-z]+)/`", README))
def test_every_room_exists(room: str) -> None:
    assert (ROOT / "latentscan" / room).is_dir()


@pytest.mark.parametrize("module", re.findall(r"python -m (tests[\w.]+)", README))
def test_every_benchmark_exists(module: str) -> None:
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()
