"""`axes`, `pca`, `kmeans` and `tsne` from the outside: what they print and leave, against the libraries."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
import xarray as xr
from openTSNE.affinity import PerplexityBasedNN
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.manifold import trustworthiness

from tests.cli.commands import latentscan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.cli.commands import Done

    Listing = Callable[[Path], dict[str, tuple[int, int]]]
    Numbers = NDArray[np.float64]

IMAGES, COMPONENTS, CLUSTERS = 311, 5, 4
REJECTED = (0, 6, 130, 310)
VERBS = {
    "axes": (),
    "pca": (),
    "kmeans": ("--k", "2:10:2", "--seeds", "2", "--labels", "4"),
    "tsne": ("--points", "200", "--perplexity", "20", "--iterations", "300"),
}
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def document(done: Done) -> Any:
    """The one JSON document on stdout, with no NaN and no infinity."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, parse_constant=refuse)


def ingest(folder: Path, name: str, chunk_rows: int = 64, **arrays: Numbers) -> Path:
    words: list[object] = ["--store", folder / f"{name}.zarr", "--chunk-rows", chunk_rows]
    for array, values in arrays.items():
        np.save(folder / f"{name}-{array}.npy", values.astype(np.float32))
        words += [f"--{array}", folder / f"{name}-{array}.npy"]
    done = latentscan("ingest", *words)
    assert done.returncode in {0, 3}, done.stderr
    return folder / f"{name}.zarr"


def groups(store: Path, name: str) -> list[xr.Dataset]:
    """Every result of an analysis, as an outside script opens it; a warning is an error here."""
    keys = sorted(path.name for path in (store / "analyses" / name).iterdir() if path.is_dir())
    return [xr.open_zarr(store, group=f"analyses/{name}/{key}").load() for key in keys]


@pytest.fixture(scope="module")
def points() -> Numbers:
    """Four clusters far from the origin, as float32 sees them; rejected rows are NaN."""
    random = np.random.default_rng(4)
    centres = random.normal(scale=6, size=(CLUSTERS, COMPONENTS)) + 20
    z = centres[np.arange(IMAGES) % CLUSTERS] + random.normal(size=(IMAGES, COMPONENTS))
    z[list(REJECTED)] = np.nan
    return z.astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def good(points: Numbers) -> Numbers:
    return np.delete(points, REJECTED, axis=0)


