"""`info` and `results`: what a store holds, and removing what is cached."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.analyses.stats import STATS
from latentscan.errors import UsageError
from latentscan.store.results import Result, Results
from tests.builders import analyse, build_store
from tests.cli.commands import COLUMNS, latentscan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Contents = Callable[[Path], dict[str, bytes]]

RESUME = (
    "latentscan encode --model /a/rather/long/path/vae --images /another/rather/long/path/faces --store z"
)
PROVENANCE = {
    "seed": 0,
    "encoder": {"name": "vae", "sha256": "ab" * 32, "kind": "keras"},
    "source": {"kind": "folder", "name": "faces"},
    "preprocessing": {"size": 96, "crop": None},
    "epsilon_limit": 5.0,
    "epsilon_factor": 1.0,
    "versions": {"latentscan": "0.1.0", "numpy": "2.3.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with results, of which one is of `stats` with parameters of its own."""
    path: Path = tmp_path_factory.mktemp("original") / "z.zarr"
    store = build_store(
        path,
        images=100,
        chunk_rows=30,
        rejected=(3, 70),
        provenance=PROVENANCE,
        labels=("Smiling",),
        resume_command=RESUME,
    )
    analyse(store, "stats")
    analyse(store, "stats", upper=10, width=2)
    analyse(store, "kmeans", k="2:12:2", seeds=1)
    return path


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "z.zarr")


