"""`latentscan runs` as a user starts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.analyses.runs.planted import runs_of_kinds

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.commands import Command

STORES = tuple(f"{kind}{run}.zarr" for kind in "av" for run in range(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stores, three of each of two kinds."""
    folder = tmp_path_factory.mktemp("runs")
    runs_of_kinds(folder, {"a": (3, 0.3, 0), "v": (3, 0.3, 1)}, images=80)
    return folder


def test_kinds_are_an_option_that_is_repeated(latentscan: Command, folder: Path) -> None:
    kinds = ("--kind", "ae=a*", "--kind", "vae=v*.zarr")
    done = latentscan("runs", *STORES, *kinds, "--json", "--plot", "runs.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    (pair,) = json.loads(done.stdout)["kinds"]
    assert (pair["first"], pair["second"], pair["runs"]) == ("ae", "vae", [3, 3])
    assert (folder / "runs.png").read_bytes().startswith(b"\x89PNG")
    again = latentscan("runs", *STORES, "--kind", "ae=a*,vae=v*.zarr", "--json", cwd=folder)
    assert json.loads(again.stdout) == json.loads(done.stdout)


def test_a_job_lists_them(latentscan: Command, folder: Path) -> None:
    (folder / "job.yaml").write_text(
        f"store: [{', '.join(STORES)}]\nanalyses:\n  - runs: {{kind: [ae=a*, vae=v*], margin: 1.5}}\n"
    )
    done = latentscan("submit", "job.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    kept = latentscan("runs", *STORES, "--kind", "ae=a*", "--kind", "vae=v*", "--margin", "1.5", cwd=folder)
    assert "ae and vae (3 and 3 runs)" in " ".join(kept.stdout.split())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a", "error: --kind a: expected KIND=PATTERN"),
        ("x=x*", "error: --kind x=x*: fits none of the stores"),
    ],
)
def test_what_names_no_kind_is_wrong_usage(latentscan: Command, folder: Path, kind: str, said: str) -> None:
    done = latentscan("runs", *STORES, "--kind", kind, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
