from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.inputs import OneStore
from latentscan.analyses.kmeans.parameters import CentresParameters, KMeansParameters
from latentscan.analyses.kmeans.reference import reference_request
from latentscan.execution.threaded import ThreadedExecutor
from tests.analyses.quick import compute
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = CentresParameters(k=(1, 2, 6), batch_rows=100, seeds=1)


def test_it_is_one_curve_whatever_is_found_of_the_models() -> None:
    asked = KMeansParameters(k=(1, 2, 6), batch_rows=100, seeds=3, labels=(2,))
    assert reference_request(asked) == reference_request(PARAMETERS)
    assert reference_request(asked).parameters == PARAMETERS


def test_with_one_cluster_its_inertia_is_that_of_the_points(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((730, 4)) * [3, 1, 1, 0.2] + 5
    inputs = OneStore.open({"store": build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=90)})
    one, two = (
        compute(
            reference_request(PARAMETERS),
            inputs,
            tmp_path / f"{threads}.zarr",
            executor=ThreadedExecutor(threads),
        )
        for threads in (1, 2)
    )
    assert one["inertia"].tobytes() == two["inertia"].tobytes()
    total = np.square(z.astype(np.float32) - z.mean(axis=0)).sum()
    np.testing.assert_allclose(one["inertia"][0], total, rtol=0.02)
    assert (np.diff(one["inertia"]) < 0).all()


def test_it_depends_on_the_covariance_alone(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((730, 4)) * [3, 1, 1, 0.2]
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    found = []
    for name, rows in (("z", z), ("turned", z @ turn + 100)):
        store = build_store(tmp_path / f"{name}.zarr", arrays={"z": rows}, chunk_rows=90)
        found.append(compute(reference_request(PARAMETERS), OneStore.open({"store": store}))["inertia"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)
