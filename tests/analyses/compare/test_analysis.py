from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from latentscan.errors import ParameterError, StoreError, UsageError
from latentscan.kernels.sampling import sample
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks
from tests.builders import analyse, build_store, own

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

Floats = NDArray[np.float32]
IMAGES, COMPONENTS = 400, 6
PATHS = tuple(f"{row:06}.jpg" for row in range(IMAGES))
FIGURES = ("cka", "cka_chance", "overlap", "overlap_chance")
FAST: dict[str, Any] = {"sample": 150, "nearest": 5, "kmeans": False, "tsne": False}
WHOLE: dict[str, Any] = {
    "sample": 150,
    "nearest": 5,
    "k": (2, 5),
    "seeds": 2,
    "reference": False,
    "points": 120,
    "perplexity": 8,
    "iterations": 60,
}
KMEANS = {name: WHOLE[name] for name in ("k", "seeds", "reference")}


def cloud(seed: int = 0, components: int = COMPONENTS) -> Floats:
    rng = np.random.default_rng(seed)
    spread = np.geomspace(3, 0.5, components)
    return (rng.standard_normal((IMAGES, components)) * spread + 1).astype(np.float32)


def rotated(z: Floats) -> Floats:
    rotation, _ = np.linalg.qr(cloud(9)[:COMPONENTS])
    return np.asarray(z @ rotation, np.float32)


def noisy(z: Floats) -> Floats:
    return z + cloud(7, z.shape[1])


def stored(
    folder: Path, name: str, z: Floats, chunk_rows: int = 100, paths: tuple[str, ...] = PATHS
) -> LatentStore:
    return build_store(folder / f"{name}.zarr", arrays={"z": z}, chunk_rows=chunk_rows, paths=paths)


def compare(stores: dict[str, LatentStore], parameters: dict[str, Any], **how: Any) -> Result:
    return analyse(stores, "compare", **parameters, **how)


def pair(found: Result, first: str, second: str) -> dict[str, Any]:
    names = list(zip(found["first"].tolist(), found["second"].tolist(), strict=True))
    number = names.index((first, second))
    return {name: v.values[number] for name, v in found.variables.items() if v.dims == ("pair",)}


def plain_cka(x: Floats, y: Floats) -> float:
    a, b = (c - c.mean(axis=0) for c in (x.astype(np.float64), y.astype(np.float64)))
    size = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / size)


def nearest(x: Floats, k: int) -> NDArray[np.intp]:
    distances = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :k]


def plain_overlap(x: Floats, y: Floats, k: int) -> float:
    both = zip(nearest(x, k), nearest(y, k), strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in both]))


def test_a_rotated_cloud_is_the_same_cloud(tmp_path: Path) -> None:
    z = cloud()
    stores = {"a": stored(tmp_path, "a", z), "b": stored(tmp_path, "b", rotated(z), chunk_rows=37)}
    figures = pair(compare(stores, FAST), "a", "b")
    assert figures["cka"] == pytest.approx(1, abs=1e-5)
    assert figures["overlap"] == 1
    assert figures["wasserstein_distance"] < 1e-3
    assert figures["difference"] == ""
    assert figures["shared"] == IMAGES


