"""Options at and past their bounds: refused with the bound before any work, and never "unexpected"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.commands import Command


@pytest.fixture(scope="module")
def folder(latentscan: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sixty images, and a job file."""
    here = tmp_path_factory.mktemp("bounds")
    np.save(here / "z.npy", np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32))
    assert latentscan("ingest", "--z", "z.npy", "--store", "z.zarr", cwd=here).returncode == 0
    (here / "job.yaml").write_text("store: z.zarr\nanalyses: [{kmeans: {seeds: 1000000}}]\n")
    return here


REFUSED = {  # what is said, of what
    "kmeans --store z.zarr --seeds 1000000": "--seeds 1000000: expected less than or equal to 1000",
    "kmeans --store z.zarr --seeds 1000": "got 40,000: 1,000 of each of the 40 numbers of --k",
    "kmeans --store z.zarr --k 1:1000000000000": "at most 65,536 clusters, got 1:1000000000000",
    "kmeans --store z.zarr --k 1:65536": "at most 10,000 numbers",
    "kmeans --store z.zarr --k 99999999": "at most 65,536 clusters",
    f"kmeans --store z.zarr --k 1:{'9' * 5000}": "three whole numbers",
    f"kmeans --store z.zarr --seed {10**30}": "expected less than 2147483648",
    "kmeans --store z.zarr --batch-rows 1000000000": "expected less than or equal to 10000000",
    "kmeans --store z.zarr --passes 1000000000": "expected less than or equal to 10000",
    "tsne --store z.zarr --points 1000000000000": "expected less than or equal to 1000000000",
    "tsne --store z.zarr --iterations 1000000000": "expected less than or equal to 1000000",
    "tsne --store z.zarr --perplexity 1e9": "expected less than or equal to 3333",
    "tsne --store z.zarr --perplexity nan": "--perplexity nan: expected a finite number",
    "tsne --store z.zarr --early-exaggeration 1e9": "expected less than or equal to 1000",
    "stats --store z.zarr --width 1e-300": "1 to 100,000 bins",
    "stats --store z.zarr --upper inf": "--upper inf: expected a finite number",
    "stats --store z.zarr --ranges=": "--ranges : expected at least 1 of them, got 0",
    "stats --store=": "--store is empty",
    "stats --store z.zarr --results=": "--results is empty",
    "stats --store z.zarr --cluster=": "--cluster is empty",
    "stats --store z.zarr --scheduler tcp://[::1 --force": "tcp://[::1: expected tcp://HOST:PORT",
    f"stats --store {'a' * 5000}": "File name too long",
    "plot --store z.zarr --out=": "--out is empty",
    "synth faces --images 1000000000000": "a whole number from 1 to 1,000,000,000",
    "synth faces --images 999999999": "GB left",
    "synth faces --images 2 --workers 1000000": "expected a whole number from 1 to 4,096",
    "generate --model m --out g.png --normal --count 1000000000": "less than or equal to 10000",
    "submit job.yaml": "analyses.0.kmeans.seeds: 1000000: expected less than or equal to 1000",
    "submit /dev/zero": "a device, not a file",
    "jobs wait x --store z.zarr --timeout nan": "--timeout",
}


@pytest.mark.parametrize("command", REFUSED, ids=lambda command: command[:60])
def test_what_is_past_a_bound_is_refused_with_the_bound(
    latentscan: Command, folder: Path, command: str
) -> None:
    done = latentscan(*command.split(), cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert REFUSED[command] in done.stderr
    assert not (folder / "faces").exists()


@pytest.mark.parametrize("command", ["info", "stats --store", "results remove --store z.zarr"])
def test_an_empty_word_is_refused(latentscan: Command, folder: Path, command: str) -> None:
    done = latentscan(*command.split(), "", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is empty; expected a name" in done.stderr


def test_what_this_machine_cannot_hold_is_refused_with_the_number(
    latentscan: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latentscan.analyses.cache.memory_bytes", lambda: 10_000)
    done = latentscan("kmeans", "--store", "z.zarr", "--k", "2:40", cwd=folder)
    assert done.returncode == 2
    assert "GB of memory, and this machine has 0.0 GB; ask for less, by --k or " in done.stderr


def test_what_is_at_a_bound_is_computed(latentscan: Command, folder: Path) -> None:
    for command in (
        "stats --store z.zarr --upper 1e308 --width 1e304 --threshold 1e30 --json",
        "kmeans --store z.zarr --k 1 --seeds 1 --passes 3 --batch-rows 10000000 --seed 2147483647 --json",
        "axes --store z.zarr --far 1e308 --json",
    ):
        done = latentscan(*command.split(), cwd=folder)
        assert done.returncode == 0, done.stderr
