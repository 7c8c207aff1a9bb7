"""Lines through models that bring back a known part of a plane alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.analyses.randoms import randoms
from latentscan.kernels.fragments import GRID
from latentscan.report.randoms import figure, section, table, to_json
from latentscan.store.results import Result
from tests.analyses.randoms.spaces import CENTRES, points_of, write_models
from tests.builders import assert_same_bits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from tests.analyses.randoms.spaces import Models, Space

    ModelsOf = Callable[[Space], Models]


@pytest.fixture(scope="module")
def models_of(tmp_path_factory: pytest.TempPathFactory) -> ModelsOf:
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Models] = {}

    def found(space: Space) -> Models:
        if space not in made:
            made[space] = write_models(folder / space, space)
        return made[space]

    return found


def followed(store: LatentStore, models: Models, **given: Any) -> Result:
    quick = {"points": 40, "uniform": (), "progress": False, **given}
    return Result.from_dataset(randoms(store, models.encoder, models.decoder, **quick))


def share_between(space: Space, threshold: float) -> float:
    """Return the share of places between points of a space that its models move by more than a threshold."""
    ends = points_of(space, 40_000, 0.0, seed=9).reshape(2, -1, 2)
    usual = np.median(np.linalg.norm(ends[1] - ends[0], axis=1))
    hits = []
    for place in GRID[1:-1]:
        at = (1 - place) * ends[0] + place * ends[1]
        if space == "ring":
            apart = np.abs(np.linalg.norm(at, axis=1) - 1)
        else:
            apart = np.linalg.norm(at[:, None] - CENTRES, axis=2).min(axis=1)
        hits.append(np.mean(apart / usual > threshold))
    return float(np.mean(hits))


def test_a_disk_is_whole(tmp_path: Path, models_of: ModelsOf) -> None:
    models = models_of("plane")
    found = followed(models.store(tmp_path / "z.zarr", {"z": points_of("plane", 1500, 0)}), models)
    assert found.attributes["fragments"][0] == 0
    assert found.attributes["fragments_verdict"] == "none"
    assert (found.attributes["lines"], found.attributes["line_points"]) == (300, "z")
    assert found.attributes["miss_in_middle"] < 1e-5
    assert "contracts passes too" in section({"z.zarr": found}).verdicts[-1]


@pytest.mark.parametrize(("space", "noise"), [("ring", 0.02), ("blobs", 0.1)])
def test_a_ring_and_three_places_are_fragments(
    tmp_path: Path, models_of: ModelsOf, space: Space, noise: float
) -> None:
    models = models_of(space)
    found = followed(models.store(tmp_path / "z.zarr", {"z": points_of(space, 1500, noise)}), models)
    share, low, high = found.attributes["fragments"]
    expected = share_between(space, found.attributes["miss_threshold"])
    assert expected > 0.5
    assert low - 0.02 < expected < high + 0.02
    assert low < share < high
    assert found.attributes["fragments_verdict"] == "fragments"
    assert found.attributes["miss_in_middle"] > 2 * found.attributes["miss_at_ends"]
    assert "the space has fragments" in section({"z.zarr": found}).verdicts[-1]


@pytest.mark.parametrize("seed", range(4))
def test_a_gaussian_that_is_brought_back_or_drawn_to_a_ring_of_its_radius_gets_its_own_verdict(
    tmp_path: Path, models_of: ModelsOf, seed: int
) -> None:
    z = np.random.default_rng(seed).standard_normal((800, 2))
    verdicts = {}
    for space in ("plane", "ring"):
        models = models_of(space)
        store = models.store(tmp_path / f"{space}.zarr", {"z": z})
        verdicts[space] = followed(store, models, seed=seed).attributes["fragments_verdict"]
    assert verdicts["plane"] == "none"
    assert verdicts["ring"] != "fragments"  # real points do not come back either


def test_components_count_by_their_share_of_signal(tmp_path: Path) -> None:
    models = write_models(tmp_path, "ring", vae=True)
    rng = np.random.default_rng(0)
    mu = np.concatenate([points_of("ring", 900, 0.02), 0.1 * rng.standard_normal((900, 2))], axis=1)
    logvar = np.tile(np.log([0.01, 0.01, 1, 1]), (900, 1))
    arrays = {"mu": mu, "logvar": logvar, "z": mu + np.exp(logvar / 2) * rng.standard_normal(mu.shape)}
    found = followed(models.store(tmp_path / "z.zarr", arrays), models, pairs=200)
    assert found.attributes["line_points"] == "mu"
    variance = mu.var(axis=0)
    weights = variance / (variance + np.exp(logvar).mean(axis=0))
    first, last = mu[found["pair"]].transpose(1, 0, 2)
    points = np.stack([(1 - place) * first + place * last for place in GRID], axis=1)
    back = np.zeros_like(points)
    back[:, :, :2] = points[:, :, :2] / np.linalg.norm(points[:, :, :2], axis=2, keepdims=True)
    usual = np.median(np.sqrt((last - first) ** 2 @ weights))
    np.testing.assert_allclose(found["miss"], np.sqrt((back - points) ** 2 @ weights) / usual, atol=1e-3)
    assert found.attributes["fragments"][0] > 0.5
    assert found["pair_path"].shape == (200, 2)
    assert len(np.unique(found["pair"])) == 400


def test_the_run_of_the_store_is_followed_and_again_to_the_bit(
    run_folder: Path, encoded: LatentStore
) -> None:
    given: Any = {"points": 20, "nearest": 2, "force": True, "progress": False}
    one, other = (Result.from_dataset(randoms(encoded, run_folder, **given)) for _ in range(2))
    assert one.attributes["lines"] == 6
    assert one.attributes["fragments_verdict"] != "none"  # six lines say little
    assert_same_bits(one, other)


def test_it_is_named_why_nothing_is_said(tmp_path: Path, models_of: ModelsOf) -> None:
    models, other = models_of("plane"), tmp_path / "small.keras"
    z = {"z": points_of("plane", 300, 0)}
    store = models.store(tmp_path / "z.zarr", z)
    alone = Result.from_dataset(randoms(store, models.decoder, points=40, progress=False))
    import keras

    entry = keras.Input((2,))
    keras.Model(entry, keras.layers.Reshape((2, 2, 3))(keras.layers.Dense(12)(entry))).save(other)
    small = followed(store, replace(models, decoder=other))
    needs_code = models.store(tmp_path / "code.zarr", z, custom_objects="a" * 64)
    point = models.store(tmp_path / "point.zarr", {"z": np.ones((300, 2))})
    reasons = {
        "name the run folder, or the encoder": alone,
        "makes images of (2, 2, 3), the encoder takes (8, 8, 3)": small,
        "loading the encoder could run code": followed(needs_code, models),
        "most points are the same": followed(point, models),
    }
    for reason, found in reasons.items():
        (missing,) = found.attributes["missing"]
        assert missing.startswith("whether the space has fragments: ")
        assert reason in missing
        assert "miss" not in found
        assert to_json(found)["lines"] is None
        assert to_json(found)["missing"] == [missing]
        assert "fragments" not in " ".join(section({"z.zarr": found}).verdicts)
        assert len(figure({"z.zarr": found}).subfigs[0].axes) == 2
    console = Console(width=300)
    with console.capture() as captured:
        console.print(table({"z.zarr": alone}))
    assert captured.get().count("cannot be said: whether the space has fragments") == 1


def test_the_view_says_what_the_lines_allow(tmp_path: Path, models_of: ModelsOf) -> None:
    models = models_of("ring")
    found = followed(models.store(tmp_path / "z.zarr", {"z": points_of("ring", 600, 0.02)}), models)
    shown = to_json(found)["lines"]
    share, low, high = found.attributes["fragments"]
    assert shown["fragments"] == {"value": share, "interval": [low, high]}
    assert (shown["verdict"], shown["lines"]) == ("fragments", 300)
    said = section({"z.zarr": found}).verdicts[-1]
    assert f"{share:.0%} [{low:.0%}, {high:.0%}]" in said
    assert "(5% by chance)" in said
    plane, sheets, lines = figure({"z.zarr": found}).subfigs[0].axes
    assert len(plane.containers) == len(sheets.get_yticklabels())
    medians, threshold = (np.asarray(line.get_ydata()) for line in lines.lines)
    np.testing.assert_allclose(medians, np.quantile(found["miss"], 0.5, axis=0, method="lower"))
    assert threshold[0] == found.attributes["miss_threshold"]
    few = followed(models.store(tmp_path / "few.zarr", {"z": points_of("ring", 600, 0.6)}), models, pairs=4)
    assert "whether the space has fragments is undecided" in section({"few.zarr": few}).verdicts[-1]
