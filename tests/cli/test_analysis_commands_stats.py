"""`latentscan stats` against plain NumPy in float64, and what it leaves on disk."""

from __future__ import annotations

import json
import math
import re
import shutil
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import pytest
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.cli.commands import Command, Done

    Listing = Callable[[Path], dict[str, tuple[int, int]]]
    Arrays = dict[str, NDArray[np.float32]]

IMAGES, COMPONENTS = 311, 5
REJECTED = (0, 6, 130, 310)


class Latents(NamedTuple):
    """A store on disk and the arrays that went into it."""

    store: Path
    arrays: Arrays
    ingest: Done


def ingest(latentscan: Command, folder: Path, arrays: Arrays, chunk_rows: int) -> Latents:
    options: list[str | Path] = []
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
        options += [f"--{name}", folder / f"{name}.npy"]
    store = folder / f"{'-'.join(arrays)}-{chunk_rows}.zarr"
    done = latentscan("ingest", *options, "--store", store, "--chunk-rows", str(chunk_rows))
    assert done.returncode in {0, 3}, done.stderr
    return Latents(store, arrays, done)


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def document(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, parse_constant=refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stats")


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """Radii from below 1 to beyond 35, points on the edges of every range, ties, and rows to reject."""
    random = np.random.default_rng(20)
    mu = random.normal(size=(IMAGES, COMPONENTS)) * np.geomspace(0.2, 25, IMAGES)[:, None]
    mu[:, 3] = 0.5 + random.normal(scale=0.02, size=IMAGES)
    logvar = random.normal(-4, 3, size=(IMAGES, COMPONENTS))
    logvar[20, 1] = logvar[220, 1] = 6.5
    logvar[50, 2] = -24.75
    logvar[60:64, 0] = [-3, 5, np.nextafter(np.float32(-3), -4), np.nextafter(np.float32(5), 6)]
    z = mu + np.exp(logvar / 2) * random.normal(size=mu.shape)
    for row, radius in zip(range(100, 105), (12, 14, 19, 24, 34.5), strict=True):
        z[row] = 0
        z[row, row - 100] = radius
    z[6, 4] = np.nan
    logvar[130, 0] = -np.inf
    z[0], mu[310] = np.inf, np.nan
    return {name: values.astype(np.float32) for name, values in (("mu", mu), ("logvar", logvar), ("z", z))}


@pytest.fixture(scope="module", params=[7, 64, 1000])
def full(latentscan: Command, folder: Path, arrays: Arrays, request: pytest.FixtureRequest) -> Latents:
    return ingest(latentscan, folder, arrays, request.param)


@pytest.fixture(scope="module")
def full_stats(latentscan: Command, full: Latents) -> Any:
    return document(latentscan("stats", "--store", full.store, "--json"))


@pytest.fixture(scope="module")
def good(arrays: Arrays) -> dict[str, NDArray[np.float64]]:
    """The rows that are not rejected, NaN in the rest so that row numbers stay."""
    rows = np.isin(np.arange(IMAGES), REJECTED)
    return {
        name: np.where(rows[:, None], np.nan, values.astype(np.float64)) for name, values in arrays.items()
    }


@pytest.fixture(scope="module")
def done_once(latentscan: Command, folder: Path, arrays: Arrays) -> Latents:
    """A store with a saved result, for the tests of what happens next."""
    home = folder / "saved"
    home.mkdir()
    latents = ingest(latentscan, home, arrays, 100)
    document(latentscan("stats", "--store", latents.store, "--json"))
    return latents


def place(values: NDArray[np.float64], flat: np.intp) -> dict[str, Any]:
    image, component = np.unravel_index(flat, values.shape)
    return {"image": int(image), "path": str(image), "component": int(component)}


def test_rejected_images_are_named_by_ingest(full: Latents) -> None:
    assert full.ingest.returncode == 3
    assert full.ingest.stdout == ""
    for row in REJECTED:
        assert re.search(rf"\b{row}\b", full.ingest.stderr)


def test_counts(full: Latents, full_stats: Any) -> None:
    assert full_stats["store"].endswith(full.store.name)
    assert full_stats["images"] == IMAGES
    assert full_stats["rejected"] == len(REJECTED)
    assert full_stats["components"] == COMPONENTS


def test_logvar(full_stats: Any, good: dict[str, NDArray[np.float64]]) -> None:
    logvar, found = good["logvar"], full_stats["logvar"]
    assert found["max"] == np.nanmax(logvar) == 6.5
    assert found["min"] == np.nanmin(logvar) == -24.75
    assert found["max_at"] == place(logvar, np.nanargmax(logvar))
    assert found["min_at"] == place(logvar, np.nanargmin(logvar))
    assert found["mean"] == pytest.approx(np.nanmean(logvar), rel=1e-12)
    assert found["intervals"] == {"[-3,5]": int(np.sum((logvar >= -3) & (logvar <= 5)))}
    assert found["per_component"]["max"] == np.nanmax(logvar, axis=0).tolist()
    assert found["per_component"]["min"] == np.nanmin(logvar, axis=0).tolist()
    assert found["per_component"]["mean"] == pytest.approx(np.nanmean(logvar, axis=0), rel=1e-12)


def test_deviation(full_stats: Any, good: dict[str, NDArray[np.float64]]) -> None:
    deviation, found = np.abs(good["z"] - good["mu"]), full_stats["deviation"]
    assert found["max"] == pytest.approx(np.nanmax(deviation), rel=1e-6)
    assert found["max_at"] == place(deviation, np.nanargmax(deviation))
    assert found["above"] == {"0.05": int(np.sum(deviation > 0.05))}
    assert found["per_component"]["max"] == pytest.approx(np.nanmax(deviation, axis=0), rel=1e-6)
    assert found["per_component"]["above"] == np.sum(deviation > 0.05, axis=0).tolist()


@pytest.mark.parametrize("array", ["z", "mu"])
def test_radius(full_stats: Any, good: dict[str, NDArray[np.float64]], array: str) -> None:
    radius, found = np.linalg.norm(good[array], axis=1), full_stats["radius"][array]
    radius = radius[~np.isnan(radius)]
    counts, edges = np.histogram(radius, full_stats["radius"]["histogram"]["edges"])
    assert found["min"] == pytest.approx(radius.min(), rel=1e-12)
    assert found["max"] == pytest.approx(radius.max(), rel=1e-12)
    assert found["mean"] == pytest.approx(radius.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(radius.std(), rel=1e-12)
    assert found["peak"] == edges[counts.argmax()] + full_stats["radius"]["histogram"]["width"] / 2
    assert found["peak_interval"][0] <= found["peak"] <= found["peak_interval"][1]
    for share, quantile in found["quantiles"].items():
        expected = np.quantile(radius, float(share), method="inverted_cdf")
        assert quantile["value"] == pytest.approx(expected, rel=1e-4)
        assert quantile["interval"][0] <= quantile["value"] <= quantile["interval"][1]


def test_radii_against_one_another(full_stats: Any, good: dict[str, NDArray[np.float64]]) -> None:
    of_z, of_mu = (np.linalg.norm(good[array], axis=1) for array in ("z", "mu"))
    difference, found = np.abs(of_z - of_mu), full_stats["radius"]["difference"]
    assert found["max_absolute"] == pytest.approx(np.nanmax(difference), rel=1e-9)
    assert found["mean_absolute"] == pytest.approx(np.nanmean(difference), rel=1e-9)
    assert found["max_relative"] == pytest.approx(np.nanmax(difference / of_z), rel=1e-9)
    assert found["mean_relative"] == pytest.approx(np.nanmean(difference / of_z), rel=1e-9)


def test_radii_within_ranges(
    latentscan: Command, full: Latents, good: dict[str, NDArray[np.float64]], tmp_path: Path
) -> None:
    radius, images = np.linalg.norm(good["z"], axis=1), IMAGES - len(REJECTED)
    options = ("--ranges", "14:19,12:24", "--results", tmp_path / "results.zarr")
    found = document(latentscan("stats", "--store", full.store, "--json", *options))
    assert found["radius"]["within"] == {
        "[14,19)": pytest.approx(np.sum((radius >= 14) & (radius < 19)) / images, rel=1e-12),
        "[12,24)": pytest.approx(np.sum((radius >= 12) & (radius < 24)) / images, rel=1e-12),
    }


def test_histogram_loses_no_image(full_stats: Any, good: dict[str, NDArray[np.float64]]) -> None:
    found = full_stats["radius"]["histogram"]
    assert np.diff(found["edges"]) == pytest.approx(found["width"])
    assert 20 <= len(found["z"]) <= 250
    for array in ("z", "mu"):
        radius = np.linalg.norm(good[array], axis=1)
        assert found[array] == np.histogram(radius[~np.isnan(radius)], found["edges"])[0].tolist()
    assert sum(found["z"]) + found["underflow"] + found["overflow"] == IMAGES - len(REJECTED)


def test_histogram_of_given_bins_loses_no_image(
    latentscan: Command, full: Latents, good: dict[str, NDArray[np.float64]], tmp_path: Path
) -> None:
    options = ("--upper", "35", "--results", tmp_path / "results.zarr")
    found = document(latentscan("stats", "--store", full.store, "--json", *options))["radius"]["histogram"]
    edges = np.arange(0, 35.5, 0.5)
    assert found["width"] == 0.5
    assert found["edges"] == edges.tolist()
    for array in ("z", "mu"):
        radius = np.linalg.norm(good[array], axis=1)
        assert found[array] == np.histogram(radius[~np.isnan(radius)], edges)[0].tolist()
    overflow = int(np.sum(np.linalg.norm(good["z"], axis=1) >= 35))
    assert (found["underflow"], found["overflow"]) == (0, overflow)
    assert overflow > 0
    assert sum(found["z"]) + found["underflow"] + found["overflow"] == IMAGES - len(REJECTED)


def test_kl(full_stats: Any, good: dict[str, NDArray[np.float64]]) -> None:
    mu, logvar, found = good["mu"], good["logvar"], full_stats["kl"]
    kl = -0.5 * (1 + logvar - mu**2 - np.exp(logvar))
    np.testing.assert_allclose(found["per_component"], np.nanmean(kl, axis=0), rtol=1e-7)
    assert found["mean_unscaled"] == pytest.approx(np.nanmean(kl.sum(axis=1)), rel=1e-7)
    variance, active = np.nanvar(mu, axis=0), found["active_components"]
    assert active["by_variance"] == {f"{t:g}": int(np.sum(variance > t)) for t in (0.01, 0.02, 0.05, 0.1)}
    assert active["by_variance"]["0.01"] == COMPONENTS - 1
    assert active["by_kl"] == {f"{t:g}": int(np.sum(np.nanmean(kl, axis=0) > t)) for t in (0.05, 0.1)}


@pytest.mark.parametrize("array", ["z", "mu"])
def test_moments(full_stats: Any, good: dict[str, NDArray[np.float64]], array: str) -> None:
    values, found = good[array], full_stats["moments"][array]
    deviation = values - np.nanmean(values, axis=0)
    variance = np.nanmean(deviation**2, axis=0)
    assert found["mean"] == pytest.approx(np.nanmean(values, axis=0), rel=1e-9)
    assert found["variance"] == pytest.approx(variance, rel=1e-9)
    assert found["skewness"] == pytest.approx(np.nanmean(deviation**3, axis=0) / variance**1.5, rel=1e-7)
    assert found["kurtosis"] == pytest.approx(np.nanmean(deviation**4, axis=0) / variance**2 - 3, rel=1e-7)


def test_points_next_to_their_mu_keep_their_digits(latentscan: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    mu = random.normal(size=(200, 64)).astype(np.float32) + np.float32(2)
    logvar = random.normal(-18, 1, size=mu.shape).astype(np.float32)
    mu[:, 0], logvar[:, 0] = random.normal(scale=1e-4, size=(2, 200))
    z = (mu + np.exp(logvar.astype(np.float64) / 2) * random.normal(size=mu.shape)).astype(np.float32)
    z[:, 0] = mu[:, 0]
    latents = ingest(latentscan, tmp_path, {"mu": mu, "logvar": logvar, "z": z}, 64)
    found = document(latentscan("stats", "--store", latents.store, "--json"))
    of_z, of_mu = (np.linalg.norm(values.astype(np.float64), axis=1) for values in (z, mu))
    difference = np.abs(of_z - of_mu)
    assert difference.max() < 1e-2
    assert found["radius"]["difference"] == {
        "max_absolute": pytest.approx(difference.max(), rel=1e-9),
        "mean_absolute": pytest.approx(difference.mean(), rel=1e-9),
        "max_relative": pytest.approx((difference / of_z).max(), rel=1e-9),
        "mean_relative": pytest.approx((difference / of_z).mean(), rel=1e-9),
    }
    deviation = np.abs(z.astype(np.float64) - mu)
    assert found["deviation"]["max"] == pytest.approx(deviation.max(), rel=1e-6)
    collapsed, spread = logvar[:, 0].astype(np.float64), mu[:, 0].astype(np.float64)
    kl = np.mean(0.5 * (spread**2 + np.expm1(collapsed) - collapsed))
    assert found["kl"]["per_component"][0] == pytest.approx(kl, rel=1e-4), "a component equal to the prior"
    assert found["kl"]["active_components"]["by_variance"]["0.01"] == 63


def test_z_alone_leaves_the_rest_out(latentscan: Command, folder: Path, arrays: Arrays) -> None:
    latents = ingest(latentscan, folder, {"z": arrays["z"]}, 64)
    found = document(latentscan("stats", "--store", latents.store, "--json"))
    assert found["rejected"] == 2
    assert not {"logvar", "deviation", "kl"} & found.keys()
    assert not {"mu", "difference"} & found["radius"].keys()
    assert "mu" not in found["radius"]["histogram"]
    radius = np.linalg.norm(np.delete(arrays["z"].astype(np.float64), [0, 6], axis=0), axis=1)
    assert found["radius"]["z"]["mean"] == pytest.approx(radius.mean(), rel=1e-12)
    edges = found["radius"]["histogram"]["edges"]
    assert found["radius"]["histogram"]["z"] == np.histogram(radius, edges)[0].tolist()
    table = latentscan("stats", "--store", latents.store)
    assert table.returncode == 0
    for missing in ("mu", "logvar"):
        assert re.search(rf"\b{missing}\b", table.stdout + table.stderr), "says what is missing"


def test_mu_and_z_without_logvar(latentscan: Command, folder: Path, arrays: Arrays) -> None:
    latents = ingest(latentscan, folder, {"mu": arrays["mu"], "z": arrays["z"]}, 64)
    found = document(latentscan("stats", "--store", latents.store, "--json"))
    assert found["rejected"] == 3
    assert "logvar" not in found
    assert "per_component" not in found.get("kl", {})
    assert {"z", "mu", "difference", "histogram"} == found["radius"].keys()
    kept = np.setdiff1d(np.arange(IMAGES), (0, 6, 310))
    deviation = np.abs(arrays["z"][kept].astype(np.float64) - arrays["mu"][kept])
    assert found["deviation"]["above"] == {"0.05": int(np.sum(deviation > 0.05))}


def test_a_point_at_the_origin(latentscan: Command, tmp_path: Path) -> None:
    z = np.array([[0, 0], [3, 4], [6, 8]], np.float32)
    latents = ingest(latentscan, tmp_path, {"mu": z * np.float32(0.5), "z": z}, 2)
    found = document(latentscan("stats", "--store", latents.store, "--json"))["radius"]
    assert (found["z"]["min"], found["z"]["max"]) == (0, 10)
    assert (found["histogram"]["z"][0], found["histogram"]["underflow"]) == (1, 0)
    assert found["difference"]["max_absolute"] == 5
    assert found["difference"]["max_relative"] == 0.5


def test_nothing_but_rejected_images(latentscan: Command, tmp_path: Path) -> None:
    latents = ingest(latentscan, tmp_path, {"z": np.full((5, 3), np.nan, np.float32)}, 2)
    done = latentscan("stats", "--store", latents.store, "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "all 5 images were rejected" in done.stderr


def test_a_single_image(latentscan: Command, tmp_path: Path) -> None:
    latents = ingest(latentscan, tmp_path, {"z": np.array([[3, 4]], np.float32)}, 4096)
    found = document(latentscan("stats", "--store", latents.store, "--json"))
    assert found["radius"]["z"]["mean"] == 5
    assert found["radius"]["z"]["std"] == 0
    low, high = found["radius"]["histogram"]["edges"][:2]
    assert low <= 5 < high


def test_parameters_change_what_is_counted(latentscan: Command, done_once: Latents) -> None:
    options = ("--width", "2", "--upper", "10", "--ranges", "1:2.5", "--threshold", "1", "--interval", "-5:0")
    found = document(latentscan("stats", "--store", done_once.store, "--json", *options))
    kept = np.setdiff1d(np.arange(IMAGES), REJECTED)
    z, mu, logvar = (done_once.arrays[name][kept].astype(np.float64) for name in ("z", "mu", "logvar"))
    radius = np.linalg.norm(z, axis=1)
    assert found["radius"]["histogram"]["edges"] == [0, 2, 4, 6, 8, 10]
    assert found["radius"]["histogram"]["overflow"] == np.sum(radius >= 10)
    assert found["radius"]["within"] == {"[1,2.5)": np.mean((radius >= 1) & (radius < 2.5))}
    ((_, above),) = found["deviation"]["above"].items()
    assert above == np.sum(np.abs(z - mu) > 1)
    assert found["logvar"]["intervals"] == {"[-5,0]": np.sum((logvar >= -5) & (logvar <= 0))}


def test_saved_result_is_read_unless_forced(
    latentscan: Command, done_once: Latents, listing: Listing
) -> None:
    first = listing(done_once.store)
    again = latentscan("stats", "--store", done_once.store, "--json")
    assert listing(done_once.store) == first
    forced = latentscan("stats", "--store", done_once.store, "--json", "--force")
    assert forced.stdout == again.stdout
    after = listing(done_once.store)
    result = [name for name in first if name.startswith("analyses/stats/") and "/c/" in name]
    assert result
    assert any(after[name] != first[name] for name in result)
    latents = [
        name for name in first if not name.startswith("analyses") and name.split("/")[0] != "zarr.json"
    ]
    assert {name: after[name] for name in latents} == {name: first[name] for name in latents}


@pytest.fixture(scope="module")
def whole(latentscan: Command, done_once: Latents) -> Any:
    return document(latentscan("stats", "--store", done_once.store, "--json"))


@pytest.mark.parametrize("damage", ["delete", "flip", "half saved"])
def test_damaged_result_is_never_shown(
    latentscan: Command, done_once: Latents, whole: Any, tmp_path: Path, damage: str
) -> None:
    store = tmp_path / done_once.store.name
    shutil.copytree(done_once.store, store)
    biggest = max(
        (path for path in (store / "analyses" / "stats").rglob("c/**/*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    if damage == "delete":
        biggest.unlink()
    elif damage == "flip":
        data = bytearray(biggest.read_bytes())
        data[7] ^= 1
        biggest.write_bytes(data)
    else:
        array = next(path for path in biggest.parents if path.name == "c").parent
        shutil.rmtree(array)
    done = latentscan("stats", "--store", store, "--json")
    if done.returncode == 4:
        assert "--force" in done.stderr
    else:
        assert document(done)["radius"] == whole["radius"]


def test_results_elsewhere_leave_the_data_alone(
    latentscan: Command, done_once: Latents, listing: Listing, tmp_path: Path
) -> None:
    before, other = listing(done_once.store), tmp_path / "results.zarr"
    done = latentscan("stats", "--store", done_once.store, "--results", other, "--json")
    assert document(done)["images"] == IMAGES
    assert listing(done_once.store) == before
    (key,) = (path.name for path in (other / "analyses" / "stats").iterdir() if path.is_dir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(other, group=f"analyses/stats/{key}").load()


def test_xarray_opens_store_and_result(full: Latents, full_stats: Any) -> None:
    (key,) = (path.name for path in (full.store / "analyses" / "stats").iterdir() if path.is_dir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latents = xr.open_zarr(full.store).load()
        result = xr.open_zarr(full.store, group=f"analyses/stats/{key}").load()
    assert result["radius_histogram"].sel(array="z").values.tolist() == full_stats["radius"]["histogram"]["z"]
    for name, values in full.arrays.items():
        stored = latents[name]
        assert stored.dims == ("image", "component")
        assert stored.dtype == np.float32
        assert np.isnan(stored.values[list(REJECTED)]).all()
        kept = np.setdiff1d(np.arange(IMAGES), REJECTED)
        np.testing.assert_array_equal(stored.values[kept], values[kept])
    assert np.flatnonzero(latents["status"].values).tolist() == list(REJECTED)


def test_table_fits_80_columns(latentscan: Command, done_once: Latents, tmp_path: Path) -> None:
    store = tmp_path / ("a-rather-long-name-of-an-experiment-" * 3) / "z.zarr"
    shutil.copytree(done_once.store, store)
    done = latentscan("stats", "--store", store)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for said in ("z.zarr", "6.50", "-24.75", str(IMAGES), "[-3,5]", "4 of 5"):
        assert said in done.stdout


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<?xml"), ("pdf", b"%PDF-")]
)
def test_plot(latentscan: Command, done_once: Latents, tmp_path: Path, suffix: str, magic: bytes) -> None:
    figure = tmp_path / f"radius.{suffix}"
    done = latentscan("stats", "--store", done_once.store, "--plot", figure, "--json")
    assert document(done)["images"] == IMAGES
    assert figure.read_bytes().startswith(magic)
    assert figure.stat().st_size > 2000
    if suffix == "svg":
        assert b"<svg" in figure.read_bytes()


def test_plot_of_another_kind_is_refused(latentscan: Command, done_once: Latents, tmp_path: Path) -> None:
    done = latentscan("stats", "--store", done_once.store, "--plot", tmp_path / "radius.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "radius.txt" in done.stderr
    for suffix in ("png", "svg", "pdf"):
        assert suffix in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_imports_nothing_heavy(latentscan_process: Command, done_once: Latents) -> None:
    done = latentscan_process(
        "stats", "--store", done_once.store, "--force", interpreter=("-X", "importtime")
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert {"numpy", "zarr"} <= imported
    heavy = {"tensorflow", "keras", "distributed", "xarray", "dask.array", "sklearn", "matplotlib"}
    assert not imported & heavy


def test_numbers_are_of_their_kind(full_stats: Any) -> None:
    for counts in (full_stats["radius"]["histogram"]["z"], full_stats["radius"]["histogram"]["mu"]):
        assert all(isinstance(count, int) for count in counts)
    assert all(
        math.isfinite(value) for value in full_stats["radius"]["z"].values() if isinstance(value, float)
    )
