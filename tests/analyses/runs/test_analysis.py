from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.runs.distances import MEASURES
from latentscan.errors import ParameterError, TooFewImagesError, UsageError
from tests.analyses.runs.planted import runs_of_kinds
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

KINDS = ("a=a*", "v=v*")


def verdicts(result: Result, pair: int = 0) -> dict[str, str]:
    return dict(zip(MEASURES, result["verdict"][:, pair].tolist(), strict=True))


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LatentStore]:
    """Two kinds of five runs that are one in distribution."""
    return runs_of_kinds(tmp_path_factory.mktemp("alike"), {"a": (5, 0.3, 0), "v": (5, 0.3, 0)})


def test_kinds_that_are_one_in_distribution_are_as_near_as_seeds(alike: dict[str, LatentStore]) -> None:
    result = analyse(alike, "runs", kind=KINDS)
    found = verdicts(result)
    assert {found[name] for name in ("cka", "map", "neighbours")} == {"as near as seeds"}
    assert "farther" not in found.values()
    assert (result["ratio_low"] <= result["ratio"]).all()
    assert result["first_runs"].tolist() == result["second_runs"].tolist() == [5]
    assert result.attributes["notes"] == []


def test_noise_of_a_whole_kind_makes_it_farther(tmp_path: Path) -> None:
    stores = runs_of_kinds(tmp_path, {"a": (4, 0.3, 0), "v": (4, 0.3, 0.6)})
    result = analyse(stores, "runs", kind=KINDS)
    found = verdicts(result)
    assert {found[name] for name in ("cka", "map", "neighbours", "spectrum")} == {"farther"}
    assert (result["cross"] > result["within_first"]).all()


def test_more_noise_in_every_run_of_a_kind_shows_in_the_spread(tmp_path: Path) -> None:
    stores = runs_of_kinds(tmp_path, {"a": (4, 0.2, 0), "v": (4, 0.6, 0)})
    result = analyse(stores, "runs", kind=KINDS)
    at = MEASURES.index("cka")
    assert result["spread_low"][at] > 3
    assert result["spread"][at] == result["within_second"][at] / result["within_first"][at]


def test_distances_do_not_depend_on_kinds_or_on_blocks(alike: dict[str, LatentStore], tmp_path: Path) -> None:
    some = {name: alike[name] for name in ("a0.zarr", "v0.zarr", "v1.zarr")}
    other = build_store(tmp_path / "z.zarr", arrays={"z": np.asarray(some["a0.zarr"].z[:])}, chunk_rows=17)
    one = analyse(some, "runs")
    again = analyse({**some, "a0.zarr": other}, "runs", kind=KINDS)
    assert one["distance"].tobytes() == again["distance"].tobytes()
    assert one["kind"].tolist() == ["runs"] * 3
    assert one["ratio"].shape == (len(MEASURES), 0)


def test_too_few_runs_have_no_ratio_and_a_note(alike: dict[str, LatentStore]) -> None:
    names = ("a0.zarr", "a1.zarr", "a2.zarr", "v0.zarr")
    result = analyse({name: alike[name] for name in names}, "runs", kind=KINDS)
    assert np.isnan(result["ratio"]).all()
    assert np.isfinite(result["within_first"]).all()
    (note,) = result.attributes["notes"]
    assert "at least two of each kind give a ratio" in note
    assert "v has 1" in note


TRAININGS: dict[str, dict[str, Any]] = {
    **{f"a{run}.zarr": {"kind": "ae", "seed": run} for run in range(3)},
    **{f"v{run}.zarr": {"kind": "vae", "fact": 1e-5, "seed": run + 2} for run in range(3)},
}


def test_kinds_come_from_the_record_and_shared_first_weights_are_left_out(tmp_path: Path) -> None:
    stores = runs_of_kinds(tmp_path, {"a": (3, 0.3, 0), "v": (3, 0.3, 0)}, trainings=TRAININGS)
    result = analyse(stores, "runs")
    assert result["kind"].tolist() == ["ae"] * 3 + ["vae 1e-05"] * 3
    pairs = list(zip(result["first"].tolist(), result["second"].tolist(), strict=True))
    assert np.array(pairs)[result["same_first_weights"]].tolist() == [["a2.zarr", "v0.zarr"]]
    assert result["left_out"].tolist() == [1]
    at, cross = pairs.index(("a2.zarr", "v0.zarr")), [p[0][0] != p[1][0] for p in pairs]
    others = [pair for pair in np.flatnonzero(cross).tolist() if pair != at]
    np.testing.assert_allclose(result["cross"][:, 0], result["distance"][:, others].mean(axis=1))
    (note,) = result.attributes["notes"]
    assert note == "left out of all means, as they began with the same weights: a2.zarr and v0.zarr"


def test_a_store_without_a_record_among_others_is_of_an_unknown_kind(tmp_path: Path) -> None:
    known = {name: training for name, training in TRAININGS.items() if name != "v2.zarr"}
    stores = runs_of_kinds(tmp_path, {"a": (3, 0.3, 0), "v": (3, 0.3, 0)}, images=60, trainings=known)
    result = analyse(stores, "runs")
    assert result["kind"].tolist()[-1] == "unknown"
    assert any(note.startswith("v2.zarr: the store does not say") for note in result.attributes["notes"])


def test_the_record_is_part_of_what_a_result_is_of(tmp_path: Path) -> None:
    stores = runs_of_kinds(tmp_path / "one", {"a": (3, 0.3, 0)}, images=60)
    again = runs_of_kinds(tmp_path / "two", {"a": (3, 0.3, 0)}, images=60, trainings=TRAININGS)
    results = str(tmp_path / "results.zarr")
    assert analyse(stores, "runs", results=results)["training_seed"].tolist() == [-1] * 3
    assert analyse(again, "runs", results=results)["training_seed"].tolist() == [0, 1, 2]


def test_images_that_are_rejected_anywhere_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((50, 3)).astype(np.float32)
    stores = {
        f"{bad}.zarr": build_store(tmp_path / f"{bad}.zarr", arrays={"z": z + bad}, rejected=(bad,))
        for bad in (3, 7, 20)
    }
    assert analyse(stores, "runs").attributes["sampled"] == 47


def test_stores_of_other_images_are_refused(tmp_path: Path, alike: dict[str, LatentStore]) -> None:
    other = build_store(tmp_path / "other.zarr", images=30)
    with pytest.raises(UsageError, match=r"a0.zarr holds 400 images, other.zarr 30; leave out"):
        analyse({"a0.zarr": alike["a0.zarr"], "a1.zarr": alike["a1.zarr"], "other.zarr": other}, "runs")


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    stores = {name: build_store(tmp_path / name, images=9, seed=at) for at, name in enumerate("abc")}
    with pytest.raises(TooFewImagesError, match="expected fewer nearest neighbours than the 9 images"):
        analyse(stores, "runs")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (("a=a*",), "v0.zarr is of none of these kinds"),
        (("a=a*", "v=*"), "a0.zarr is of several kinds, a and v"),
        (("a=a*", "v=v*", "w=w*"), "fits none of the stores"),
    ],
)
def test_every_store_is_of_one_kind(alike: dict[str, LatentStore], kind: tuple[str, ...], said: str) -> None:
    with pytest.raises(ParameterError, match=said.replace("*", r"\*")) as refused:
        analyse({name: alike[name] for name in ("a0.zarr", "v0.zarr")}, "runs", kind=kind)
    assert refused.value.field == "kind"
