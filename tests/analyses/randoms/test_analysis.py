"""Random points through decoders whose images are their points, so that the right figures are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.analyses.randoms import randoms
from latentscan.analyses.randoms.generators import CEILING, HALF, MEAN
from latentscan.errors import ParameterError
from latentscan.report.randoms import figure, section, table, to_json
from latentscan.store.results import Result
from tests.analyses.decoders import identity_decoder
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore

SIDE = 2  # of an image: 2 by 2 pixels of three channels: twelve components


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are z, squeezed into 0..1."""
    return identity_decoder(tmp_path_factory.mktemp("decoder"), SIDE)


def store_of(folder: Path, z: np.ndarray) -> LatentStore:
    return build_store(folder / "z.zarr", arrays={"z": z}, chunk_rows=500)


def named(dataset: Any, figure_: str) -> dict[str, float]:
    return dict(zip(dataset["generator"].values.tolist(), dataset[figure_].values.tolist(), strict=True))


def test_a_gaussian_cloud_is_reached_from_its_own_covariance_alone(tmp_path: Path, decoder: Path) -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 12))
    z = rng.standard_normal((3000, 12)) @ root + 5
    found = randoms(store_of(tmp_path, z), str(decoder), progress=False)
    coverage, high = named(found, "coverage"), named(found, "coverage_high")
    precision = named(found, "precision")
    assert high["full covariance"] >= coverage[CEILING] - 0.02
    assert (
        max(high[name] for name in ("N(0, 1)", "diagonal covariance", HALF, MEAN)) < coverage[CEILING] - 0.05
    )
    assert precision["full covariance"] == pytest.approx(precision[CEILING], abs=0.05)


def test_two_clusters_are_not_reached_by_one_gaussian(tmp_path: Path, decoder: Path) -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((3000, 12))
    z[:, 0] += np.where(rng.random(3000) < 0.5, -12, 12)
    found = randoms(store_of(tmp_path, z), str(decoder), progress=False)
    precision = named(found, "precision")
    assert precision["full covariance"] < precision[CEILING] - 0.2
    assert precision[MEAN] == 0


def test_the_view_says_what_the_intervals_allow(tmp_path: Path, decoder: Path) -> None:
    rng = np.random.default_rng(2)
    store = store_of(tmp_path, rng.standard_normal((1500, 12)))
    found = Result.from_dataset(randoms(store, str(decoder), points=300, progress=False))
    said = section({"z.zarr": found}).verdicts
    assert said[0].startswith("z.zarr: points of N(0, 1): ")
    assert "may reach as many" in said[1]
    document = to_json(found)
    assert document["generators"]["N(0, 1)"]["coverage"]["value"] > 0.85
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table({"z.zarr": found}))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    plane, sheets = figure({"z.zarr": found}).subfigs[0].axes
    assert len(plane.containers) == len(sheets.get_yticklabels()) == len(found["generator"])


def test_a_few_real_images_far_from_the_others_do_not_make_noise_look_real(
    tmp_path: Path, decoder: Path
) -> None:
    z = 5 + 0.1 * np.random.default_rng(3).standard_normal((1500, 12))
    z[::300] -= 15  # their balls hold all that lies between
    found = Result.from_dataset(randoms(store_of(tmp_path, z), str(decoder), points=300, progress=False))
    (said, *_) = section({"z.zarr": found}).verdicts
    assert "whether their images look like real ones is undecided" in said
    assert found["density"][found["generator"].tolist().index("N(0, 1)")] < 0.3


def test_what_does_not_fit_is_refused(tmp_path: Path, decoder: Path) -> None:
    few = store_of(tmp_path, np.random.default_rng(0).standard_normal((8, 12)))
    with pytest.raises(ParameterError, match="good images"):
        randoms(few, str(decoder), progress=False)
    with pytest.raises(ParameterError, match="above 0"):
        randoms(few, str(decoder), uniform=(0.0,), progress=False)
    with pytest.raises(ParameterError, match="does not exist"):
        randoms(few, str(tmp_path / "none.keras"), progress=False)
