"""Job files: what they may say, and one line for each mistake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latentscan.errors import UsageError
from latentscan.jobs.spec import job_of, read_job
from latentscan.study.grid import FULL, runs_of

JOBS = Path(__file__).parents[2] / "jobs"
HERE = {"name": "mine", "origin": "mine.yaml"}


def written(folder: Path, text: str) -> Path:
    path = folder / "my-job.yaml"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read_job(written(folder, text))
    return [line.removeprefix(f"{folder / 'my-job.yaml'}: ") for line in str(caught.value).splitlines()]


def test_a_job_says_what_is_run(tmp_path: Path) -> None:
    job = read_job(
        written(
            tmp_path,
            """
            store: [ae.zarr, s3://bucket/vae.zarr]
            encode: {images: faces, model: [ae, vae], size: 64, chunk_rows: 512}
            analyses:
              - stats
              - kmeans: {k: 2:40:2, seeds: 3}
              - tsne: {points: 80000}
              - tsne: {points: 2e4}
              - axes:
              - tsne:
              - compare: {sample: 500}
            results: there.zarr
            """.replace("2e4", "20000"),
        )
    )
    here = Path.cwd()
    assert job.name == "my-job"
    assert job.stores == (str(here / "ae.zarr"), "s3://bucket/vae.zarr")
    assert job.home == job.results == str(here / "there.zarr")
    assert job.encode is not None
    assert job.encode.images == str(here / "faces")
    assert job.encode.preprocessing == {"size": 64}
    assert (job.encode.parameters.chunk_rows, job.encode.parameters.seed) == (512, None)
    steps = [(step.name, len(step.stores), len(step.parameters)) for step in job.steps()]
    assert steps == [
        ("encode", 2, 1),  # in one pass over the images
        *[("stats", 1, 1)] * 2,
        *[("kmeans", 1, 1)] * 2,
        *[("tsne", 1, 2)] * 2,  # neighbours in the list are run together
        *[("axes", 1, 1)] * 2,
        *[("tsne", 1, 1)] * 2,
        ("compare", 2, 1),
    ]
    kmeans: Any = next(step.parameters[0] for step in job.steps() if step.name == "kmeans")
    assert kmeans.k[:3] == (2, 4, 6)
    assert kmeans.k[-1] == 40  # YAML 1.1 would read 2:40:2 as 9602
    assert job_of(job.document, **HERE).document == job.document


def test_the_grid_is_that_of_the_study() -> None:
    job = read_job(JOBS / "grid.yaml")
    runs = list(runs_of(FULL))
    folders = [str(Path.cwd() / "grid" / run.name) for run in runs]
    assert [one.parameters for one in job.train] == [run.parameters(FULL) for run in runs]
    assert [one.out for one in job.train] == folders
    assert job.encode is not None
    assert list(job.encode.model) == folders
    assert list(job.stores) == [f"{folder}.zarr" for folder in folders]
    assert [step.name for step in job.steps()][:26] == ["train"] * 25 + ["encode"]


def test_a_single_store_and_model_need_no_list(tmp_path: Path) -> None:
    job = read_job(written(tmp_path, "store: z.zarr\nencode: {images: faces, model: run}\n"))
    assert job.home == str(Path.cwd() / "z.zarr")
    assert [step.name for step in job.steps()] == ["encode"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("store: z.zarr\nstore: y.zarr", "line 2, column 1: the key store is given twice"),
        ("store: &a z.zarr\nresults: *a", "line 2, column 10: aliases are not supported"),
        ("store: [z.zarr", "line 1, column 15: "),
        ("store: !!python/name:os.system x", "line 1, column 8: "),
        ("- stats", "expected the keys store, train, encode, analyses, report, results, got ['stats']"),
        ("analyses: [stats]", "store: is missing"),
        ("store: z.zarr", "analyses: nothing is to be done"),
        ("store: []\nanalyses: [stats]", "store: []: expected"),
        ("store: z.zarr\nanalyses: stats", "analyses: stats: expected a list"),
        (
            "store: z.zarr\nanalyzes: [stats]",
            "analyzes: unknown key; there are store, train, encode",
        ),
        (
            "store: z.zarr\nanalyses: [statz]",
            "analyses.0: statz: unknown analysis; there are stats, ",
        ),
        (
            "store: z.zarr\nanalyses: [{stats: , axes: }]",
            "analyses.0: ['stats', 'axes']: expected one analysis",
        ),
        (
            "store: z.zarr\nanalyses: [stats, kmeans: {k: 0:3}]",
            "analyses.1.kmeans.k: 0:3: expected one number of clusters or more, each at least 1",
        ),
        ("store: z.zarr\nanalyses: [kmeans: {seed: NO}]", "analyses.0.kmeans.seed: NO: expected"),
        (
            "store: z.zarr\nanalyses: [tsne: {pointz: 9}]",
            "analyses.0.tsne.pointz: unknown key; there are array, points",
        ),
        ("store: z.zarr\nanalyses: [compare]", "analyses.0.compare: "),
        ("store: [a, b]\nanalyses: [logvar]", "analyses.0.logvar.model: is missing"),
        (
            "store: [a, b]\nanalyses: [ledger: {model: [x, y, z]}]",
            "analyses.0.ledger.model: x, y, z: expected one for all stores, or one for each of them, 2",
        ),
        ("store: [z.zarr, ./z.zarr]\nanalyses: [stats]", "store.1: ./z.zarr: given twice"),
        (
            "store: [a, b]\nencode: {images: faces, model: run}",
            "encode.model: run: expected one for each store, 2, got 1",
        ),
        ("store: a\nencode: {model: run}", "encode.images: is missing"),
        ("store: a\ntrain: [{kind: ae, images: faces}]", "train.0.out: is missing"),
        ("store: a\ntrain: [{kind: ae, images: f, out: a, epoch: 2}]", "train.0.epoch: unknown key"),
        ("store: a\ntrain: [{kind: ae, images: f, out: a, epochs: 0}]", "train.0.epochs: 0: expected"),
        (
            "store: a\ntrain: [{kind: ae, images: f, out: a, fact: 5}]",
            "train.0.fact: leave it out: an autoencoder",
        ),
        (
            "store: a\ntrain: [{kind: ae, images: f, out: a}, {kind: vae, images: f, out: ./a}]",
            f"train.1.out: {Path.cwd() / 'a'}: given twice; train each into a folder of its own",
        ),
        (
            "store: a\nencode: {images: i, model: s3://b/run}",
            "encode.model.0: s3://b/run: expected a model on a disk; copy it",
        ),
        ("store: a\nencode: {images: i, model: run, crop: -1}", "encode.crop: -1: expected"),
        (
            "store: a\nencode: {images: i, model: run, sice: 3}",
            "encode.sice: unknown key; there are crop, size",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    assert mistakes(tmp_path, text)[0].startswith(expected), mistakes(tmp_path, text)


def test_each_store_has_its_own_model(tmp_path: Path) -> None:
    text = "store: [a, b]\nanalyses: [ledger: {model: [x, y], images: faces}]"
    here = Path.cwd()
    assert [(step.stores, step.named) for step in read_job(written(tmp_path, text)).steps()] == [
        ((str(here / store),), {"model": str(here / model), "images": str(here / "faces")})
        for store, model in (("a", "x"), ("b", "y"))
    ]


def test_all_mistakes_of_a_kind_are_named_at_once(tmp_path: Path) -> None:
    lines = mistakes(
        tmp_path,
        "store: z.zarr\nanalyses:\n  - stats: {width: 0, upper: -1}\n  - kmeanz:\n  - axes: {far: x}\n",
    )
    assert [line.split(":")[0] for line in lines] == [
        "analyses.0.stats.upper",
        "analyses.0.stats.width",
        "analyses.1",
        "analyses.2.axes.far",
    ]


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as missing:
        read_job(tmp_path / "nothing.yaml")
    assert str(tmp_path / "nothing.yaml") in str(missing.value)
    assert "expected a job file" in str(missing.value)


def test_a_job_ends_with_its_page(tmp_path: Path) -> None:
    text = "store: [a.zarr, b.zarr]\nreport: {out: page.html, images: faces, model: [a, b]}"
    job = read_job(written(tmp_path, text))
    (step,) = job.steps()
    assert (step.name, step.stores) == ("report", job.stores)
    assert job.report is not None
    assert job.report.out == str(Path("page.html").absolute())
    assert job.report.model == (str(Path("a").absolute()), str(Path("b").absolute()))
    assert job_of(job.document, **HERE) == replace(job, name="mine")


def test_what_a_page_cannot_be_is_said(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "store: a.zarr\nreport: {out: page.pdf, titel: x}") == [
        "report.out: page.pdf: expected a name that ends in .html",
        "report.titel: unknown key; there are out, images, root, assets, model, trust_model",
    ]
    assert mistakes(tmp_path, "store: a.zarr\nreport: {out: a.html, model: [a, b]}") == [
        "report.model: a, b: expected one for each store, 1, got 2"
    ]
