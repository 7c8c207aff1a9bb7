from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.inputs import OneStore
from latentscan.analyses.kmeans.cloud import cloud_request, frame_of, lone_rows
from latentscan.analyses.kmeans.parameters import CentresParameters
from latentscan.kernels.far_rows import MOST
from tests.analyses.quick import compute
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result

RNG = np.random.default_rng(0)


def cloud_of(folder: Path, z: Any) -> Result:
    store = build_store(folder / "z.zarr", arrays={"z": z.astype(np.float32)}, chunk_rows=190)
    return compute(cloud_request(CentresParameters()), OneStore.open({"store": store}))


def test_rows_far_out_are_found_and_do_not_move_the_middle(tmp_path: Path) -> None:
    z = RNG.standard_normal((900, 4)) + 50
    z[[5, 700]] = [[1e6, 0, 0, 0], [0, 0, -1e5, 0]]
    found = cloud_of(tmp_path, z)
    np.testing.assert_allclose(found["middle"], np.median(z, axis=0), rtol=1e-6)
    assert found["far_image"].tolist() == lone_rows(found).tolist() == [5, 700]
    np.testing.assert_allclose(found["far_distance"], [1e6, 1e5], rtol=1e-2)
    assert found.attributes["far"] == 2
    assert np.abs(frame_of(found).inside(z.astype(np.float32))[:5]).max() < 5


def test_many_rows_far_out_are_no_exception(tmp_path: Path) -> None:
    z = RNG.standard_normal((900, 4))
    z[:100] += 1000
    found = cloud_of(tmp_path, z)
    assert (found.attributes["far"], len(found["far_image"])) == (100, MOST)
    assert lone_rows(found).tolist() == []


@pytest.mark.parametrize("scale", [1e-43, 1e-24, 0.0, 1e12])
def test_its_frame_makes_any_cloud_about_1(tmp_path: Path, scale: float) -> None:
    z = (RNG.standard_normal((300, 4)) * scale).astype(np.float32)
    found = cloud_of(tmp_path, z)
    inside = frame_of(found).inside(z)
    assert scale == 0 or 0.2 < inside.std() < 2
    assert found["far_image"].tolist() == []


def test_a_cloud_that_is_mostly_one_point_has_no_rows_far_out(tmp_path: Path) -> None:
    z = np.zeros((300, 4))
    z[:20] = RNG.standard_normal((20, 4))
    assert cloud_of(tmp_path, z).attributes["far"] == 0
