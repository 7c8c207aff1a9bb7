"""Plans: what they predict is what happens; nothing is computed, and what is cached is left out."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.errors import StoreError
from latentscan.execution.context import Execution
from latentscan.images.preprocessing import Preprocessing
from latentscan.jobs.plan import plan_job
from latentscan.jobs.run import run_step
from latentscan.jobs.spec import Job, job_of, read_job
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import RunFolder, RunRecord
from latentscan.store.reader import LatentStore
from latentscan.store.writer import retract_blocks
from latentscan.synth.dataset import synthesize
from tests.builders import Recorder, build_store

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_TOO_MUCH = 3  # times the memory that a task really takes


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of every read of a block; of paths none, whose lengths nobody knows beforehand."""
    sizes: list[int] = []
    read_block = LatentStore.read_block

    def recorded(self: LatentStore, *arguments: Any) -> dict[str, Any]:
        values = read_block(self, *arguments)
        sizes.extend(array.nbytes for name, array in values.items() if name != "path")
        return values

    monkeypatch.setattr(LatentStore, "read_block", recorded)
    return sizes


def store_of(
    folder: Path,
    name: str = "z.zarr",
    *,
    images: int = 3000,
    components: int = 32,
    chunk_rows: int = 700,
    kind: str = "latents",
) -> str:
    return build_store(
        folder / name,
        images=images,
        components=components,
        chunk_rows=chunk_rows,
        seed=len(name),
        provenance={"seed": 0, "source": {"kind": kind}},
    ).location


def job(stores: Sequence[str], *analyses: Any, **more: Any) -> Job:
    return job_of({"store": list(stores), "analyses": list(analyses), **more}, name="mine", origin="mine")


def run(planned: Job, executor: Any) -> None:
    cache = Cache(CachePolicy(planned.results), Execution(executor))
    for step in planned.steps():
        run_step(step, cache)


KMEANS = {"k": "2:20:3", "seeds": 2, "batch_rows": 256, "labels": "5"}
MAP = {"points": 1200, "iterations": 60}
PASSES = ["stats", "axes", "pca"]


