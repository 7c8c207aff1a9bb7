from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
import pytest

import latentscan as ls
from latentscan.analyses.analysis import Request
from latentscan.analyses.functions import Options
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.encoding.parameters import EncodeKeywords, EncodeParameters
from latentscan.errors import ParameterError, StoreError, UsageError
from latentscan.report.views import view_of
from tests.builders import analyse, analyses_of_stores, build_store

if TYPE_CHECKING:
    import xarray

    from latentscan.store.reader import LatentStore

# of any analysis that has them
SMALL = {
    "k": (2, 3),
    "seeds": 1,
    "points": 60,
    "perplexity": 5,
    "iterations": 20,
    "sample": 40,
    "clusters": 3,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    location = tmp_path_factory.mktemp("api") / "z.zarr"
    return build_store(location, images=300, components=5, chunk_rows=64, latents=("z",), labels=("smile",))


@pytest.fixture(scope="module")
def other(store: LatentStore, tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    """The same latents in other blocks."""
    return build_store(
        tmp_path_factory.mktemp("other") / "z.zarr", arrays={"z": np.asarray(store.z[:])}, chunk_rows=110
    )


def own_parameters(name: str) -> dict[str, Any]:
    return {key: value for key, value in SMALL.items() if key in ANALYSES[name].parameters.model_fields}


@pytest.fixture(scope="module")
def datasets(store: LatentStore, other: LatentStore) -> dict[str, xarray.Dataset]:
    """What the function of every analysis of stores returns."""
    found = {}
    for name in analyses_of_stores():
        analysis = ANALYSES[name]
        of: Any = {"one": store, "two": other} if analysis.inputs is SeveralStores else store
        found[name] = getattr(ls, name)(of, **own_parameters(name), progress=False)
    return found


def test_every_analysis_is_a_function_with_its_parameters_and_their_defaults() -> None:
    assert set(ANALYSES) < set(dir(ls))
    for name, analysis in ANALYSES.items():
        function = getattr(ls, name)
        signature = inspect.signature(function)
        fields = analysis.parameters.model_fields
        arguments = [argument.name for argument in analysis.inputs.arguments]
        assert list(signature.parameters)[: len(arguments)] == arguments
        assert set(signature.parameters) == {*arguments, *fields, "options"}, name
        defaults = {key: signature.parameters[key].default for key in fields}
        given = {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty}
        assert analysis.parameters.model_validate(given) == analysis.parameters.model_validate({}), name
        said = inspect.getdoc(function) or ""  # Python 3.13 takes the indentation away, others leave it
        assert all(f"\n{key}" in said or f", {key}" in said for key in fields), name


def test_a_function_returns_what_is_in_the_store(store: LatentStore, tmp_path: Path) -> None:
    dataset = ls.stats(store, upper=10, results=str(tmp_path / "results.zarr"), progress=False)
    assert dataset.identical(analyse(store, "stats", upper=10).to_dataset())
    assert np.shape(ls.open(store.location).z[3]) == (5,)


def test_parameters_are_in_the_attributes(store: LatentStore, datasets: dict[str, xarray.Dataset]) -> None:
    for name, dataset in datasets.items():
        parameters = ANALYSES[name].parameters.model_validate(own_parameters(name))
        assert dataset.attrs["analysis"] == name
        assert dataset.attrs["version"] == ANALYSES[name].version
        is_of_one = ANALYSES[name].inputs is not SeveralStores
        of = Request(ANALYSES[name], parameters).of_stores([store.schema] if is_of_one else [])
        assert dataset.attrs["parameters"] == of.parameters.model_dump(mode="json")


def test_every_result_is_plotted_as_its_command_does(datasets: dict[str, xarray.Dataset]) -> None:
    from matplotlib.figure import Figure

    for name, dataset in datasets.items():
        figure = ls.plot(dataset)
        assert isinstance(figure, Figure)
        drawn = [
            axes for axes in figure.axes if axes.lines or axes.patches or axes.collections or axes.images
        ]
        assert drawn, name
        assert hasattr(view_of(name), "figure")


def test_arrays_are_not_taken_for_files(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="expected the path of a") as refused:
        ls.ingest(tmp_path / "z.zarr", z=np.zeros((3, 2)), progress=False)  # type: ignore[arg-type]
    assert refused.value.field == "z"


def test_maps_are_plotted_in_other_colours(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=60, components=4, labels=("Smiling",))
    maps = ls.tsne(store, points=50, perplexity=5, iterations=10, progress=False)
    texts = {text.get_text() for text in ls.plot(maps, colour="Smiling", store=store).texts}
    assert any("colour: Smiling" in text for text in texts)
    assert any("radius" in text.get_text() for text in ls.plot(maps, colour="radius").texts)
    with pytest.raises(UsageError, match=r"colour=Smiling: .* without its store"):
        ls.plot(maps, colour="Smiling")
    with pytest.raises(UsageError, match="a figure of pca has no point for each image"):
        ls.plot(ls.pca(store, progress=False), colour="radius")


def test_what_is_no_result_is_not_plotted(datasets: dict[str, xarray.Dataset]) -> None:
    with pytest.raises(UsageError) as refused:
        ls.plot(datasets["stats"].drop_attrs())
    assert "analysis" in str(refused.value)


@pytest.mark.parametrize(
    ("function", "keywords", "field"),
    [("stats", {"uper": 10}, None), ("stats", {"width": 0}, "width"), ("kmeans", {"k": "2:8:0"}, "k")],
)
def test_errors_name_the_parameter(
    store: LatentStore, function: str, keywords: dict[str, Any], field: str | None
) -> None:
    if field is None:  # as of any Python function
        with pytest.raises(TypeError) as unknown:
            getattr(ls, function)(store, **keywords)
        assert next(iter(keywords)) in str(unknown.value)
        return
    with pytest.raises(ParameterError) as refused:
        getattr(ls, function)(store, **keywords)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}={keywords[field]}")


def test_one_store_is_not_compared(store: LatentStore) -> None:
    alone: Any
    for alone in (store, store.location, [store.location], {"one": store}):
        with pytest.raises(UsageError, match="expected two stores or more, got "):
            ls.compare(alone)


def test_no_store_and_no_such_function(store: LatentStore) -> None:
    with pytest.raises(StoreError) as missing:
        ls.open(f"{store.location}.not")
    assert f"{store.location}.not" in str(missing.value)
    with pytest.raises(AttributeError) as unknown:
        _ = ls.statistics
    assert "statistics" in str(unknown.value)
    assert "stats" in str(unknown.value)


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, latentscan; print(sorted(m for m in ('numpy', 'zarr', 'pydantic') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


TYPED = """
import latentscan as ls

store = ls.open("z.zarr")
inertia = ls.kmeans(store, k="2:8:2").inertia
ls.tsne(store, points=10, executor=ls.ThreadedExecutor(1), progress=False, force=True)
reveal_type(ls.stats(store))
reveal_type(inertia)
"""
XARRAY = """
class DataArray: ...
class Dataset:
    inertia: DataArray
"""
WRONG = """
import latentscan as ls

store = ls.open("z.zarr")
ls.kmeans(store, kay=2)
ls.kmeans(store, 5)
ls.pca(store, array="logvar")
ls.stats(store, upper="ten")
ls.tsne(store, progres=False)
ls.encode("model.keras", "faces", "z.zarr", chunkrows=5)
ls.ingest("z.zarr", z="z.npy", compression="zip")
"""


def test_type_checkers_know_the_functions(tmp_path: Path) -> None:
    """Check programs against the modules that the functions are declared in, and a stand-in for xarray."""
    from mypy import api

    package = tmp_path / "latentscan"
    package.symlink_to(Path(ls.__file__).parent)
    programs = {"typed.py": TYPED, "wrong.py": WRONG, "xarray.pyi": XARRAY}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
    modules = {getattr(ls, name).__module__ for name in dir(ls) if not name.startswith("_")}
    modules |= {"latentscan.api", "latentscan.analyses.registry", "latentscan.analyses.functions"}
    modules |= {"latentscan.scan.rows", "latentscan.encoding.parameters", "latentscan.store.schema"}
    modules |= {f"latentscan.analyses.{name}" for name in ANALYSES} | {"latentscan"}
    files = [tmp_path / name for name in programs]
    for module in sorted(modules):
        path = tmp_path / module.replace(".", "/")
        files.append(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    options = ("--strict", "--no-incremental", "--config-file=", "--follow-imports=skip")
    allowed = ("--allow-subclassing-any", "--no-warn-unused-ignores", "--no-warn-return-any")
    said, crashed, _ = api.run([*options, *allowed, *map(str, files)])
    assert not crashed
    own = [line for line in said.splitlines() if line.startswith(str(tmp_path / "typed.py"))]
    assert [line.split('"')[1] for line in own] == ["xarray.Dataset", "xarray.DataArray"], said
    wrong = [line.partition("wrong.py:")[2] for line in said.splitlines() if "wrong.py" in line]
    lines = {int(line.partition(":")[0]) for line in wrong if "error" in line}
    assert lines == set(range(5, 12)), said


def test_progress_is_shown_on_stderr_unless_it_is_not_wanted(
    store: LatentStore, capsys: pytest.CaptureFixture[str]
) -> None:
    ls.stats(store, width=0.25)
    out, err = capsys.readouterr()
    assert out == ""
    assert "stats: 5 of 5 blocks" in err
    ls.stats(store, width=0.125, progress=False)
    assert capsys.readouterr() == ("", "")


def test_every_option_is_a_keyword(store: LatentStore) -> None:
    options: Options = {"force": True, "progress": False, "allow_partial": True, "results": None}
    options["executor"] = ls.ThreadedExecutor(1)
    assert options.keys() == Options.__annotations__.keys()
    assert ls.stats(store, **options).attrs["images"] == 300


def test_points_are_projected_when_they_are_indexed(store: LatentStore) -> None:
    projection = ls.project(store, first=2, progress=False)
    z = np.asarray(store.z[:], np.float64)
    centred = z - z.mean(axis=0)
    expected = centred @ ls.pca(store, progress=False)["axes"].to_numpy()[:2].T
    np.testing.assert_allclose(projection[10:20], expected[10:20], atol=1e-6)


def test_stores_are_compared(datasets: dict[str, xarray.Dataset]) -> None:
    assert datasets["compare"]["cka"].item() == pytest.approx(1)
    assert datasets["compare"]["store"].values.tolist() == ["one", "two"]


def test_latents_are_ingested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    z = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    z[7] = np.nan
    np.save(tmp_path / "z.npy", z)
    location = str(tmp_path / "z.zarr")
    summary = ls.ingest(location, z=tmp_path / "z.npy", chunk_rows=20)
    assert (summary.images, summary.written) == (50, 50)
    assert sum(summary.rejected.values()) == 1
    assert "50 of 50" in capsys.readouterr().err
    np.testing.assert_array_equal(np.asarray(ls.open(location).z[:])[:7], z[:7])
    assert ls.ingest(location, z=tmp_path / "z.npy", chunk_rows=20, progress=False).written == 0
    assert capsys.readouterr() == ("", "")


def test_every_field_of_encoding_is_a_keyword() -> None:
    types = get_type_hints(EncodeParameters)
    assert get_type_hints(EncodeKeywords) == {name: types[name] for name in EncodeParameters.model_fields}


def test_images_are_encoded(tmp_path: Path) -> None:
    import keras

    images = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs))).save(tmp_path / "model.keras")
    location = str(tmp_path / "z.zarr")
    named: dict[str, Any] = {
        "model": tmp_path / "model.keras",
        "images": tmp_path / "images.npy",
        "store": location,
    }
    summary = ls.encode(**named, size=16, outputs="z=0", chunk_rows=4, progress=False)
    assert (summary.images, summary.written) == (10, 10)
    assert ls.open(location).z.shape == (10, 3)
    with pytest.raises(ParameterError) as refused:
        ls.encode(**named, chunk_rows=0, progress=False)
    assert refused.value.field == "chunk_rows"


def test_a_cluster_gives_what_this_process_gives(store: LatentStore, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "profiles: {one: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 1}}}\ndefault: one\n"
    )
    here = ls.pca(store, results=str(tmp_path / "here.zarr"), executor=ls.ThreadedExecutor(1), progress=False)
    said: list[str] = []
    with ls.connect(file=file, say=said.append) as executor:
        there = ls.pca(store, results=str(tmp_path / "there.zarr"), executor=executor, progress=False)
    assert here.identical(there)
    assert "tcp://127.0.0.1:" in " ".join(said)


def test_no_name_of_the_interface_is_that_of_a_room() -> None:
    """Whoever imports a room makes it an attribute of latentscan, in the place of a function."""
    rooms = {path.stem for path in Path(str(ls.__file__)).parent.iterdir()}
    assert not rooms & (set(dir(ls)) - {"__version__"})