@pytest.mark.parametrize("change", ["moved", "one far out", "tiny", "copies"])
def test_a_rotated_cloud_is_the_same_cloud_wherever_it_lies(tmp_path: Path, change: str) -> None:
    turn = [3, 0, 5, 1, 4, 2]  # exactly
    exact = cloud().astype(np.float64)
    if change == "moved":
        exact += 1e6
    elif change == "one far out":
        exact[7] *= 1e12
    elif change == "tiny":
        exact *= 1e-24
    else:
        exact = np.repeat(exact[: IMAGES // 20], 20, axis=0)
    z = exact.astype(np.float32)
    stores = {"a": stored(tmp_path, "a", z), "b": stored(tmp_path, "b", z[:, turn])}
    found = compare(stores, FAST)
    figures = pair(found, "a", "b")
    assert figures["overlap"] > 0.99
    assert found["search_recall"].tolist() == [1, 1]
    images = sample(np.arange(IMAGES), FAST["sample"], 0).images
    if change != "copies":  # of which any few are the nearest
        both = {**stores, "c": stored(tmp_path, "c", noisy(z) if change == "one far out" else cloud(8))}
        assert pair(compare(both, FAST), "a", "c")["overlap"] == pytest.approx(
            plain_overlap(z[images], np.asarray(both["c"].z[:])[images], 5), abs=0.005
        )
    assert figures["cka"] == pytest.approx(1, abs=1e-5)
    assert figures["wasserstein_distance"] == pytest.approx(0, abs=1e-6 * float(np.abs(z).max()))


def test_one_image_far_out_does_not_hide_the_distance_of_radii(tmp_path: Path) -> None:
    from scipy.stats import wasserstein_distance

    a, b = cloud(), 1.5 * cloud(5)
    for out in (1e3, 1e12):
        a[7], b[7] = out, out
        stores = {name: stored(tmp_path / f"{out:g}", name, z) for name, z in (("a", a), ("b", b))}
        radii = [np.linalg.norm(z.astype(np.float64), axis=1) for z in (a, b)]
        found = pair(compare(stores, FAST), "a", "b")
        assert found["wasserstein_distance"] == pytest.approx(wasserstein_distance(*radii), rel=1e-3)
        assert found["wasserstein_floor"] > found["wasserstein_distance"]  # one image decides
        assert found["cka_error"] > 0.5


def test_figures_stand_beside_their_errors_and_floors(tmp_path: Path) -> None:
    stores = {"a": stored(tmp_path, "a", cloud()), "b": stored(tmp_path, "b", noisy(cloud()))}
    found = compare(stores, {**WHOLE, "kmeans": False, "noise_floor": True})
    figures = pair(found, "a", "b")
    for name in ("cka", "overlap", "disparity", "wasserstein"):
        assert 0 < figures[f"{name}_error"] < 0.2
    assert figures["sampled"] == 150
    floors = [
        analyse(store, "tsne", points=120, perplexity=8, iterations=60, noise_floor=True, cached_only=True)
        for store in stores.values()
    ]
    assert found["disparity_floor"].tolist() == [
        floor.attributes["noise_floor"]["disparity"] for floor in floors
    ]


def test_mu_of_a_store_is_compared_with_z_of_one_without(tmp_path: Path) -> None:
    mu, noise = cloud(), 20 * cloud(3)
    vae = build_store(
        tmp_path / "vae.zarr",
        arrays={"mu": mu, "logvar": np.zeros_like(mu), "z": mu + noise},
        chunk_rows=100,
        paths=PATHS,
    )
    found = compare({"ae": stored(tmp_path, "ae", rotated(mu)), "vae": vae}, FAST)
    assert found["array"].tolist() == ["z", "mu"]
    assert "points: mu of vae; z of ae" in found.attributes["notes"]
    assert pair(found, "ae", "vae")["cka"] == pytest.approx(1, abs=1e-5)
    assert pair(found, "ae", "vae")["overlap"] == 1


def test_figures_are_those_of_numpy(tmp_path: Path) -> None:
    from scipy.stats import wasserstein_distance

    clouds = {"a": cloud(), "b": 2 * noisy(cloud()), "c": cloud(3, 11)}
    stores = {name: stored(tmp_path, name, z, 64 + len(clouds)) for name, z in clouds.items()}
    found = compare(stores, FAST)
    images = sample(np.arange(IMAGES), FAST["sample"], 0).images
    for first, second in combinations(clouds, 2):
        x, y = clouds[first], clouds[second]
        figures = pair(found, first, second)
        assert figures["cka"] == pytest.approx(plain_cka(x, y), rel=1e-4)
        assert figures["overlap"] == pytest.approx(plain_overlap(x[images], y[images], 5))
        assert figures["overlap_chance"] == pytest.approx(5 / 149)
        radii = [np.linalg.norm(z, axis=1) for z in (x, y)]
        assert figures["wasserstein_distance"] == pytest.approx(wasserstein_distance(*radii), abs=0.02)
    edges, shares = found["radius_edge"], found["radius_share"]
    assert shares.shape == (3, len(edges) - 1)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=0.01)
    assert found.attributes["notes"] == [
        "components: a 6, b 6, c 11; "
        "radii and inertia of different numbers of components are not on one scale"
    ]


def test_inertia_is_of_the_same_k_whatever_clusters_each_store_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stores = {
        name: build_store(
            tmp_path / name,
            arrays={"z": 9 * np.eye(6)[rng.integers(0, count, 900)] + rng.standard_normal((900, 6))},
        )
        for name, count in (("a", 3), ("b", 5))
    }
    found = compare(stores, {"k": (2, 9), "seeds": 1, "batch_rows": 100, "tsne": False, "sample": 100})
    assert [part["k"].tolist() for part in found.parts["kmeans"]] == [[2, 3, 9], [2, 5, 9]]
    assert found["k"].tolist() == [2, 9]
    for shares, part in zip(found["inertia_share"], found.parts["kmeans"], strict=True):
        np.testing.assert_array_equal(shares, part["inertia"][[0, 2]] / part["total"])


def test_inertia_and_maps_are_those_of_the_stores(tmp_path: Path) -> None:
    from scipy.spatial import procrustes

    z = cloud()
    stores = {"a": stored(tmp_path, "a", z), "b": stored(tmp_path, "b", noisy(z), 64)}
    found = compare(stores, WHOLE)
    for number, name in enumerate(stores):
        of_store = analyse(stores[name], "kmeans", **KMEANS)
        np.testing.assert_allclose(found["inertia_share"][number], of_store["inertia"] / of_store["total"])
        assert found.parts["kmeans"][number].attributes["key"] == of_store.attributes["key"]
        assert found.parts["kmeans"][number]["inertia"].tolist() == of_store["inertia"].tolist()
        assert (
            found.parts["stats"][number].attributes["key"] == analyse(stores[name], "stats").attributes["key"]
        )
    first, second = found["embedding"]
    assert found["image"].tolist() == sorted(sample(np.arange(IMAGES), 120, 0).images.tolist())
    expected, moved, disparity = procrustes(first, second)
    assert pair(found, "a", "b")["disparity"] == pytest.approx(disparity, rel=1e-6)
    size = np.linalg.norm(first - first.mean(axis=0))
    np.testing.assert_allclose((first - first.mean(axis=0)) / size, expected, atol=1e-9)
    np.testing.assert_allclose(
        (second - first.mean(axis=0)) / size * np.sqrt(1 - disparity), moved, atol=1e-6
    )


def test_rejected_rows_are_left_out_of_pairs(tmp_path: Path) -> None:
    x, y = cloud(), noisy(cloud())
    x[3], y[250] = np.nan, np.nan
    good = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    found = compare({"a": stored(tmp_path, "a", x), "b": stored(tmp_path, "b", y, 64)}, FAST)
    figures = pair(found, "a", "b")
    assert figures["shared"] == IMAGES - 2
    assert figures["cka"] == pytest.approx(plain_cka(x[good], y[good]), rel=1e-4)
    images = sample(np.flatnonzero(good), FAST["sample"], 0).images
    assert figures["overlap"] == pytest.approx(plain_overlap(x[images], y[images], 5))
    assert "398 images that are good in all" in found.attributes["notes"][0]


def test_different_images_are_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    paths = (*PATHS[:317], "other.jpg", *PATHS[318:])
    z = cloud()
    stores = {
        "a": stored(tmp_path, "a", z),
        "b": stored(tmp_path, "b", z, 70, paths),
        "c": stored(tmp_path, "c", noisy(z)),
        "d": stored(tmp_path, "d", z[:300]),
        "e": stored(tmp_path, "e", noisy(z), 51, paths),
    }
    found = compare(stores, FAST)
    for first, second in combinations(stores, 2):
        figures = pair(found, first, second)
        alike = (first, second) in {("a", "c"), ("b", "e")}
        assert np.isfinite(figures["wasserstein_distance"])
        assert (figures["difference"] == "") == alike
        assert (figures["shared"] == IMAGES) == alike
        assert all(np.isfinite(figures[name]) == alike for name in FIGURES)
    differing = "row 317 is 000317.jpg in a, other.jpg in b"
    assert pair(found, "b", "c")["difference"] == differing
    assert pair(found, "c", "d")["difference"] == "a holds 400 images, d 300"
    assert any(differing in note for note in found.attributes["notes"])


def test_maps_are_of_stores_that_have_a_partner(tmp_path: Path) -> None:
    z = cloud()
    stores = {
        "a": stored(tmp_path, "a", z[:300]),
        "b": stored(tmp_path, "b", z),
        "c": stored(tmp_path, "c", noisy(z)),
    }
    found = compare(stores, {**WHOLE, "kmeans": False})
    assert found["store"][found["store_of_map"]].tolist() == ["b", "c"]
    assert np.isnan([pair(found, "a", other)["disparity"] for other in "bc"]).all()
    assert 0 < pair(found, "b", "c")["disparity"] < 1
    assert not (tmp_path / "a.zarr" / "analyses" / "tsne").exists()


def test_a_comparison_is_of_the_stores_in_their_order_by_their_names(tmp_path: Path) -> None:
    stores = {"a": stored(tmp_path, "a", cloud()), "b": stored(tmp_path, "b", noisy(cloud()))}
    first = compare(stores, FAST)
    (tmp_path / "b.zarr" / "z" / "c" / "0" / "0").unlink()
    assert compare(stores, FAST).attributes["key"] == first.attributes["key"]
    for others in ({"b": stores["b"], "a": stores["a"]}, {"b": stores["a"], "a": stores["b"]}):
        with pytest.raises(StoreError, match="z/c/0/0 is missing"):
            compare(others, FAST)


def test_blocks_that_are_not_written_are_left_out(tmp_path: Path) -> None:
    stores = {"a": stored(tmp_path, "a", cloud()), "b": stored(tmp_path, "b", noisy(cloud()), 64)}
    retract_blocks(stores["b"].location, (2,))
    with pytest.raises(StoreError, match=r"b\.zarr is incomplete"):
        compare(stores, FAST)
    found = compare(stores, FAST, allow_partial=True)
    good = np.delete(np.arange(IMAGES), np.arange(128, 192))
    figures = pair(found, "a", "b")
    assert figures["shared"] == len(good)
    assert figures["cka"] == pytest.approx(plain_cka(cloud()[good], noisy(cloud())[good]), rel=1e-4)


def test_too_few_stores_or_arrays(tmp_path: Path) -> None:
    store = stored(tmp_path, "a", cloud())
    with pytest.raises(UsageError, match="two stores or more"):
        compare({"a": store}, FAST)
    (tmp_path / "link").symlink_to(tmp_path / "a.zarr")
    with pytest.raises(UsageError, match="a and b are the same store"):
        compare({"a": store, "b": open_store(str(tmp_path / "link"))}, FAST)
    with pytest.raises(ParameterError) as absent:
        compare({"a": store, "b": stored(tmp_path, "b", cloud())}, {**FAST, "array": "mu"})
    assert (absent.value.field, absent.value.value) == ("array", "mu")


def test_what_needs_more_images_is_left_out_and_named(tmp_path: Path) -> None:
    stores = {name: stored(tmp_path, name, cloud()[:5]) for name in ("few", "others")}
    asked = {**FAST, "k": (2, 9), "perplexity": 30.0, "kmeans": True, "tsne": True}
    found = compare(stores, asked)
    assert pair(found, "few", "others")["cka"] == pytest.approx(1)
    assert np.isnan(pair(found, "few", "others")["overlap"])
    assert {"inertia_share", "embedding"} & found.variables.keys() == set()
    assert "kmeans" not in found.parts
    notes = found.attributes["notes"]
    assert any("too few of their images are good" in note for note in notes)
    assert any(note.startswith("inertia is left out: ") and "fewer than clusters" in note for note in notes)
    assert any(note.startswith("maps are left out: ") for note in notes)
    again = compare(stores, asked, cached_only=True)
    assert own(again) == own(found)


def test_points_that_are_all_equal_have_no_figures(tmp_path: Path) -> None:
    stores = {"a": stored(tmp_path, "a", cloud()), "b": stored(tmp_path, "b", 0 * cloud())}
    found = compare(stores, FAST)
    assert np.isnan(pair(found, "a", "b")["cka"])
    radii = np.linalg.norm(cloud(), axis=1)
    assert pair(found, "a", "b")["wasserstein_distance"] == pytest.approx(radii.mean(), rel=1e-3)


def test_the_result_is_a_dataset(tmp_path: Path) -> None:
    import xarray as xr

    stores = {"a": stored(tmp_path, "a", cloud()), "b": stored(tmp_path, "b", noisy(cloud()))}
    found = compare(stores, FAST)
    read = xr.open_zarr(tmp_path / "a.zarr", group=f"analyses/compare/{found.attributes['key']}")
    assert found.to_dataset().coords.keys() == read.coords.keys()
    assert {"first", "second", "store"} <= set(read.coords)
    assert read["cka"].values.tolist() == found["cka"].tolist()