@pytest.fixture(scope="module", autouse=True)
def _libraries(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import what tasks need, which would count as memory of the first of them."""
    folder = tmp_path_factory.mktemp("libraries")
    run(job([store_of(folder, images=150)], *PASSES, {"kmeans": {"k": 2}}, {"tsne": MAP}), Recorder(1))


@pytest.mark.parametrize(
    ("analyses", "chunk_rows"),
    [
        *(([name], rows) for name in PASSES for rows in (5000, 700, 97)),
        ([{"kmeans": {"k": "4,30", "seeds": 3, "reference": "false", "array": "mu"}}], 700),
        ([{"kmeans": KMEANS}], 5000),
        ([{"tsne": MAP}], 97),
        (["pca", {"tsne": {**MAP, "points": 400}}, {"tsne": {**MAP, "perplexity": 10, "all": "true"}}], 700),
    ],
)
def test_what_is_planned_is_what_runs(
    tmp_path: Path, read_bytes: list[int], analyses: list[Any], chunk_rows: int
) -> None:
    planned = job([store_of(tmp_path, chunk_rows=chunk_rows)], *analyses)
    total = plan_job(planned, tasks_at_once=3).total
    for attempt in range(3):  # what other threads of this process happen to take is counted too
        workers = Recorder(3)
        read_bytes.clear()
        tracemalloc.start()
        try:
            run(replace(planned, results=str(tmp_path / f"results-{attempt}")), workers)
        finally:
            tracemalloc.stop()
        if workers.peak_bytes <= total.task_bytes:
            break
    assert total.tasks == workers.tasks
    assert total.bytes_read == sum(read_bytes)
    assert workers.peak_bytes <= total.task_bytes
    if "tsne" not in str(analyses):  # the grid of a map grows with its extent, which nobody knows beforehand
        assert total.task_bytes <= MOST_TOO_MUCH * workers.peak_bytes


def test_a_comparison_uses_what_is_cached(tmp_path: Path, read_bytes: list[int]) -> None:
    stores = [
        store_of(tmp_path, name, images=900, chunk_rows=rows) for name, rows in (("a", 200), ("bb", 450))
    ]
    compare = {"compare": {"k": "2,3", "seeds": 1, "points": 300, "iterations": 50, "sample": 500}}
    run(job(stores, "stats", "pca"), Recorder(1))
    alone, before = job(stores, compare), job(stores, {"kmeans": {"k": "2,3", "seeds": 1}}, compare)
    planned, later = plan_job(alone, tasks_at_once=1), plan_job(before, tasks_at_once=1)
    assert planned.total.tasks == later.total.tasks > later.steps[-1].cost.tasks  # type: ignore[union-attr]
    workers = Recorder(1)
    read_bytes.clear()
    run(alone, workers)
    assert planned.total.tasks == workers.tasks
    assert planned.total.bytes_read == sum(read_bytes)
    assert plan_job(before, tasks_at_once=1).total.tasks == 0


def test_a_comparison_of_images_reads_their_paths(tmp_path: Path) -> None:
    compare = {"compare": {"kmeans": "false", "tsne": "false", "sample": 50}}
    for kind in ("folder", "latents"):
        stores = [store_of(tmp_path, f"{kind}{rows}", chunk_rows=rows, kind=kind) for rows in (700, 1100)]
        planned, workers = plan_job(job(stores, compare), tasks_at_once=1), Recorder(1)
        run(job(stores, compare), workers)
        assert planned.total.tasks == workers.tasks, kind


def test_what_is_cached_is_not_planned_again(tmp_path: Path) -> None:
    stores = [store_of(tmp_path, name) for name in ("a", "bb")]
    run(job(stores[:1], "stats"), Recorder(1))
    asked = job(stores, "stats", "stats", {"stats": {"width": 0.25}})
    plan = plan_job(asked, tasks_at_once=1)
    assert [step.cached for step in plan.steps] == [True, False, True, True, False, False]
    assert [step["tasks"] for step in plan.document()["steps"]] == [0, 8, 0, 0, 8, 8]
    assert not any(step.cached for step in plan_job(job(stores, "stats"), tasks_at_once=1, force=True).steps)
    elsewhere = job(stores[:1], "stats", results=str(tmp_path / "elsewhere.zarr"))
    assert not plan_job(elsewhere, tasks_at_once=1).steps[0].cached
    assert not (tmp_path / "elsewhere.zarr").exists()


def test_a_plan_fails_as_the_job_would(tmp_path: Path) -> None:
    location = store_of(tmp_path)
    retract_blocks(location, [1])
    with pytest.raises(StoreError, match="4 of 5 blocks are written"):
        plan_job(job([location], "stats"), tasks_at_once=1)
    missing = str(tmp_path / "none.zarr")
    with pytest.raises(StoreError) as refused:
        plan_job(job([missing], "stats"), tasks_at_once=1)
    assert missing in str(refused.value)


def test_encoding_is_planned_without_the_model(tmp_path: Path, faces: Path, run_folder: Path) -> None:
    location = str(tmp_path / "z.zarr")
    encode = {"images": str(faces), "model": str(run_folder), "chunk_rows": 8}
    plan = plan_job(job([location], "stats", {"kmeans": {"k": "2"}}, encode=encode), tasks_at_once=1)
    first, stats, _ = (step.cost for step in plan.steps)
    assert first is not None
    assert first.tasks == 3 + 4  # blocks, and one more pass over them to count what was rejected
    size = sum(file.stat().st_size for file in faces.rglob("*.jpg"))
    assert first.bytes_read == size + 20
    assert stats is not None
    assert (stats.tasks, stats.bytes_read) == (4, 20 * (3 * 5 * 4 + 1))
    assert not (tmp_path / "z.zarr").exists()
    own = tmp_path / "own.keras"
    own.write_bytes(b"")
    unknown = plan_job(job([location], "stats", encode={**encode, "model": str(own)}), tasks_at_once=1)
    assert [step.cost for step in unknown.steps] == [None, None]
    assert unknown.document()["steps"][0]["tasks"] is None


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    synthesize(folder, 20, workers=1)
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves of itself before its first epoch: all that a plan reads."""
    folder = tmp_path_factory.mktemp("run")
    record = RunRecord(
        parameters=TrainParameters(kind="vae", z_dim=5, filters=(4, 8)),
        preprocessing=Preprocessing(size=32),
        source={},
        versions={},
        starts=(),
    )
    RunFolder(folder).write_record(record)
    return folder


JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_every_job_of_the_project_can_be_planned(
    tmp_path: Path, path: Path, faces: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("faces").symlink_to(faces)
    for name in ("ae", "vae"):
        Path(name).symlink_to(run_folder)
        if "encode:" not in path.read_text():
            store_of(tmp_path, f"{name}.zarr", images=200, components=4)
    plan = plan_job(read_job(path), tasks_at_once=2)
    assert plan.steps
    if "train:" in path.read_text():  # what is encoded and analysed is not known before
        assert {step.cost for step in plan.steps} == {None}
    else:
        assert all(step.cost is not None and step.cost.tasks for step in plan.steps)


def test_the_jobs_are_those_that_the_project_has() -> None:
    assert [path.stem for path in JOBS] == ["encode", "grid", "kmeans", "stats", "study", "tsne"]