@pytest.fixture(scope="module")
def store(points: Numbers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingest(tmp_path_factory.mktemp("analyses"), "faces", mu=points, z=points + 0.1)


@pytest.fixture(scope="module")
def found(store: Path) -> dict[str, Any]:
    """The documents of all four, and with them the results in the store."""
    return {
        verb: document(latentscan(verb, "--store", store, "--json", *words)) for verb, words in VERBS.items()
    }


def test_rejected_images_are_left_out(found: dict[str, Any], store: Path) -> None:
    kept = IMAGES - len(REJECTED)
    assert all(found[verb]["store"].endswith(store.name) for verb in VERBS)
    assert all(found[verb]["images"] - found[verb]["rejected"] == kept for verb in ("axes", "pca"))
    assert (found["kmeans"]["clustered"], found["tsne"]["points"]) == (kept, 200)


@pytest.mark.parametrize("array", ["z", "mu"])
def test_axes_against_numpy(found: dict[str, Any], good: Numbers, array: str) -> None:
    values = good if array == "mu" else (good + 0.1).astype(np.float32).astype(np.float64)
    axes, deviation = found["axes"][array], values - values.mean(axis=0)
    variance = np.mean(deviation**2, axis=0)
    assert axes["mean"] == pytest.approx(values.mean(axis=0), rel=1e-12)
    assert axes["variance"] == pytest.approx(variance, rel=1e-9)
    assert axes["skewness"] == pytest.approx(np.mean(deviation**3, axis=0) / variance**1.5, abs=1e-9)
    assert axes["kurtosis"] == pytest.approx(np.mean(deviation**4, axis=0) / variance**2 - 3, abs=1e-9)
    assert (axes["lowest"], axes["highest"]) == (values.min(axis=0).tolist(), values.max(axis=0).tolist())


def test_axes_distance_is_the_wasserstein(found: dict[str, Any], good: Numbers) -> None:
    standard = np.sort((good - good.mean(axis=0)) / good.std(axis=0), axis=0)
    grid = np.linspace(-8, 8, 20_001)
    for component, distance in enumerate(found["axes"]["mu"]["distance"]):
        share = np.searchsorted(standard[:, component], grid, side="right") / len(good)
        expected = np.trapezoid(np.abs(share - norm.cdf(grid)), grid)
        assert distance == pytest.approx(expected, abs=0.01)


def test_axes_histograms_lose_no_image(found: dict[str, Any], store: Path) -> None:
    (axes,) = groups(store, "axes")
    assert axes["histogram"].dims[:2] == ("array", "component")
    assert (axes["histogram"].sum("bin") == IMAGES - len(REJECTED)).all()


def test_axes_far_is_a_choice(found: dict[str, Any], store: Path) -> None:
    assert found["axes"]["mu"]["far"]
    assert document(latentscan("axes", "--store", store, "--json", "--far", 5))["mu"]["far"] == []


def test_pca_against_numpy(found: dict[str, Any], good: Numbers, store: Path) -> None:
    covariance, pca = np.cov(good, rowvar=False, ddof=0), found["pca"]
    values, vectors = np.linalg.eigh(covariance)
    # the product of a block is a float32 one
    assert pca["eigenvalue"] == pytest.approx(values[::-1], rel=0, abs=1e-7 * values[-1])
    assert pca["mean"] == pytest.approx(good.mean(axis=0), rel=1e-7)
    assert pca["mean_distance"] == pytest.approx(np.linalg.norm(good.mean(axis=0)), rel=1e-7)
    assert pca["explained"] == pytest.approx(np.cumsum(values[::-1]) / values.sum(), rel=1e-7)
    assert pca["participation_ratio"] == pytest.approx(values.sum() ** 2 / np.sum(values**2), rel=1e-6)
    (result,) = groups(store, "pca")
    np.testing.assert_allclose(
        np.abs(result["axes"].values @ vectors[:, ::-1]), np.eye(COMPONENTS), atol=1e-5
    )


def test_radius_law(found: dict[str, Any], good: Numbers) -> None:
    radius, mean = found["pca"]["radius"], good.mean(axis=0)
    covariance, measured = np.cov(good, rowvar=False, ddof=0), np.linalg.norm(good, axis=1)
    assert radius["mean"] == pytest.approx(measured.mean(), rel=1e-9)
    assert radius["square_mean"] == pytest.approx(mean @ mean + np.trace(covariance), rel=1e-9)
    expected = math.sqrt(2 * np.trace(covariance @ covariance) + 4 * mean @ covariance @ mean)
    assert radius["laws"]["full"]["square_std"] == pytest.approx(expected, rel=1e-6)
    assert sum(radius["histogram"]) == IMAGES - len(REJECTED)


def test_pca_of_a_cloud_far_away_keeps_its_digits(tmp_path: Path) -> None:
    cloud = (np.random.default_rng(1).normal(size=(400, 3)) + 1e4).astype(np.float32).astype(np.float64)
    pca = document(latentscan("pca", "--store", ingest(tmp_path, "far", z=cloud), "--json"))
    expected = np.linalg.eigvalsh(np.cov(cloud, rowvar=False, ddof=0))[::-1]
    assert pca["eigenvalue"] == pytest.approx(expected, rel=1e-6)


def test_kmeans_inertia_is_that_of_its_centres(found: dict[str, Any], good: Numbers, store: Path) -> None:
    (result,) = groups(store, "kmeans")
    assert result["inertia"].dims == ("k", "seed")
    assert result["k"].values.tolist() == found["kmeans"]["k"] == [2, 4, 6, 8, 10]
    assert result["seed"].size == 2
    for k in result["k"].values:
        for seed in result["seed"].values:
            model = np.flatnonzero((result["centre_k"] == k) & (result["centre_seed"] == seed))
            centres = result["centres"].values[model].astype(np.float64)
            squares = np.sum((good[:, np.newaxis] - centres) ** 2, axis=2)
            assert result["inertia"].sel(k=k, seed=seed) == pytest.approx(squares.min(axis=1).sum(), rel=1e-6)
            assert result["size"].values[model].sum() == len(good)
    by_seed = found["kmeans"]["inertia"]["by_seed"]
    assert np.transpose(by_seed).tolist() == result["inertia"].values.tolist()
    assert found["kmeans"]["inertia"]["mean"] == pytest.approx(np.mean(by_seed, axis=0), rel=1e-12)


def test_kmeans_finds_the_clusters(found: dict[str, Any], good: Numbers, store: Path) -> None:
    best = KMeans(CLUSTERS, n_init=5, random_state=0).fit(good).inertia_
    (result,) = groups(store, "kmeans")
    assert result["inertia"].sel(k=4).min() == pytest.approx(best, rel=0.01)
    labels = result["labels"].sel(label_k=4).values
    assert labels.shape == (IMAGES,)
    assert (labels[list(REJECTED)] < 0).all(), "rejected images keep their place and belong to no cluster"
    kept = np.setdiff1d(np.arange(IMAGES), REJECTED)
    pairs = {(int(row % CLUSTERS), int(labels[row])) for row in kept}
    assert len(pairs) == CLUSTERS
    assert min(labels[kept]) >= 0


def test_kmeans_inertia_of_narrow_clusters(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cloud = random.normal(scale=100, size=(4, 5))[np.arange(300) % 4] + random.normal(size=(300, 5))
    done = latentscan("kmeans", "--store", ingest(tmp_path, "narrow", z=cloud), "--k", "4:8:2", "--seeds", 1)
    assert done.returncode == 0, done.stderr
    (result,) = groups(tmp_path / "narrow.zarr", "kmeans")
    for k in result["k"].values:
        centres = result["centres"].values[result["centre_k"].values == k].astype(np.float64)
        squares = np.sum((cloud.astype(np.float32)[:, np.newaxis] - centres) ** 2, axis=2)
        assert result["inertia"].sel(k=k) == pytest.approx(squares.min(axis=1).sum(), rel=1e-4)


def exact_affinities(cloud: Numbers) -> Numbers:
    library: Any = PerplexityBasedNN
    affinities: Numbers = library(cloud, perplexity=20, method="exact").P.toarray()
    return affinities


def test_tsne_map(found: dict[str, Any], points: Numbers, store: Path) -> None:
    (result,) = groups(store, "tsne")
    embedding, image = result["embedding"], result["image"].values
    assert embedding.dims == ("point", "axis")
    assert result["image"].dims == ("point",)
    assert embedding.shape == (200, 2)
    assert np.unique(image).size == 200
    assert not np.isin(image, REJECTED).any()
    assert np.isfinite(embedding).all()
    assert trustworthiness(points[image], embedding.values, n_neighbors=10) > 0.9
    assert found["tsne"]["search_recall"] >= 0.99
    affinities = exact_affinities(points[image])
    flat = embedding.values.astype(np.float64)
    near = 1 / (1 + np.sum((flat[:, np.newaxis] - flat) ** 2, axis=2))
    np.fill_diagonal(near, 0)
    there = affinities > 0
    kl = np.sum(affinities[there] * np.log(affinities[there] / (near / near.sum())[there]))
    assert found["tsne"]["kl"] == pytest.approx(kl, rel=0.02)


def test_tsne_samples_are_nested(points: Numbers, tmp_path: Path) -> None:
    store = ingest(tmp_path, "nested", z=points)
    words = ("--points", "60,90", "--perplexity", "10,5", "--early-exaggeration", "12,16", "--iterations", 20)
    maps = document(latentscan("tsne", "--store", store, "--json", *words))["maps"]
    assert [(one["points"], one["perplexity"]) for one in maps] == [(60, 10), (90, 5)]
    assert [one["early_exaggeration"] for one in maps] == [12, 16]
    small, large = sorted((result["image"].values for result in groups(store, "tsne")), key=len)
    assert small.tolist() == large[:60].tolist()


def test_tsne_all_places_every_good_image_once(points: Numbers, tmp_path: Path) -> None:
    embeddings = []
    for chunk_rows in (50, 1000):
        store = ingest(tmp_path, f"all-{chunk_rows}", chunk_rows, z=points)
        words = ("--points", 100, "--perplexity", 10, "--iterations", 60, "--all")
        assert document(latentscan("tsne", "--store", store, "--json", *words))["all"] is True
        (result,) = (one for one in groups(store, "tsne") if one.attrs["all"])
        placed = np.setdiff1d(np.arange(IMAGES), REJECTED)
        assert sorted(result["image"].values.tolist()) == placed.tolist()
        embeddings.append(result.sortby("image")["embedding"].values)
    assert np.isfinite(embeddings[0]).all()
    first, second = embeddings
    np.testing.assert_array_equal(first, second, err_msg="the same place whatever the chunking")


@pytest.mark.parametrize("verb", VERBS)
def test_kept_result_is_read_unless_forced(
    found: dict[str, Any], store: Path, verb: str, listing: Listing
) -> None:
    words: tuple[object, ...] = (verb, "--store", store, "--json", *VERBS[verb])
    before = listing(store)
    again = latentscan(*words)
    assert document(again) == found[verb]
    assert listing(store) == before
    forced = latentscan(*words, "--force")
    assert forced.stdout == again.stdout
    after = listing(store)
    assert any(after[name] != before[name] for name in before if name.startswith(f"analyses/{verb}/"))
    data = [name for name in before if not name.startswith("analyses") and "/" in name]
    assert {name: after[name] for name in data} == {name: before[name] for name in data}


@pytest.mark.parametrize("verb", VERBS)
def test_results_elsewhere_leave_the_data_alone(
    points: Numbers, verb: str, contents: Callable[[Path], dict[str, bytes]], tmp_path: Path
) -> None:
    store, other = ingest(tmp_path, "read-only", z=points), tmp_path / "results.zarr"
    before = contents(store)
    document(latentscan(verb, "--store", store, "--results", other, "--json", *VERBS[verb]))
    assert contents(store) == before
    assert groups(other, verb)


@pytest.mark.parametrize("suffix", MAGIC)
@pytest.mark.parametrize("verb", VERBS)
def test_plot(found: dict[str, Any], store: Path, tmp_path: Path, verb: str, suffix: str) -> None:
    figure = tmp_path / f"{verb}.{suffix}"
    done = latentscan(verb, "--store", store, "--json", "--plot", figure, *VERBS[verb])
    assert document(done) == found[verb]
    assert figure.read_bytes().startswith(MAGIC[suffix])
    assert figure.stat().st_size > 2000


@pytest.mark.parametrize("verb", VERBS)
def test_table_fits_80_columns(found: dict[str, Any], store: Path, verb: str) -> None:
    done = latentscan(verb, "--store", store, *VERBS[verb])
    assert done.returncode == 0
    assert store.name in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
