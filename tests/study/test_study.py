"""The study on a few faces: one command from nothing to the page, and again from what is there."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

import latentscan as ls
from latentscan.errors import UsageError
from latentscan.kernels.intervals import mean_interval
from latentscan.report.study import Grid, Measure, figure, markdown, table
from latentscan.store.results import Result
from latentscan.study.answers import _fragments as fragments_of
from latentscan.study.answers import _random_points as random_points_of
from latentscan.study.grid import FULL, KINDS, SMALL, Size, runs_of
from latentscan.study.layout import Found, Layout
from latentscan.study.run import estimate_s, run_study

if TYPE_CHECKING:
    from pathlib import Path

TINY = replace(
    SMALL,
    name="tiny",
    images=60,
    side=16,
    kinds=tuple(kind for kind in KINDS if not kind.trained.get("batch_norm")),
    trained={"z_dim": 4, "filters": (4,), "epochs": 1, "batch_size": 16},
    analyses={
        "kmeans": {"k": (2, 3), "seeds": 1, "reference": False},
        "tsne": {"points": 40, "perplexity": 5, "iterations": 250},
        "randoms": {"points": 20},
    },
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Grid, list[str]]:
    out = tmp_path_factory.mktemp("study") / "out"
    said: list[str] = []
    return out, run_study(out, TINY, seeds=1, say=said.append), said


@pytest.mark.timeout(900)
def test_it_makes_all_of_it_and_again_nothing(study: tuple[Path, Grid, list[str]]) -> None:
    out, grid, said = study
    assert [line[:6] for line in said] == [
        "1 of 5",
        *["2 of 5"] * len(TINY.kinds),
        "3 of 5",
        "4 of 5",
        "5 of 5",
    ]
    assert {path.name for path in out.iterdir()} == {
        *("faces", "runs", "stores", "study.html", "study.json", "study.png")
    }
    before = {path: path.stat().st_mtime_ns for path in (out / "stores").rglob("*") if path.is_file()}
    again: list[str] = []
    assert run_study(out, TINY, seeds=1, say=again.append) == grid
    assert [line[:6] for line in again] == ["1 of 5", "3 of 5", "4 of 5", "5 of 5"]
    after = {path: path.stat().st_mtime_ns for path in (out / "stores").rglob("*") if path.is_file()}
    assert after == before
    page = (out / "study.html").read_text()
    assert "<title>latentscan: The study</title>" in page
    for answer in grid.answers:
        assert answer.split(":")[0] in page


@pytest.mark.timeout(900)
def test_figures_are_those_of_the_stored_results(study: tuple[Path, Grid, list[str]]) -> None:
    out, _, _ = study
    document = json.loads((out / "study.json").read_text())
    for kind in TINY.kinds:
        store = ls.open(str(out / "stores" / f"{kind.name}-0.zarr"))
        ledger = ls.ledger(store, str(out / "runs" / f"{kind.name}-0"), str(out / "faces"), progress=False)
        terms = dict(zip(ledger["term"].values, ledger["value"].values, strict=True))
        found = {name: one["kinds"][kind.name]["runs"] for name, one in document["figures"].items()}
        assert found["excess"] == [pytest.approx(terms["excess"])]
        if kind.trained["kind"] == "vae":
            assert found["kl"] == [pytest.approx(float(ls.stats(store, progress=False)["kl"].sum()))]
        else:
            assert found["kl"] == []
        of_mu = np.asarray(store.mu[:] if kind.trained["kind"] == "vae" else store.z[:], np.float64)
        assert found["radius"] == [pytest.approx(np.linalg.norm(of_mu, axis=1).mean(), rel=1e-6)]
        assert found["active"] == [(of_mu.var(axis=0) > 0.01).sum()]


def test_a_folder_with_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError):
        run_study(tmp_path, TINY, seeds=1)


@pytest.mark.parametrize("size", [SMALL, FULL])
def test_no_two_runs_share_first_weights(size: Size) -> None:
    grid = list(runs_of(size))
    assert len({run.name for run in grid}) == len({run.seed for run in grid}) == 25
    assert {run.kind.name for run in grid[: len(KINDS)]} == {kind.name for kind in KINDS}
    parameters = [run.parameters(size) for run in grid]
    assert len({one.model_dump_json() for one in parameters}) == 25


def test_the_layout_has_a_place_for_each(tmp_path: Path) -> None:
    layout, grid = Layout(tmp_path), list(runs_of(FULL, 2))
    assert len({layout.store(run) for run in grid} | {str(layout.run(run)) for run in grid}) == 20


def test_a_larger_study_takes_longer() -> None:
    larger = replace(TINY, images=6000)
    assert 0 < estimate_s(TINY, seeds=1) < estimate_s(larger, seeds=5)


def found_of(*verdicts: str) -> Found:
    results = (Result({}, {"fragments_verdict": one}) for one in verdicts)
    return Found({f"ae-{at}": {"randoms": one} for at, one in enumerate(results)}, {})


def test_what_lines_say_is_counted() -> None:
    (line,) = list(fragments_of(found_of("none", "fragments", "none")))
    assert line.endswith("By lines between real points: fragments in ae-1; none in 2 of 3 runs.")
    assert not list(fragments_of(Found({"ae-0": {"randoms": Result({}, {})}}, {})))


def test_random_points_are_told_by_kind() -> None:
    names = ("normal_precision", "normal_coverage", "fitted_precision", "fitted_coverage")
    shares = dict(zip(names, ([92.0, 92.0], [5.0, 5.0], [83.0, 83.0], [77.0, 77.0]), strict=True))
    grid = grid_of(**{name: ((one), ()) for name, one in shares.items()})
    (line,) = list(random_points_of(grid))
    assert "AE: 92 and 5 of N(0, 1), 83 and 77 of a Gaussian with the covariance of z." in line
    assert "VAE" not in line


def grid_of(**values: Any) -> Grid:
    kinds = ("ae", "vae")
    measures = tuple(Measure(name, f"{name}, nats", runs) for name, runs in values.items())
    return Grid(kinds, ("AE", "VAE"), measures)


def test_means_have_students_interval() -> None:
    from scipy import stats

    values = np.array([1.0, 2.5, 2.0, 4.0, 3.0])
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    mean, half = mean_interval(values)
    assert [mean - half, mean + half] == pytest.approx([low, high], rel=1e-3)


def test_the_table_of_a_document_has_what_the_terminal_shows() -> None:
    grid = grid_of(kl=((), (3.0, 4.0, 5.0)), excess=((100.0, 101.0), (110.0, 112.0)))
    assert markdown(grid).splitlines()[2:] == [
        "| kl, nats | – | 4.0 ± 2.5 |",
        "| excess, nats | 100.5 ± 6.4 | 111 ± 13 |",
    ]
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(table(grid))
    assert "100.5 ± 6.4" in captured.get()


def test_the_figure_has_a_dot_a_run_and_nothing_where_a_kind_has_no_figure() -> None:
    kl, excess = [
        axes
        for axes in figure(grid_of(kl=((), (3.0, 4.0, 5.0)), excess=((100.0,), (110.0, 112.0)))).axes
        if axes.axison
    ]
    dots: Any = kl.collections[0]
    assert len(dots.get_offsets()) == 3
    assert [label.get_text() for label in kl.get_yticklabels()] == ["ae", "vae"]
    assert excess.get_title(loc="left") == "excess, nats"
