from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import procrustes

from latentscan.analyses.compare.measures import (
    FIGURES,
    MOST_BINS,
    embedding_variables,
    inertia_variables,
    paired_variables,
    radius_variables,
)
from latentscan.analyses.compare.shared_images import Member
from latentscan.execution.context import Execution
from latentscan.scan.snapshot import Snapshot
from latentscan.store.results import Result, Variable
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path


def members(folder: Path, *scales: float) -> list[Member]:
    """Return stores of the same images, whose points differ in scale alone."""
    z = np.random.default_rng(0).standard_normal((300, 4))
    z[7] = np.nan
    return [
        Member(
            f"{at}",
            Snapshot.of(build_store(folder / f"{at}.zarr", arrays={"z": scale * z}, chunk_rows=40 + 7 * at)),
            "z",
        )
        for at, scale in enumerate(scales)
    ]


def test_radii_are_shares_in_common_bins(tmp_path: Path) -> None:
    found = radius_variables(members(tmp_path, 1, 1, 3), Execution())
    shares, edges = found["radius_share"].values, found["radius_edge"].values
    assert shares.shape == (3, len(edges) - 1)
    assert len(edges) - 1 <= MOST_BINS
    assert found["images"].values.tolist() == [299, 299, 299]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=0.02)
    same, third, also = found["wasserstein_distance"].values
    assert same == 0
    assert third == also > 1


def test_the_scale_of_points_changes_no_pair(tmp_path: Path) -> None:
    found = paired_variables(members(tmp_path, 1, 4), [[0, 1]], 60, 5, 0, Execution())
    assert set(found) == {"shared", "sampled", "search_recall", *FIGURES}
    assert found["shared"].values.tolist() == [299]
    np.testing.assert_allclose(found["cka"].values, 1, atol=1e-5)
    assert found["overlap"].values.tolist() == [1]
    np.testing.assert_allclose(found["overlap_chance"].values, 5 / 59)


def test_stores_of_different_images_make_no_pair(tmp_path: Path) -> None:
    found = paired_variables(members(tmp_path, 1, 4), [[0], [1]], 60, 5, 0, Execution())
    assert found["shared"].values.tolist() == [0]
    assert all(np.isnan(found[name].values).all() for name in FIGURES)


def test_inertia_is_a_share_of_that_of_one_cluster() -> None:
    def curve(total: float) -> Result:
        variables: dict[str, Any] = {
            "k": Variable(("k",), np.array([1, 2])),
            "inertia": Variable(("k", "seed"), np.array([[8.0], [2.0]])),
            "total": Variable((), np.array(total)),
        }
        return Result(variables, {})

    found = inertia_variables([curve(8.0), curve(16.0)], (1, 2))
    assert found["inertia_share"].values.tolist() == [[[1.0], [0.25]], [[0.5], [0.125]]]
    assert found["k"].values.tolist() == [1, 2]


def test_embeddings_are_aligned_by_the_images_that_they_share() -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((40, 2))

    def embedding(points: Any, images: Any) -> Result:
        order = rng.permutation(len(images))
        return Result(
            {
                "embedding": Variable(("point", "axis"), points[order].astype(np.float32)),
                "image": Variable(("point",), images[order]),
            },
            {},
        )

    turned = 3 * first @ np.array([[0.0, 1.0], [1.0, 0.0]]) + 5
    noisy = first + 0.5 * rng.standard_normal((40, 2))
    embeddings = {
        0: embedding(first, np.arange(40)),
        2: embedding(turned[5:], np.arange(5, 40)),
        3: embedding(noisy, np.arange(40)),
    }
    found = embedding_variables(4, embeddings, [[0, 2, 3], [1]])
    assert found["image"].values.tolist() == list(range(5, 40))
    assert found["store_of_map"].values.tolist() == [0, 2, 3]
    aligned = found["embedding"].values
    np.testing.assert_allclose(aligned[0], first[5:], atol=1e-6)
    np.testing.assert_allclose(aligned[1], first[5:], atol=1e-5)
    disparity = dict(zip(["01", "02", "03", "12", "13", "23"], found["disparity"].values, strict=True))
    assert disparity["02"] < 1e-9
    np.testing.assert_allclose(disparity["03"], procrustes(first[5:], noisy[5:])[2], rtol=1e-5)
    assert np.isnan([disparity["01"], disparity["12"], disparity["13"]]).all()
