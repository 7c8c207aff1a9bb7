"""What a shell sees: the exit code, data on stdout, one clear message on stderr, and never a traceback."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from latentscan import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.commands import Command

    Contents = Callable[[Path], dict[str, bytes]]


class Payload:
    """An object that leaves a trace where it is unpickled."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.trace, "w")


@dataclass(frozen=True)
class Refused:
    """A command, its exit code, and what its message must name."""

    command: str
    exit_code: int
    names: tuple[str, ...]


REFUSED = [
    Refused("stats --store absent.zarr", 4, ("absent.zarr", "ingest")),
    Refused("check --store absent.zarr", 4, ("absent.zarr",)),
    Refused("stats --store folder", 4, ("folder", "no latent store")),
    Refused("stats --store foreign.zarr", 4, ("foreign.zarr", "no latent store")),
    Refused("ingest --z z.npy --store folder", 2, ("folder", "no latent store")),
    Refused("ingest --z z.npy --store foreign.zarr", 2, ("foreign.zarr", "no latent store")),
    Refused("ingest --z z.npy --mu short.npy --store new.zarr", 2, ("29", "30", "mu")),
    Refused("ingest --z flat.npy --store new.zarr", 2, ("flat.npy", "(30,)", "(images, components)")),
    Refused("ingest --z cut.npy --store new.zarr", 2, ("cut.npy",)),
    Refused("ingest --z absent.npy --store new.zarr", 2, ("absent.npy",)),
    Refused("ingest --z pickled.npy --store new.zarr", 6, ("pickled.npy", "pickle")),
    Refused("stats --store z.zarr --width -1", 2, ("--width", "-1")),
    Refused("stats --store z.zarr --width 1e-9", 2, ("--width",)),
    Refused("stats --store z.zarr --ranges 5:3", 2, ("--ranges", "5:3")),
    Refused("stats --store z.zarr --interval abc", 2, ("--interval ", "abc", "LOW:HIGH")),
    Refused("stats", 2, ("--store",)),
    Refused("stats --store z.zarr --results folder", 2, ("folder",)),
    Refused("stats --store z.zarr --plot absent/radius.png", 2, ("absent",)),
    Refused("nonsense", 2, ("nonsense",)),
]


@pytest.fixture(scope="module")
def folder(latentscan: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands above name."""
    here = tmp_path_factory.mktemp("exit")
    z = np.random.default_rng(7).normal(size=(30, 4)).astype(np.float32)
    for name, values in (
        ("z", z),
        ("short", z[:-1]),
        ("flat", z[:, 0]),
    ):
        np.save(here / f"{name}.npy", values)
    np.save(here / "pickled.npy", np.array([[Payload(str(here / "trace")), None]]), allow_pickle=True)
    (here / "cut.npy").write_bytes((here / "z.npy").read_bytes()[:300])
    (here / "folder").mkdir()
    (here / "folder" / "thesis.tex").write_text("years of work")
    zarr.create_array(here / "foreign.zarr" / "x", data=z)
    zarr.open_group(here / "foreign.zarr", mode="a")
    assert latentscan("ingest", "--z", "z.npy", "--store", "z.zarr", cwd=here).returncode == 0
    return here


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.command)
def test_refused(latentscan: Command, folder: Path, contents: Contents, case: Refused) -> None:
    before = contents(folder)
    done = latentscan(*case.command.split(), cwd=folder)
    assert (done.returncode, done.stdout) == (case.exit_code, "")
    for name in case.names:
        assert name in done.stderr
    assert contents(folder) == before, "nothing is written, nothing is lost"


def test_help_is_data(latentscan: Command) -> None:
    for command in ((), ("stats",)):
        done = latentscan(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage:")


def test_a_shell_sees_the_same(latentscan_process: Command, folder: Path) -> None:
    for case in (REFUSED[0], REFUSED[11]):
        done = latentscan_process(*case.command.split(), cwd=folder)
        assert (done.returncode, done.stdout) == (case.exit_code, "")
        assert all(name in done.stderr for name in case.names)
    assert latentscan_process("--version").stdout == f"latentscan {__version__}\n"


def test_debug_shows_the_traceback(latentscan: Command, folder: Path) -> None:
    done = latentscan("--debug", "stats", "--store", "absent.zarr", cwd=folder)
    assert (done.returncode, done.stdout) == (4, "")
    assert "Traceback" in done.stderr
    assert "absent.zarr" in done.stderr


@pytest.mark.parametrize("output", [(), ("--json",)], ids=["table", "json"])
def test_reader_that_leaves_early(folder: Path, output: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "latentscan", "stats", "--store", "z.zarr", *output],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait(timeout=60)
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    assert "BrokenPipe" not in stderr
