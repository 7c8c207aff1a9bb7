"""`cluster check`, and the options that name a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from latentscan.cli.cluster_options import on_workers
from latentscan.cli.exit_codes import reported
from latentscan.cli.model_options import with_options
from latentscan.cluster.diagnostics import PACKAGES, Inspection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.commands import Command

ONE_WORKER = "default: one\nprofiles: {one: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 1}}}\n"


@contextmanager
def other_cluster(folder: Path, elsewhere: Path) -> Iterator[str]:
    """Run a scheduler, and a worker on whose path other versions come first."""
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    place = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    paths = os.pathsep.join([str(elsewhere), *filter(None, [os.environ.get("PYTHONPATH")])])
    started = [
        subprocess.Popen([*dask, "scheduler", *place, "--scheduler-file", str(file)], **quiet),
        subprocess.Popen(
            [*dask, "worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard"],
            env={**os.environ, "PYTHONPATH": paths},
            **quiet,
        ),
    ]
    try:
        while not (file.exists() and file.read_text()):
            time.sleep(0.05)
        yield str(json.loads(file.read_text())["address"])
    finally:
        for process in started:
            process.kill()
            process.wait(30)


def pretend(folder: Path, package: str, version: str) -> None:
    """Lay down what tells that a package is installed."""
    metadata = folder / f"{package}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


def test_the_cluster_is_described_within_eighty_columns(latentscan_process: Command, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(ONE_WORKER)
    done = latentscan_process("cluster", "check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "scheduler  tcp://127.0.0.1:" in done.stdout
    assert "dashboard  http://127.0.0.1:" in done.stdout
    assert "1 worker, 1 thread, " in done.stdout
    assert all(package in done.stdout for package in PACKAGES)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "≠" not in done.stdout
    assert "warning" not in done.stderr
    assert "starting dask.distributed.LocalCluster (cluster.yaml: profile one)" in done.stderr


def test_other_versions_on_a_worker_are_named(latentscan_process: Command, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for package, version in (("numpy", "1.0"), ("latentscan", "0.0.1"), ("keras", "1.0")):
        pretend(elsewhere, package, version)
    with other_cluster(tmp_path, elsewhere) as address:
        done = latentscan_process("cluster", "check", "--scheduler", address)
        document = latentscan_process("cluster", "check", "--scheduler", address, "--json")
    assert done.returncode == document.returncode == 0, done.stderr
    marked = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("≠")]
    assert marked == ["latentscan", "numpy", "keras"]
    assert "warning: numpy 1.0 on tcp://127.0.0.1:" in done.stderr
    assert "warning: latentscan 0.0.1 on tcp://127.0.0.1:" in done.stderr
    assert "keras" not in done.stderr  # it need not be the same to give the same

    found = json.loads(document.stdout)
    assert found["scheduler"] == address
    assert not found["tls"]
    [worker] = found["workers"]
    assert found["threads"] == worker["threads"] > 0
    assert found["memory_bytes"] == worker["memory_bytes"]
    assert found["versions"]["workers"][worker["address"]]["numpy"] == "1.0"
    assert found["versions"]["here"] == found["versions"]["scheduler"]
    assert len(found["warnings"]) == 2


def test_what_is_not_installed_is_to_be_installed() -> None:
    here: dict[str, str | None] = dict.fromkeys(PACKAGES, "2.0")
    here["python"] = "3.11.7"
    without = {**here, "latentscan": None, "python": "3.11.2"}
    workers = {f"tcp://10.0.0.{number}:1": without for number in range(3)}
    found = Inspection(
        "tcp://10.0.0.9:8786", "", tls=False, workers=(), here=here, there=here, on_workers=workers
    )
    assert found.warnings() == [
        "latentscan is not installed on tcp://10.0.0.0:1, tcp://10.0.0.1:1 and 1 more: "
        "install latentscan 2.0 there"
    ]


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], 5, "nothing listens there"),
        (["--scheduler", "tcp://192.0.2.1:8786"], 2, "not encrypted"),
        (["--profile", "nowhere"], 2, "expected one of the profiles: local"),
        (["--cluster", "nowhere.yaml"], 2, "nowhere.yaml: No such file"),
    ],
)
def test_a_cluster_that_is_not_there(latentscan: Command, options: list[str], code: int, why: str) -> None:
    done = latentscan("cluster", "check", *options)
    assert done.returncode == code
    assert why in done.stderr
    assert done.stdout == ""


class Parameters(BaseModel):
    """The parameters of a verb."""

    k: int = 3


def verb(where: Annotated[str, typer.Option("--where")], *, connection: Any, options: dict[str, Any]) -> None:
    """Say where it works."""
    with connection.open() as workers:
        typer.echo(f"{where} {options} {type(workers).__name__} {connection.named} {workers.count}")


ORDERS = {
    "its own first": on_workers(with_options(Parameters)(verb)),
    "the cluster's first": with_options(Parameters)(on_workers(verb)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_verb_gets_workers_beside_its_own_options(order: str, tmp_path: Path) -> None:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(reported(ORDERS[order]))
    shown = CliRunner().invoke(app, ["--help"]).output
    for option in ("--where", "--k", "--scheduler ADDRESS", "--cluster FILE", "--profile NAME", "--insecure"):
        assert option in shown
    assert "--connection" not in shown

    here = CliRunner().invoke(app, ["--where", "a", "--k", "5"])
    assert here.output.startswith("a {'k': 5} ThreadedExecutor False ")
    alone = CliRunner().invoke(app, ["--where", "a", "--insecure"])
    assert alone.exit_code == 2
    assert "--insecure: expected with --scheduler, --cluster or --profile" in alone.output


def test_a_verb_runs_on_the_cluster_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text(ONE_WORKER)
    app = typer.Typer()
    app.command()(reported(ORDERS["its own first"]))
    there = CliRunner().invoke(app, ["--where", "a", "--cluster", str(tmp_path / "here.yaml")])
    assert "a {} DistributedExecutor True 1" in there.output


def test_nothing_of_distributed_is_imported_where_no_cluster_is_named(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom latentscan.cli.cluster_options import on_workers\n\n\n"
        "def verb(*, connection):\n    with connection.open() as workers:\n"
        "        print(type(workers).__name__, 'distributed' in sys.modules)\n\n\n"
        "on_workers(verb)(scheduler=None, cluster=None, profile=None, insecure=False, trust_cluster=False)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "ThreadedExecutor False\n"
