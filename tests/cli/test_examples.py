from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from latentscan.analyses.registry import ANALYSES
from latentscan.cli.app import app
from latentscan.cli.examples import EXAMPLES, examples_of
from latentscan.cli.model_options import each, pick

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP: Any = typer.main.get_command(app)


def verbs(group: Any = GROUP, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every verb that can be run, by its whole name."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        whole = f"{before} {name}".strip()
        if hasattr(command, "list_commands"):
            yield from verbs(command, whole)
        else:
            yield whole, command


VERBS = dict(verbs())


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_ends_with_two_examples_that_can_be_typed(verb: str) -> None:
    shown = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    head, *typed = [line.strip() for line in shown.output.rstrip().splitlines()[-3:]]
    assert head == "Examples:"
    assert tuple(typed) == examples_of(verb)
    assert len(set(typed)) == 2
    assert max(map(len, shown.output.splitlines())) <= 80
    for example in typed:
        program, *words = shlex.split(example)
        assert program == "latentscan"
        start = len(verb.split())
        assert " ".join(words[:start]) == verb
        VERBS[verb].make_context(verb, words[start:])  # parses, and runs nothing


@pytest.mark.parametrize("name", ANALYSES)
def test_the_parameters_of_an_analysis_fit(name: str) -> None:
    parameters = ANALYSES[name].parameters
    for example in examples_of(name):
        context = VERBS[name].make_context(name, shlex.split(example)[2:])
        given = {
            key: value
            for key, value in context.params.items()
            if key in parameters.model_fields and value not in (None, [])
        }
        for one in each(given) if ANALYSES[name].is_joined else [given]:
            pick(parameters, one)


def test_an_example_with_an_option_that_is_not_there_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option: --kk"):
        VERBS["kmeans"].make_context("kmeans", ["--store", "vae.zarr", "--kk", "3"])


def test_there_are_examples_of_verbs_alone() -> None:
    assert set(EXAMPLES) <= set(VERBS)
    assert examples_of("jobs") == ()
