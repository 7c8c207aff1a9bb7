"""Running jobs: step after step, and nothing is computed twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.analyses.analysis import Analysis
from latentscan.errors import ParameterError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs.journal import CancelledJobError
from latentscan.jobs.plan import all_cached, plan_job
from latentscan.jobs.record import read_record, request_cancel
from latentscan.jobs.run import begin_record, submit_job
from latentscan.jobs.spec import job_of
from latentscan.models.run_folder import RunFolder
from latentscan.synth.dataset import synthesize
from tests.jobs.examples import LONG, Watcher, connected, dask_cluster, job, last, store_of, submit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.analyses.analysis import Task
    from latentscan.jobs.record import StepRecord
    from latentscan.jobs.spec import Job
    from latentscan.store.results import Result


def test_a_job_trains_what_it_encodes_and_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    synthesize(tmp_path / "faces", 24, workers=1)
    faces, run = str(tmp_path / "faces"), str(tmp_path / "vae")
    quick = {"z_dim": 3, "filters": ["4"], "batch_size": 8, "size": 16, "split": "all"}

    def asked(epochs: int, **more: Any) -> Job:
        training = {"kind": "vae", "images": faces, "out": run, "epochs": epochs, **quick, **more}
        encode = {"images": faces, "model": run}
        return job([str(tmp_path / "vae.zarr")], "stats", train=[training], encode=encode)

    planned = plan_job(asked(1), tasks_at_once=2)
    assert [(step.name, step.cached, step.cost) for step in planned.steps] == [
        *[("train", False, None), ("encode", False, None), ("stats", False, None)]
    ]
    assert planned.steps[0].stores == (run,)
    first = submit(asked(1))
    assert [(step.name, step.cached) for step in first.steps] == [
        *[("train", False), ("encode", False), ("stats", False)]
    ]
    assert first.steps[0].store == first.steps[0].result == run
    assert len(RunFolder(Path(run)).finished()) == 1
    assert all_cached(asked(1))
    assert all(step.cached for step in submit(asked(1)).steps)
    with pytest.raises(UsageError, match=r"fact is 1e-05 in the record, got 5\.0"):
        submit(asked(1, fact=5))
    assert not all_cached(asked(2))
    (planned_again, *_) = plan_job(asked(2), tasks_at_once=2).steps
    assert not planned_again.cached
    with pytest.raises(UsageError, match="another"):  # the store is of the epoch before
        submit(asked(2))
    assert len(RunFolder(Path(run)).finished()) == 2


def test_a_job_is_run_once(tmp_path: Path) -> None:
    asked = job(
        [store_of(tmp_path, "a.zarr"), store_of(tmp_path, "bb.zarr")],
        "stats",
        {"tsne": {"points": 200, "iterations": 40}},
        {"tsne": {"points": 150, "iterations": 40}},
        {"compare": {"k": "2,3", "seeds": 1, "points": 200, "iterations": 40, "sample": 300}},
    )
    done: list[StepRecord] = []
    first = submit(asked, on_step_done=done.append)
    assert first == read_record(asked.home, first.id)
    assert (first.state, first.exit_code, first.error) == ("done", 0, None)
    assert [(step.name, step.state, step.cached) for step in first.steps] == [
        *[("stats", "done", False)] * 2,
        *[("tsne", "done", False)] * 2,
        ("compare", "done", False),
    ]
    assert done == list(first.steps)
    assert first.steps[1].result == f"{asked.stores[1]}/analyses/stats"
    assert first.started is not None
    assert first.ended is not None
    assert first.submitted <= first.started <= first.ended
    assert first.log[-1][1] == "done"
    results = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("analyses/**/zarr.json")}
    second = submit(asked)
    assert all(step.cached for step in second.steps)
    assert results == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("analyses/**/zarr.json")}
    third = submit(job(asked.stores, "stats"), force=True)
    assert not any(step.cached for step in third.steps)


def test_what_is_computed_anew_for_one_step_is_not_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: Counter[str] = Counter()
    run = Analysis.run

    def count(self: Analysis[Any], tasks: Sequence[Task[Any, Any]]) -> list[Result]:
        runs[self.name] += len(tasks)
        return run(self, tasks)

    monkeypatch.setattr(Analysis, "run", count)
    asked = job(
        [store_of(tmp_path, "a.zarr")],
        "pca",
        {"kmeans": {"k": "2,3", "seeds": 1}},
        {"tsne": {"points": 150, "iterations": 40}},
    )
    for _ in range(2):
        record = submit(asked, force=True)
        assert [step.cached for step in record.steps] == [False] * 3
        assert set(runs.values()) == {1}, runs
        runs.clear()


def test_results_and_records_are_saved_where_the_job_says(store: str, tmp_path: Path) -> None:
    there = str(tmp_path / "there.zarr")
    asked = job([store], "stats", results=there)
    for cached in (False, True):
        record = submit(asked)
        assert [(step.cached, step.result) for step in record.steps] == [(cached, f"{there}/analyses/stats")]
    assert not (tmp_path / "z.zarr" / "jobs").exists()


def test_a_step_that_fails_ends_the_job(store: str) -> None:
    asked = job([store], "stats", {"kmeans": {"k": 5000, "batch_rows": 6000}}, "axes")
    with pytest.raises(ParameterError) as refused:
        submit(asked)
    assert refused.value.field == "k"
    record = last(asked)
    assert (record.state, record.exit_code) == ("failed", 2)
    assert record.error is not None
    assert record.error.startswith("k: 5000")
    assert [step.state for step in record.steps] == ["done", "failed", "waiting"]
    assert record.steps[1].error == record.error
    assert submit(job([store], "stats")).steps[0].cached


def test_what_was_computed_anew_is_not_once_more_when_a_job_is_taken_up(store: str) -> None:
    asked = job([store], "stats", "axes")
    submit(asked)
    record = begin_record(asked, ThreadedExecutor())
    first, second = record.steps
    lost = replace(record, state="running", steps=(replace(first, state="done"), second))
    taken_up = submit_job(asked, ThreadedExecutor(), lost, force=True)
    assert [step.cached for step in taken_up.steps] == [True, False]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ten faces, of which one is damaged, and a model."""
    import keras

    from latentscan.synth.dataset import synthesize

    folder = tmp_path_factory.mktemp("encoded")
    synthesize(folder / "faces", 10, workers=1)
    next((folder / "faces").rglob("000004.jpg")).write_bytes(b"no image")
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(3, name="z")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(folder / "model.keras")
    return {"images": str(folder / "faces"), "model": str(folder / "model.keras"), "outputs": "z=0"}


