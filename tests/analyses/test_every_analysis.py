"""What holds for every analysis of the registry: the same bits, cached, resumed, foretold, small, shown."""

from __future__ import annotations

import inspect
import io
import json
import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from latentscan.analyses.analysis import Setting
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.cost import Estimate
from latentscan.analyses.functions import Options
from latentscan.analyses.registry import ANALYSES
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.report.views import view_of
from latentscan.store.metadata import RESULTS
from latentscan.store.reader import LatentStore
from tests.analyses.quick import Given, compute, requests
from tests.builders import Recorder, Scales, assert_same_bits, build_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from latentscan.analyses.analysis import Request
    from latentscan.analyses.inputs import Inputs
    from latentscan.store.results import Result

    Opened = Callable[[Request], Inputs]

NAMED = dict(requests())
each = pytest.mark.parametrize("request_", NAMED.values(), ids=NAMED.keys())


@pytest.fixture(scope="session")
def opened(given: Callable[[Any], Given]) -> Opened:
    """Open what an analysis is of."""

    def found(request: Request) -> Inputs:
        inputs = request.analysis.inputs
        return inputs.open(given(inputs))

    return found


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, opened: Opened) -> Callable[[Request], Result]:
    """The result of a request, computed once by one thread; each with all it requires, by itself."""
    folder = tmp_path_factory.mktemp("whole")
    found: dict[Request, Result] = {}

    def computed(request: Request) -> Result:
        if request not in found:
            results = folder / f"{len(found)}.zarr"
            found[request] = compute(request, opened(request), results, executor=ThreadedExecutor(1))
        return found[request]

    return computed


class Interrupted:
    """One thread as an executor; the user presses Ctrl-C before it runs anything for the n-th time."""

    count = 1
    in_process = True

    def __init__(self, runs: float = float("inf")) -> None:
        self.runs = 0
        self.most = runs
        self._thread = ThreadedExecutor(1)

    def threads_per_task(self, tasks: int) -> int:
        return 1

    def run_tasks(self, work: Any, items: Any, **settings: Any) -> list[Any]:
        self._begin()
        return self._thread.run_tasks(work, items, **settings)

    def map_reduce(self, leaf: Any, combine: Any, items: Any, **settings: Any) -> Any:
        self._begin()
        return self._thread.map_reduce(leaf, combine, items, **settings)

    def _begin(self) -> None:
        if self.runs == self.most:
            raise KeyboardInterrupt
        self.runs += 1


@each
def test_threads_do_not_change_a_bit(
    tmp_path: Path, opened: Opened, whole: Callable[[Request], Result], request_: Request
) -> None:
    found = compute(request_, opened(request_), tmp_path / "two.zarr", executor=ThreadedExecutor(2))
    assert_same_bits(found, whole(request_))


@each
def test_a_result_is_computed_once_and_read_as_it_was(
    tmp_path: Path, opened: Opened, whole: Callable[[Request], Result], request_: Request
) -> None:
    inputs, results = opened(request_), tmp_path / "results.zarr"
    cache = Cache(CachePolicy(str(results), cached_only=True))
    assert not cache.has(request_, inputs)
    assert not results.exists()
    first, again, forced = Recorder(2), Recorder(2), Recorder(2)
    computed = compute(request_, inputs, results, executor=first)
    assert cache.has(request_, inputs)
    read = compute(request_, inputs, results, executor=again)
    assert (first.tasks > 0, again.tasks) == (True, 0)
    assert compute(request_, inputs, results, executor=forced, force=True).attributes == read.attributes
    assert forced.tasks == first.tasks
    for found in (read, computed):
        assert_same_bits(found, whole(request_))
        assert found.parts.keys() == whole(request_).parts.keys()


@each
def test_what_was_interrupted_is_resumed_to_the_same_bits(
    tmp_path: Path, opened: Opened, whole: Callable[[Request], Result], request_: Request
) -> None:
    inputs = opened(request_)
    alone, uninterrupted = Recorder(1), Interrupted()
    compute(request_, inputs, tmp_path / "alone.zarr", executor=alone)
    compute(request_, inputs, tmp_path / "uninterrupted.zarr", executor=uninterrupted)
    results = tmp_path / "results.zarr"
    with pytest.raises(KeyboardInterrupt):
        compute(request_, inputs, results, executor=Interrupted(uninterrupted.runs - 1))
    resumed = Recorder(1)
    assert_same_bits(compute(request_, inputs, results, executor=resumed), whole(request_))
    requires = request_.analysis.requires(request_.parameters)
    assert resumed.tasks < alone.tasks if requires else resumed.tasks == alone.tasks


