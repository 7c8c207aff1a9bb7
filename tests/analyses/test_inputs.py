"""What analyses are of: each kind with an analysis of its own, in Python, as a command, and in a job."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

import latentscan as ls
from latentscan.analyses.analysis import Analysis, Parameters, Request, Task
from latentscan.analyses.cache import Cache, CachePolicy, key_of
from latentscan.analyses.functions import evaluate
from latentscan.analyses.inputs import (
    Identity,
    Inputs,
    OneStore,
    RunFolder,
    SeveralStores,
    StoreAndDecoder,
    StoreAndImages,
    StoreAndModel,
)
from latentscan.analyses.origins import StoreAndOrigins
from latentscan.analyses.pca import PCA
from latentscan.analyses.registry import ANALYSES
from latentscan.cli.analysis_commands import add_analysis
from latentscan.errors import ParameterError, StoreError, UsageError
from latentscan.jobs.plan import plan_job
from latentscan.jobs.run import run_step
from latentscan.jobs.spec import job_of
from latentscan.scan.cost import Cost
from latentscan.store.metadata import RESULTS
from latentscan.store.results import Result, Results, Variable
from tests.analyses.quick import compute
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from tests.analyses.quick import Given

KINDS = (
    OneStore,
    SeveralStores,
    StoreAndModel,
    StoreAndDecoder,
    StoreAndImages,
    StoreAndOrigins,
    RunFolder,
)


class ProbeParameters(Parameters):
    """The parameters of the analysis that is tested with."""

    factor: int = 1


def count_images(task: Task[ProbeParameters, Inputs]) -> Result:
    """Count the images of all stores."""
    images = sum(snapshot.schema.images for snapshot in task.inputs.stores)
    return Result({"images": Variable((), np.array(task.parameters.factor * images))}, {})


def probe_of(inputs: type[Inputs]) -> Analysis[ProbeParameters]:
    return Analysis(
        name="probe",
        version=1,
        parameters=ProbeParameters,
        inputs=inputs,
        compute=count_images,
        cost=lambda _setting, _parameters: Cost(1),
    )


def probe() -> None:
    """Count images."""


def to_json(result: Result) -> dict[str, Any]:
    return {"counted": int(result["images"])}


def table(results: Mapping[str, Result]) -> str:
    return "\n".join(f"{name}: {int(result['images'])}" for name, result in results.items())


def figure(results: Mapping[str, Result]) -> Figure:
    drawn = Figure()
    drawn.add_subplot().bar(list(results), [int(result["images"]) for result in results.values()])
    return drawn


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def registered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Analysis[ProbeParameters]:
    """Register an analysis as one word, with the modules that a word names."""
    analysis = probe_of(request.param)
    module, view = ModuleType("latentscan.analyses.probe"), ModuleType("latentscan.report.probe")
    vars(module).update(PROBE=analysis, probe=probe)
    vars(view).update(to_json=to_json, table=table, figure=figure)
    for one in (module, view):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    monkeypatch.setattr(ANALYSES, "_names", (*ANALYSES, "probe"))
    return analysis


def locations(given: Given) -> dict[str, Any]:
    """Name by their locations what is opened."""
    named: dict[str, Any] = {}
    for name, value in given.items():
        if name == "stores":
            named[name] = [store.location for store in value.values()]
        else:
            named[name] = value.location if name == "store" else str(value)
    return named


def call(*words: str) -> Any:
    app = typer.Typer()
    add_analysis(app, "probe")
    return CliRunner().invoke(app, [*words])


def words_of(analysis: Analysis[Any], named: Given) -> list[str]:
    words: list[str] = []
    for argument in analysis.inputs.arguments:
        if argument.name not in named:
            assert not argument.required
            continue
        value = named[argument.name]
        words += value if argument.several else [f"--{argument.name}", value]
    return words


def images_of(named: Given) -> int:
    """Count the images of the stores that are named."""
    if "model" in named or "images" in named:
        return 12
    return 150 * ("store" in named) + 300 * ("stores" in named)


def all_kinds(kind: type[Inputs] = Inputs) -> set[type[Inputs]]:
    """Return the kinds of inputs that there are."""
    below = {found for one in kind.__subclasses__() for found in all_kinds(one)}
    return below if kind is Inputs else {kind, *below}


def test_every_kind_is_tested_here() -> None:
    assert {kind for kind in all_kinds() if kind.__module__.startswith("latentscan.")} == set(KINDS)


def test_an_analysis_of_it_is_computed_and_cached(
    tmp_path: Path, given: Callable[[Any], Given], registered: Analysis[ProbeParameters]
) -> None:
    named = given(registered.inputs)
    request = Request(registered, ProbeParameters(factor=2))
    named_again = named if "stores" in named else locations(named)
    inputs, again = registered.inputs.open(named), registered.inputs.open(named_again)
    found = compute(request, inputs, tmp_path / "results.zarr")
    assert int(found["images"]) == 2 * images_of(named)
    assert found.attributes["key"] == key_of(request, again.identity)
    read = compute(request, again, tmp_path / "results.zarr", cached_only=True)
    assert read.attributes == found.attributes
    assert Identity.of_document(inputs.identity.document()) == inputs.identity
    function = evaluate(
        registered,
        named,
        {"factor": 2},
        {"results": str(tmp_path / "results.zarr"), "progress": False},
    )
    assert function.attributes == found.attributes


def test_an_analysis_of_it_is_a_command(
    tmp_path: Path, given: Callable[[Any], Given], registered: Analysis[ProbeParameters]
) -> None:
    named = locations(given(registered.inputs))
    picture, results = tmp_path / "probe.png", str(tmp_path / "results.zarr")
    words = [*words_of(registered, named), "--factor", "3", "--results", results]
    done = call(*words, "--json", "--plot", str(picture))
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert picture.stat().st_size > 0
    assert document.pop("counted") == 3 * images_of(named)
    assert document == {name: value for name, value in named.items() if name != "stores"}
    shown = call(*words)
    assert (shown.exit_code, shown.stdout.strip().endswith(f": {3 * images_of(named)}")) == (0, True)
    for argument in registered.inputs.arguments:
        if argument.required and not argument.several:
            at = words.index(f"--{argument.name}")
            lacking = call(*words[:at], *words[at + 2 :])
            assert lacking.exit_code == 2
            assert f"--{argument.name}" in lacking.stderr


def test_an_analysis_of_it_is_a_step_of_a_job(
    tmp_path: Path, given: Callable[[Any], Given], registered: Analysis[ProbeParameters]
) -> None:
    named = locations(given(registered.inputs))
    stores = named.pop("stores", None) or [named.pop("store", str(tmp_path / "any.zarr"))]
    document = {
        "store": stores,
        "results": str(tmp_path / "results.zarr"),
        "analyses": [{"probe": {"factor": 4, **named}}],
    }
    job = job_of(document, name="mine", origin="mine.yaml")
    (step,) = job.steps()
    planned = plan_job(job, tasks_at_once=2).steps[0]
    assert (planned.cached, planned.cost) == (False, Cost(1))
    policy = CachePolicy(job.results)
    home, cached = run_step(step, Cache(policy))
    assert (home, cached) == (job.results, False)
    assert run_step(step, Cache(policy)) == (home, True)
    planned = plan_job(job, tasks_at_once=2).steps[0]
    assert (planned.cached, planned.cost) == (True, Cost())


@pytest.mark.parametrize("registered", [StoreAndModel, StoreAndImages, RunFolder], indirect=True)
def test_a_job_that_does_not_say_what_it_is_of_is_refused(registered: Analysis[ProbeParameters]) -> None:
    missing = [one.name for one in registered.inputs.arguments if one.required and one.name != "store"]
    with pytest.raises(UsageError) as refused:
        job_of({"store": ["z.zarr"], "analyses": [{"probe": {}}]}, name="mine", origin="mine.yaml")
    assert f"mine.yaml: analyses.0.probe.{missing[0]}: is missing" in str(refused.value)


def test_a_store_is_named_or_opened(stores: dict[str, LatentStore]) -> None:
    named, opened = (OneStore.open({"store": one}) for one in (stores["one"].location, stores["one"]))
    assert named.identity == opened.identity
    assert named.home == stores["one"].location
    assert named.document() == {"store": stores["one"].location}


def test_a_store_that_is_not_there(tmp_path: Path, stores: dict[str, LatentStore]) -> None:
    absent = str(tmp_path / "none.zarr")
    for open_it in (
        lambda: OneStore.open({"store": absent}),
        lambda: SeveralStores.open({"stores": [stores["one"].location, absent]}),
    ):
        with pytest.raises(StoreError, match=r"none\.zarr"):
            open_it()


def test_several_stores_are_named_by_their_paths_and_each_once(
    tmp_path: Path, stores: dict[str, LatentStore]
) -> None:
    one, two = (stores[name].location for name in ("one", "two"))
    several = SeveralStores.open({"stores": [two, one]})
    assert list(several.snapshots) == ["two.zarr", "one.zarr"]
    assert several.home == two
    assert several.identity.of_each_store() == tuple(
        OneStore.open({"store": store}).identity for store in (two, one)
    )
    with pytest.raises(UsageError, match="expected two stores or more, got one"):
        SeveralStores.open({"stores": [one]})
    (tmp_path / "link.zarr").symlink_to(one)
    for same in ([one, one], [one, str(tmp_path / "link.zarr")], [one, f"{one}/"]):
        with pytest.raises(UsageError, match="name each"):
            SeveralStores.open({"stores": same})


def test_a_model_is_a_run_folder_or_a_file(run_folder: Path, encoded: LatentStore) -> None:
    folder, file = (
        StoreAndModel.open({"store": encoded, "model": model})
        for model in (run_folder, run_folder / "encoder.keras")
    )
    assert folder.identity == file.identity
    assert folder.identity != OneStore.open({"store": encoded}).identity
    assert folder.document() == {"store": encoded.location, "model": str(run_folder)}


def test_a_decoder_is_that_of_the_run_or_beside_the_encoder_or_alone(
    tmp_path: Path, run_folder: Path, encoded: LatentStore, stores: dict[str, LatentStore]
) -> None:
    encoder, decoder = run_folder / "encoder.keras", run_folder / "decoder.keras"
    run = StoreAndDecoder.open({"store": encoded, "model": run_folder})
    beside = StoreAndDecoder.open({"store": encoded, "model": encoder, "decoder": decoder})
    alone = StoreAndDecoder.open({"store": encoded, "model": decoder})
    assert (run.decodes, beside.decodes, alone.decodes) == (run_folder, decoder, decoder)
    assert (run.encoder, beside.encoder, alone.encoder) == (run_folder, encoder, None)
    assert run.identity == beside.identity != alone.identity
    assert StoreAndDecoder.open({"store": stores["one"], "model": decoder}).hashes == alone.hashes
    assert beside.document() == {
        "store": encoded.location,
        "model": str(encoder),
        "decoder": str(decoder),
    }
    with pytest.raises(UsageError, match=r"its decoder is not known; name it: .*decoder"):
        StoreAndDecoder.open({"store": encoded, "model": encoder})
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(run_folder / "run.json", begun)
    with pytest.raises(ParameterError, match="no epoch was finished"):
        StoreAndDecoder.open({"store": encoded, "model": begun})


def test_a_model_that_did_not_write_the_store_is_refused(
    tmp_path: Path, run_folder: Path, encoded: LatentStore, stores: dict[str, LatentStore]
) -> None:
    from latentscan.models.networks import build_encoder
    from latentscan.models.parameters import TrainParameters

    other = tmp_path / "other.keras"
    build_encoder(TrainParameters(kind="vae", z_dim=5, filters=(4,), seed=1), 16).save(other)
    for model in (other, tmp_path / "none.keras"):
        with pytest.raises(ParameterError) as refused:
            StoreAndModel.open({"store": encoded, "model": model})
        assert (refused.value.field, refused.value.value) == ("model", model)
    with pytest.raises(UsageError, match="not written by an encoder"):
        StoreAndModel.open({"store": stores["one"], "model": run_folder})


@pytest.mark.parametrize("registered", [StoreAndModel], indirect=True)
def test_the_command_names_the_option_of_another_model(
    tmp_path: Path,
    encoded: LatentStore,
    registered: Analysis[ProbeParameters],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.keras").write_bytes(b"another")
    done = call("--store", encoded.location, "--model", "other.keras")
    assert done.exit_code == 2
    assert "--model other.keras:" in " ".join(done.stderr.split())
    assert "name the model that wrote the store" in " ".join(done.stderr.split())


def test_images_that_were_not_encoded_are_refused(
    tmp_path: Path, faces: Path, encoded: LatentStore, stores: dict[str, LatentStore]
) -> None:
    known = StoreAndImages.open({"store": encoded, "images": faces})
    assert known.identity == StoreAndImages.open({"store": encoded, "images": str(faces)}).identity
    assert known.identity != OneStore.open({"store": encoded}).identity
    fewer, renamed = tmp_path / "fewer", tmp_path / "renamed"
    for folder in (fewer, renamed):
        shutil.copytree(faces, folder)
    first, *_ = sorted(renamed.rglob("*.jpg"))
    first.rename(first.with_name("000000.jpg"))
    images = sorted(fewer.rglob("*.jpg"))
    for extra in fewer.glob("*.txt"):
        extra.unlink()
    images[-1].unlink()
    for folder in (fewer, renamed):
        for extra in (*folder.glob("*.txt"), *folder.glob("*.csv")):
            extra.unlink()
        with pytest.raises(ParameterError) as refused:
            StoreAndImages.open({"store": encoded, "images": folder})
        assert (refused.value.field, refused.value.value) == ("images", str(folder))
        assert "name the images that were encoded" in str(refused.value)
    with pytest.raises(UsageError, match="not written from images"):
        StoreAndImages.open({"store": stores["one"], "images": faces})


def test_what_it_requires_of_its_store_alone_is_narrowed_to_that(
    tmp_path: Path, run_folder: Path, encoded: LatentStore
) -> None:
    parameters, of_pca = ProbeParameters(), Request(PCA, PCA.parameters())

    def count_axes(task: Task[ProbeParameters, StoreAndModel]) -> Result:
        return Result({"images": Variable((), np.array(len(task.result_of(of_pca)["axes"])))}, {})

    analysis = replace(
        probe_of(StoreAndModel), requires=lambda _: (of_pca,), shows=("pca",), compute=count_axes
    )
    inputs, policy = StoreAndModel.open({"store": encoded, "model": run_folder}), CachePolicy(str(tmp_path))
    assert not Cache(policy).has(Request(analysis, parameters), inputs)
    found = Cache(policy).result(Request(analysis, parameters), inputs)
    assert int(found["images"]) == encoded.schema.components
    (part,) = found.parts["pca"]
    alone = OneStore.open({"store": encoded})
    only_cached = CachePolicy(str(tmp_path), cached_only=True)
    assert part.attributes == Cache(only_cached).result(of_pca, alone).attributes
    assert Cache(policy).has(Request(analysis, parameters), inputs)
    Results(str(tmp_path)).remove(f"{RESULTS}/pca/{part.attributes['key']}")
    assert not Cache(policy).has(Request(analysis, parameters), inputs)


def test_the_folder_of_a_list_decides_which_images_are_read(tmp_path: Path, run_folder: Path) -> None:
    for name, shade in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.full((16, 16, 3), shade + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    images, store = tmp_path / "images.txt", str(tmp_path / "z.zarr")
    images.write_text("0.png\n1.png\n2.png\n")
    ls.encode(run_folder, images, store, root=str(tmp_path / "dark"), progress=False)
    dark, light = (
        StoreAndImages.open({"store": store, "images": images, "root": tmp_path / name})
        for name in ("dark", "light")
    )
    assert dark.identity != light.identity
    assert dark.document() == {"store": store, "images": str(images), "root": str(tmp_path / "dark")}
    means = [one.source.read(0, 3).values.mean() for one in (dark, light)]
    assert means[0] < means[1]


def test_results_of_a_run_are_cached_in_its_folder(tmp_path: Path, run_folder: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run, ignore=shutil.ignore_patterns("results.zarr"))
    request = Request(probe_of(RunFolder), ProbeParameters())
    inputs = RunFolder.open({"run": run})
    found = Cache().result(request, inputs)
    assert (run / "results.zarr" / "analyses" / "probe" / found.attributes["key"]).is_dir()
    assert Cache().has(request, RunFolder.open({"run": str(run)}))
    history = run / "history.csv"
    history.write_bytes(history.read_bytes() + history.read_bytes().splitlines(keepends=True)[-1])
    assert not Cache().has(request, RunFolder.open({"run": run}))  # one more epoch
    assert inputs.document() == {"run": str(run)}


def test_a_run_without_an_epoch_or_a_record(tmp_path: Path, run_folder: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run, ignore=shutil.ignore_patterns("history.csv"))
    with pytest.raises(ParameterError) as refused:
        RunFolder.open({"run": run})
    assert (refused.value.field, refused.value.value) == ("run", run)
    with pytest.raises(UsageError):
        RunFolder.open({"run": tmp_path})


def test_a_part_of_a_store_is_another_input(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=11, chunk_rows=4, blocks=(0, 2))
    with pytest.raises(StoreError):
        OneStore.open({"store": store})
    assert OneStore.open({"store": store}, allow_partial=True).stores[0].blocks == [0, 2]
    whole = build_store(tmp_path / "whole.zarr", images=11)
    with pytest.raises(StoreError):
        SeveralStores.open({"stores": {"whole": whole, "part": store}})
    several = SeveralStores.open({"stores": {"whole": whole, "part": store}}, allow_partial=True)
    assert [snapshot.blocks for snapshot in several.stores] == [[0, 1, 2], [0, 2]]