def test_encoding_comes_first(tmp_path: Path, encoded: dict[str, Any]) -> None:
    asked = job([str(tmp_path / "z.zarr")], "stats", encode={**encoded, "chunk_rows": 4})
    rejected: list[Any] = []
    for cached in (False, True):
        record = submit(asked, on_rejects=lambda *found: rejected.append(found))
        assert (record.state, record.exit_code) == ("done", 3)
        assert [(step.name, step.cached) for step in record.steps] == [("encode", cached), ("stats", cached)]
        ((place, summary),) = rejected
        assert place == asked.home
        assert sum(summary.rejected.values()) == 1
        rejected.clear()
    assert all_cached(asked)
    again = job(
        [str(tmp_path / "z.zarr")], "stats", encode={**encoded, "chunk_rows": 4, "retry_rejected": "true"}
    )
    assert not all_cached(again)
    assert [step.cached for step in plan_job(again, tasks_at_once=1).steps] == [False, False]
    assert not all_cached(job([str(tmp_path / "y.zarr")], encode=encoded))
    with pytest.raises(ParameterError) as refused:
        submit(job([str(tmp_path / "y.zarr")], encode={**encoded, "seed": 1}))
    assert refused.value.field == "seed"


def test_a_cluster_computes_the_same_and_a_job_on_it_can_be_cancelled(
    tmp_path: Path, store: str, quick: None
) -> None:
    asked = job([store], LONG)
    with dask_cluster(tmp_path, workers=1) as (address, _), connected(address) as cluster:
        record = begin_record(asked, cluster)
        watcher = Watcher(lambda: request_cancel(asked.home, record.id))
        with pytest.raises(CancelledJobError):
            submit_job(asked, cluster, record, progress=watcher)
        short = job([store], "stats", "axes")
        record = submit_job(short, cluster, begin_record(short, cluster))
        assert cluster.announced()[record.id]["store"] == store
        assert [step.cached for step in record.steps] == [False, False]
        assert record.cluster == address
    assert [step.cached for step in submit(short).steps] == [True, True]


def test_the_page_of_a_job_shows_what_it_computed(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a.zarr")
    page = tmp_path / "page.html"
    document = {"store": [store], "analyses": ["stats"], "report": {"out": str(page)}}
    asked = job_of(document, name="page", origin="page.yaml")
    record = submit(asked)
    assert [(step.name, step.state, step.cached) for step in record.steps] == [
        ("stats", "done", False),
        ("report", "done", False),
    ]
    assert record.steps[1].result == str(page)
    assert 'id="analysis-stats"' in page.read_text()
    assert not all_cached(asked)
    assert [step.name for step in plan_job(asked, tasks_at_once=2).steps] == ["stats", "report"]