@each
def test_the_estimate_is_what_runs(
    tmp_path: Path, given: Callable[[Any], Given], monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    """What is read for the sake of a model or images that need not be named is not estimated."""
    sizes: list[int] = []
    read_block = LatentStore.read_block

    def recorded(self: LatentStore, *arguments: Any) -> dict[str, Any]:
        values = read_block(self, *arguments)
        sizes.extend(array.nbytes for name, array in values.items() if name != "path")
        return values

    kind = request_.analysis.inputs
    required = {argument.name for argument in kind.arguments if argument.required}
    inputs = kind.open({name: one for name, one in given(kind).items() if name in required})
    if not inputs.stores:
        pytest.skip("it reads no store")
    locations = tuple(snapshot.location for snapshot in inputs.stores)
    schemas = tuple(snapshot.schema for snapshot in inputs.stores)
    setting = Setting(schemas, (False,) * len(schemas), tasks_at_once=3)
    cost = Estimate(lambda _request, _stores: False).cost([request_], locations, setting)
    recorder = Recorder(3)
    monkeypatch.setattr(LatentStore, "read_block", recorded)
    compute(request_, inputs, tmp_path / "results.zarr", executor=recorder)
    assert cost.tasks == recorder.tasks
    assert cost.bytes_read == sum(sizes)
    assert Estimate(lambda _request, _stores: True).cost([request_], locations, setting).tasks == 0


@each
def test_what_a_cluster_is_sent_grows_with_the_blocks_and_never_with_the_rows(
    tmp_path: Path,
    given: Callable[[Any], Given],
    monkeypatch: pytest.MonkeyPatch,
    request_: Request,
) -> None:
    # what is of a fixed number of rows, however many there are, is of fewer than any store here has
    monkeypatch.setattr("latentscan.analyses.kmeans.training.INITIAL_ROWS", 100)
    monkeypatch.setattr("latentscan.analyses.kmeans.cloud.SAMPLE_ROWS", 80)
    monkeypatch.setattr("latentscan.analyses.kmeans.gap.REPLICATE_ROWS", 20)
    monkeypatch.setattr("latentscan.analyses.kmeans.gap.MOST", 5)
    monkeypatch.setattr("latentscan.analyses.compare.shared_images.DEFAULT_CHUNK_ROWS", 10)
    monkeypatch.setattr("latentscan.analyses.tsne.transform.BATCH_IMAGES", 10)
    monkeypatch.setattr("latentscan.analyses.tsne.quality.QUERIES_AMONG_ALL", 20)
    inputs = request_.analysis.inputs
    if not set(given(inputs)) <= {"store", "stores"}:
        pytest.skip("it is of more than stores")
    # an embedding is as small as it begins: what is sent of one grows with how far it spreads
    early = {"iterations": 1} if "iterations" in type(request_.parameters).model_fields else {}
    request = replace(request_, parameters=request_.parameters.model_copy(update=early))

    def sent(rows: int, blocks: int) -> Scales:
        folder = tmp_path / f"{rows}-{blocks}"
        named = {
            name: build_store(
                folder / f"{name}.zarr",
                images=rows,
                components=2,
                latents=("z",),
                labels=("hat",),
                chunk_rows=rows // blocks,
                seed=seed,
                provenance={"source": {"kind": "latents"}},
            )
            for seed, name in enumerate(("one", "two"))
        }
        scales = Scales()
        of = inputs.open({"store": named["one"], "stores": named})
        compute(request, of, folder / "results.zarr", executor=scales)
        return scales

    few, many, longer = sent(120, 12), sent(600, 12), sent(600, 60)
    assert few.tasks == many.tasks
    assert sum(many.weights) == pytest.approx(sum(few.weights), rel=0.02)
    assert sum(longer.tasks) <= 5 * sum(many.tasks)
    assert sum(longer.weights) < 5 * sum(many.weights)


@each
def test_it_is_shown_as_json_as_a_table_and_as_a_figure(
    whole: Callable[[Request], Result], request_: Request
) -> None:
    show(request_.analysis.name, {"z.zarr": whole(request_)})


@each
@pytest.mark.parametrize("spread", [0.0, 1e-30, 1e12])
def test_points_of_any_spread_are_shown(
    tmp_path: Path, given: Callable[[Any], Given], request_: Request, spread: float
) -> None:
    inputs = request_.analysis.inputs
    if not set(given(inputs)) <= {"store", "stores"}:
        pytest.skip("it is of more than stores")
    z = np.random.default_rng(0).standard_normal((70, 3)) * spread
    named = {
        name: build_store(tmp_path / f"{name}.zarr", arrays={"z": z}, labels=("hat",), chunk_rows=rows)
        for name, rows in (("one", 31), ("two", 47))
    }
    of = inputs.open({"store": named["one"], "stores": named})
    show(request_.analysis.name, {"one.zarr": compute(request_, of)})


@pytest.mark.parametrize("name", [name for name, analysis in ANALYSES.items() if analysis.is_joined])
def test_several_results_are_shown_side_by_side(whole: Callable[[Request], Result], name: str) -> None:
    request = NAMED[name]
    found = [whole(request), whole(request)]
    if request.analysis.align is not None:
        found = request.analysis.align(found)
    show(name, dict(zip(("one", "two"), found, strict=True)))


def show(name: str, results: dict[str, Result]) -> None:
    view = view_of(name)
    for result in results.values():
        document = json.loads(json.dumps(view.to_json(result), allow_nan=False))
        assert isinstance(document, dict)
        assert document
    console = Console(width=80, force_terminal=False, file=io.StringIO())
    with console.capture() as captured:
        console.print(view.table(results))
    text = captured.get()
    assert text.strip()
    assert max(map(len, text.splitlines())) <= 80
    assert artists(view.figure(results))


@each
def test_its_variables_say_what_they_are_and_xarray_opens_all_of_them_without_a_warning(
    tmp_path: Path, opened: Opened, request_: Request
) -> None:
    inputs = opened(request_)
    place = tmp_path / "results.zarr"
    result = compute(request_, inputs, place)
    for name, variable in result.variables.items():
        assert variable.attributes["long_name"], name
        assert ("units" in variable.attributes) == (variable.values.dtype.kind not in "UTO"), name
    path = f"{RESULTS}/{request_.analysis.name}/{result.attributes['key']}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(place, engine="zarr")
        alone = xr.open_zarr(place, group=path)
    assert set(tree[path].dataset.variables) == set(alone.variables) == set(result.variables)


def artists(figure: Figure) -> int:
    """Count what a figure shows of data."""
    return sum(
        len(axes.lines) + len(axes.patches) + len(axes.collections) + len(axes.images) + len(axes.texts)
        for axes in figure.axes
    )


@pytest.mark.parametrize("name", ANALYSES)
def test_its_function_has_the_parameters_of_its_model(name: str) -> None:
    analysis, function = ANALYSES[name], ANALYSES.function(name)
    parameters = dict(inspect.signature(function).parameters)
    options = parameters.pop("options")
    assert options.kind is inspect.Parameter.VAR_KEYWORD
    for argument in analysis.inputs.arguments:
        default = parameters.pop(argument.name).default
        assert default is (inspect.Parameter.empty if argument.required else None)
    assert set(parameters) == set(analysis.parameters.model_fields)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())
    defaults = {key: parameter.default for key, parameter in parameters.items()}
    assert analysis.parameters(**defaults) == analysis.parameters()


@pytest.mark.parametrize("name", ANALYSES)
def test_its_docstring_names_every_parameter(name: str) -> None:
    function = ANALYSES.function(name)
    document = inspect.cleandoc(function.__doc__ or "")
    section = re.search(r"^Parameters\n-+\n(.*?)\n\n", document, re.MULTILINE | re.DOTALL)
    assert section is not None
    named = [
        key.strip() for line in section[1].splitlines() if not line.startswith(" ") for key in line.split(",")
    ]
    signature = inspect.signature(function).parameters
    assert sorted(named) == sorted("**options" if key == "options" else key for key in signature)
    assert ANALYSES.summary(name).endswith(".")


def test_the_docstring_of_the_options_names_each() -> None:
    named = set(re.findall(r"^(\w+)\n    ", inspect.cleandoc(Options.__doc__ or ""), re.MULTILINE))
    assert named == set(Options.__annotations__)
