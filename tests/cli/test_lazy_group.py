from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from latentscan.analyses.registry import ANALYSES
from latentscan.cli.app import app

CODE = """
import sys
from typer.testing import CliRunner
from latentscan.cli.app import app
assert CliRunner().invoke(app, ["stats", "--help"]).exit_code == 0
print(sorted(name for name in sys.modules if name.startswith("latentscan.analyses.")))
"""


def test_a_command_waits_for_its_own_analysis_alone() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert "latentscan.analyses.stats" in done.stdout
    for other in ("axes", "pca", "kmeans", "tsne", "compare"):
        assert f"latentscan.analyses.{other}" not in done.stdout


def test_every_analysis_is_a_verb_in_the_help() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    listed = [line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line.strip()]
    start = listed.index("stats")
    rest = ["images", "export", "plot", "report", "info", "check", "results", "submit", "jobs", "cluster"]
    assert listed[start:] == [*ANALYSES, *rest]


def test_an_unknown_verb_is_a_usage_error() -> None:
    found = CliRunner().invoke(app, ["statistics"])
    assert found.exit_code == 2
    assert "No such command 'statistics'" in found.output