def listed(place: Path) -> list[dict[str, Any]]:
    done = latentscan("results", "list", "--store", place, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def names(place: Path) -> list[str]:
    return [one["analysis"] for one in listed(place)]


def fits(text: str) -> bool:
    return all(len(line) <= COLUMNS for line in text.splitlines() if not line.startswith("latentscan "))


def make_stale(place: Path, analysis: str) -> str:
    """Save a result as an older version of its analysis would have; return its key."""
    entry = next(entry for entry in Results(str(place)).entries() if entry.analysis == analysis)
    result = Results(str(place)).load(entry.path)
    assert result is not None
    older = Result(result.variables, {**result.attributes, "version": STATS.version - 1})
    Results(str(place)).save(entry.path, older)
    return entry.key


def test_info_shows_what_a_store_holds(original: Path) -> None:
    done = latentscan("info", original)
    assert (done.returncode, done.stderr) == (0, "")
    assert fits(done.stdout)
    lines = done.stdout.splitlines()
    named = [line for line in lines[: lines.index("") if "" in lines else None] if not line.startswith(" ")]
    facts = dict(line.split(maxsplit=1) for line in named)
    assert facts["images"].strip() == "100, 2 of them rejected"
    for said in (
        "4 blocks of 30 images",
        "vae (SHA-256 abababababab...)",
        "kind folder, name faces",
        "size 96",
    ):
        assert said in done.stdout
    assert "None" not in done.stdout
    assert "missing" not in done.stdout
    assert "upper=10, width=2" in done.stdout
    assert "k=2:12:2" in done.stdout


def test_info_as_a_document(original: Path) -> None:
    document = json.loads(latentscan("info", original, "--json").stdout)
    assert document["store"] == str(original)
    assert [document[name] for name in ("images", "written", "missing", "rejected")] == [100, 100, 0, 2]
    assert document["arrays"] == {
        **dict.fromkeys(("mu", "logvar", "z"), "float32"),
        "path": "str",
        "status": "uint8",
        "attribute": "int8",
    }
    assert document["labels"] == ["Smiling"]
    assert document["encoder"] == PROVENANCE["encoder"]
    assert document["resume_command"] is None
    assert document["results"] == listed(original)
    assert document["attributes"] == {"binary": ["Smiling"]}
    files = (file for file in (original / "mu").rglob("*") if file.is_file())
    assert document["bytes"]["mu"] == sum(file.stat().st_size for file in files)


def test_info_says_what_to_do_next(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=20)
    document = json.loads(latentscan("info", store.location, "--json").stdout)
    assert document["not_computed"][0] == "stats"
    (step,) = document["next"]
    assert latentscan(*shlex.split(step["command"])[1:]).returncode == 0
    document = json.loads(latentscan("info", store.location, "--json").stdout)
    assert "stats" not in document["not_computed"]
    assert f"latentscan {document['not_computed'][0]} --store {store.location}" in [
        step["command"] for step in document["next"]
    ]


def test_info_says_what_is_missing_and_how_to_write_it(tmp_path: Path) -> None:
    build_store(tmp_path / "z.zarr", images=100, chunk_rows=30, blocks=(0, 3), resume_command=RESUME)
    done = latentscan("info", tmp_path / "z.zarr")
    assert done.returncode == 0
    assert fits(done.stdout)
    assert "60 images of 100" in done.stdout
    commands = [line for line in done.stdout.splitlines() if line.startswith("latentscan encode")]
    assert len(commands) == 1, "on one line, to be copied"
    document = json.loads(latentscan("info", tmp_path / "z.zarr", "--json").stdout)
    assert (document["written"], document["missing"]) == (40, 60)
    assert commands == [document["resume_command"]]


@pytest.mark.parametrize(
    "verb", [("info",), ("results", "list", "--store"), ("results", "remove", "--all", "--store")]
)
@pytest.mark.parametrize("state", ["missing", "folder"])
def test_no_store(tmp_path: Path, verb: tuple[str, ...], state: str) -> None:
    place = tmp_path / "z.zarr"
    if state == "folder":
        place.mkdir()
        (place / "thesis.tex").write_text("years of work")
    done = latentscan(*verb, place)
    assert (done.returncode, done.stdout) == (4, "")
    assert str(place) in done.stderr
    assert "ingest" in done.stderr or "no latent store" in done.stderr


def test_results_are_listed_with_age_size_and_parameters(original: Path) -> None:
    done = latentscan("results", "list", "--store", original)
    assert (done.returncode, done.stderr) == (0, "")
    assert fits(done.stdout)
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["result", "age", "size", "parameters"]
    documents = listed(original)
    assert [line.split()[0] for line in lines] == [f"{one['analysis']}/{one['key'][:8]}" for one in documents]
    assert all(one["bytes"] > 500 and one["created"] and one["stale"] is None for one in documents)
    assert documents[-1]["analysis"] == "stats"
    assert {"kmeans", "stats"} <= set(names(original))


def test_a_store_without_results(tmp_path: Path) -> None:
    build_store(tmp_path / "z.zarr")
    done = latentscan("results", "list", "--store", tmp_path / "z.zarr")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no results" in done.stderr
    assert listed(tmp_path / "z.zarr") == []
    removed = latentscan("results", "remove", "--store", tmp_path / "z.zarr", "--all")
    assert (removed.returncode, removed.stdout) == (0, "")


def test_a_result_is_removed_by_its_name_or_the_beginning_of_its_key(store: Path, contents: Contents) -> None:
    before = contents(store)
    first, second = (one for one in listed(store) if one["analysis"] == "stats")
    done = latentscan("results", "remove", "--store", store, first["key"][:6], f"stats/{second['key']}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"removed stats/{one['key']}" for one in (first, second)]
    assert "stats" not in names(store)
    after = contents(store)
    left = {name for name in before if not name.startswith("analyses/stats/")}
    assert {name for name in after if not name.endswith("stats/zarr.json")} == {
        name for name in left if not name.endswith("stats/zarr.json")
    }
    assert all(after[name] == before[name] for name in after if name != "zarr.json")
    assert latentscan("check", "--store", store).returncode == 0
    assert latentscan("stats", "--store", store, "--json").returncode == 0  # it is computed again


def test_what_is_stale_is_named_and_removed(store: Path) -> None:
    key = make_stale(store, "stats")
    stale = {one["key"]: one["stale"] for one in listed(store) if one["stale"]}
    assert list(stale) == [key]
    assert f"version {STATS.version - 1} of stats" in stale[key]
    shown = latentscan("results", "list", "--store", store).stdout
    assert fits(shown)
    assert " ".join(f"stale: {stale[key]}".split()) in " ".join(shown.split())
    done = latentscan("results", "remove", "--store", store, "--stale")
    assert (done.returncode, done.stdout) == (0, f"removed stats/{key}\n")
    assert not [one for one in listed(store) if one["stale"]]
    again = latentscan("results", "remove", "--store", store, "--stale")
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to remove" in again.stderr


def test_the_state_of_an_interrupted_computation_is_not_stale(store: Path) -> None:
    Results(str(store)).save_unlisted("analyses/tsne-state/0123456789abcdef", Result({}, {"iteration": 100}))
    state = next(one for one in listed(store) if one["analysis"] == "tsne-state")
    assert state["stale"] is None
    shown = " ".join(latentscan("results", "list", "--store", store).stdout.split())
    assert "the state of a computation that has not ended" in shown
    latentscan("results", "remove", "--store", store, "--stale")
    assert "tsne-state" in names(store)
    assert latentscan("results", "remove", "--store", store, "0123456789").returncode == 0
    assert "tsne-state" not in names(store)


def test_all_results_are_removed_only_where_that_is_confirmed(store: Path, contents: Contents) -> None:
    before, documents = contents(store), listed(store)
    refused = latentscan("results", "remove", "--store", store, "--all")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert contents(store) == before
    done = latentscan("results", "remove", "--store", store, "--all", "--yes")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"removed {one['analysis']}/{one['key']}" for one in documents]
    assert listed(store) == []
    assert latentscan("check", "--store", store).returncode == 0


def test_a_terminal_is_asked_before_all_are_removed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentscan.cli.store_commands.is_asked", lambda: True)
    before = names(store)
    refused = latentscan("results", "remove", "--store", store, "--all", answer="n\n")
    assert refused.returncode == 1
    assert names(store) == before
    assert latentscan("results", "remove", "--store", store, "--all", answer="y\n").returncode == 0
    assert names(store) == []


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ((), "--stale"),
        (("--stale", "--all"), "--all"),
        (("stats/", "--all", "--yes"), "--all"),
        (("sta",), "results list"),
        (("0000000000",), "results list"),
        (("stats/",), "results list"),
    ],
)
def test_nothing_is_removed_by_accident(
    store: Path, contents: Contents, words: tuple[str, ...], remedy: str
) -> None:
    before = contents(store)
    done = latentscan("results", "remove", "--store", store, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert remedy in done.stderr
    assert contents(store) == before


def test_what_names_several_results_removes_none(store: Path, contents: Contents) -> None:
    for number in (1, 2):
        Results(str(store)).save(f"analyses/stats/abcdef000000000{number}", Result({}, {}))
    before = contents(store)
    done = latentscan("results", "remove", "--store", store, "abcdef")
    assert done.returncode == 2
    assert "abcdef names 2 results" in done.stderr
    assert contents(store) == before


def test_results_in_a_place_of_their_own(original: Path, tmp_path: Path, contents: Contents) -> None:
    before, place = contents(original), tmp_path / "results.zarr"
    assert latentscan("stats", "--store", original, "--results", place).returncode == 0
    (one,) = listed(place)
    assert (one["analysis"], one["stale"]) == ("stats", None)
    assert latentscan("results", "remove", "--store", place, one["key"]).returncode == 0
    assert listed(place) == []
    assert contents(original) == before


def test_a_read_only_place_keeps_its_results(
    store: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(store)

    def refuse(self: Results, path: str) -> None:
        raise UsageError(f"{self.location} is read-only")

    assert listed(store)  # reading needs no right to write
    monkeypatch.setattr(Results, "remove", refuse)
    done = latentscan("results", "remove", "--store", store, "--all", "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{store} is read-only" in done.stderr
    assert contents(store) == before
