"""The version and what changed."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from latentscan import __version__
from latentscan.cli.app import app

CHANGES = files("latentscan").joinpath("changes.txt").read_text(encoding="utf-8")


def printed(*words: str) -> str:
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    return found.output


def test_the_version_is_one_line() -> None:
    assert printed("--version") == f"latentscan {__version__}\n"


@pytest.mark.parametrize("words", [("--version", "--changes"), ("--changes", "--version")])
def test_what_changed_stands_below_the_version(words: tuple[str, ...]) -> None:
    assert printed(*words) == f"latentscan {__version__}\n{CHANGES}"
    assert printed("--changes") == CHANGES


def test_a_verb_runs_without_either() -> None:
    assert "latentscan info" in printed("info", "--help")


def test_what_changed_fits_a_terminal_and_names_the_version_before() -> None:
    assert CHANGES.isascii()
    assert max(map(len, CHANGES.splitlines())) <= 80
    assert CHANGES.startswith("Since ")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([^`]+)`", CHANGES))))
def test_what_changed_names_verbs_and_options_that_are_there(name: str) -> None:
    verb, _, option = name.partition(" ")
    shown = printed(verb, "--help")
    assert f"{option} " in shown
