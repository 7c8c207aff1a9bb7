"""`compare` and `plot` from the outside, and what every analysis refuses: code, message, remedy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from tests.cli.commands import latentscan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.cli.commands import Command

    Contents = Callable[[Path], dict[str, bytes]]
    Numbers = NDArray[np.float64]

IMAGES, COMPONENTS = 211, 6
REJECTED = (0, 5, 210)
QUICK = ("--k", "2:6:2", "--seeds", 1, "--perplexity", 10, "--iterations", 60)
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
ANALYSES = {
    "axes": (),
    "pca": (),
    "kmeans": ("--k", "2:4:2", "--seeds", "1"),
    "tsne": ("--perplexity", "5", "--iterations", "20"),
}


def ingest(folder: Path, name: str, z: Numbers) -> Path:
    np.save(folder / f"{name}.npy", z.astype(np.float32))
    store = folder / f"{name}.zarr"
    done = latentscan("ingest", "--z", folder / f"{name}.npy", "--store", store, "--chunk-rows", 64)
    assert done.returncode in {0, 3}, done.stderr
    return store


@pytest.fixture(scope="module")
def points() -> Numbers:
    random = np.random.default_rng(8)
    z = random.normal(size=(IMAGES, COMPONENTS)) * np.geomspace(0.5, 3, COMPONENTS) + 1
    z[list(REJECTED)] = np.nan
    return z.astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def clouds(points: Numbers) -> dict[str, Numbers]:
    random = np.random.default_rng(9)
    turn = np.linalg.qr(random.normal(size=(COMPONENTS, COMPONENTS)))[0]
    return {
        "base": points,
        "same": points,
        "turned": points @ turn,
        "noisy": points + random.normal(scale=0.7, size=points.shape),
        "fewer": points[:150],
        "narrow": points[:, :3],
    }


@pytest.fixture(scope="module")
def stores(clouds: dict[str, Numbers], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compare")
    return {name: ingest(folder, name, z) for name, z in clouds.items()}


@pytest.fixture(scope="module")
def compared(latentscan_process: Command, stores: dict[str, Path]) -> Any:
    """A real process: stdout is one document, progress is on stderr."""
    words = [*(stores[name] for name in ("base", "same", "turned", "noisy")), "--json", *map(str, QUICK)]
    done = latentscan_process("compare", *words)
    assert done.returncode == 0, done.stderr
    assert "blocks" in done.stderr
    return json.loads(done.stdout)


def pair(document: Any, first: str, second: str) -> Any:
    (one,) = (
        pair
        for pair in document["pairs"]
        if pair["first"].endswith(f"{first}.zarr") and pair["second"].endswith(f"{second}.zarr")
    )
    return one


def good(z: Numbers) -> Numbers:
    return z[np.isfinite(z).all(axis=1)].astype(np.float32).astype(np.float64)


def test_every_two_stores_are_compared(compared: Any) -> None:
    assert len(compared["stores"]) == 4
    assert len(compared["pairs"]) == 6
    (note,) = compared["notes"]
    assert "their images are taken to be in the same order" in note
    assert all(one["shared"] == IMAGES - len(REJECTED) for one in compared["pairs"])


def test_identical_stores(compared: Any) -> None:
    same = pair(compared, "base", "same")
    assert (same["earth_movers_distance"], same["overlap"]) == (0, 1)
    assert same["cka"] == pytest.approx(1, abs=1e-12)
    assert same["disparity"] == pytest.approx(0, abs=1e-9)


def test_a_turned_cloud_is_the_same_cloud(compared: Any) -> None:
    turned = pair(compared, "base", "turned")
    assert turned["earth_movers_distance"] == pytest.approx(0, abs=1e-5)
    assert turned["cka"] == pytest.approx(1, abs=1e-6)
    assert turned["overlap"] > 0.999


def test_cka_overlap_and_distance_against_numpy(compared: Any, clouds: dict[str, Numbers]) -> None:
    noisy, first, second = pair(compared, "base", "noisy"), good(clouds["base"]), good(clouds["noisy"])
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    cka = np.sum((a.T @ b) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert noisy["cka"] == pytest.approx(cka, rel=1e-5)
    nearest = []
    for cloud in (first, second):
        squares = np.sum((cloud[:, np.newaxis] - cloud) ** 2, axis=2)
        np.fill_diagonal(squares, np.inf)
        nearest.append(np.argsort(squares, axis=1)[:, :10])
    overlap = np.mean([len(np.intersect1d(*rows)) / 10 for rows in zip(*nearest, strict=True)])
    assert noisy["overlap"] == pytest.approx(overlap, abs=0.002)
    expected = wasserstein_distance(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    assert noisy["earth_movers_distance"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("other", "said"), [("fewer", ("211", "150")), ("narrow", ("6", "3"))])
def test_what_cannot_be_compared_is_named(stores: dict[str, Path], other: str, said: tuple[str, str]) -> None:
    done = latentscan("compare", stores["base"], stores[other], *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    notes = " ".join(document["notes"])
    assert all(word in notes for word in ("base.zarr", f"{other}.zarr", *said))
    one = pair(document, "base", other)
    assert one["earth_movers_distance"] > 0
    if other == "fewer":
        assert one.get("cka") is None
    assert notes[:40] in latentscan("compare", stores["base"], stores[other], *QUICK).stdout.replace(
        "\n", " "
    )


def test_compare_elsewhere_leaves_the_data_alone(
    stores: dict[str, Path], contents: Contents, tmp_path: Path
) -> None:
    pairs, other = [stores["same"], stores["fewer"]], tmp_path / "results.zarr"
    before = [contents(store) for store in pairs]
    done = latentscan("compare", *pairs, "--results", other, "--no-kmeans", "--no-tsne")
    assert done.returncode == 0, done.stderr
    assert [contents(store) for store in pairs] == before
    assert (other / "analyses" / "compare").is_dir()


def test_compare_reads_what_is_kept(
    compared: Any, stores: dict[str, Path], listing: Callable[[Path], Any], tmp_path: Path
) -> None:
    words = [stores[name] for name in ("base", "same", "turned", "noisy")]
    before, figure = [listing(store) for store in words], tmp_path / "compared.svg"
    done = latentscan("compare", *words, *QUICK, "--json", "--plot", figure)
    assert json.loads(done.stdout) == compared
    assert [listing(store) for store in words] == before
    assert figure.read_bytes().startswith(MAGIC["svg"])


@pytest.fixture(scope="module")
def analysed(points: Numbers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = ingest(tmp_path_factory.mktemp("analysed"), "z", points)
    for verb, words in {"stats": (), **ANALYSES}.items():
        done = latentscan(verb, "--store", store, *words)
        assert done.returncode == 0, done.stderr
    return store


@pytest.mark.parametrize("suffix", MAGIC)
def test_plot_draws_all_that_a_store_holds(analysed: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "pictures"
    done = latentscan("plot", "--store", analysed, "--out", out, "--format", suffix)
    assert done.returncode == 0, done.stderr
    drawn = sorted(out.iterdir())
    assert [path.name for path in drawn] == [f"{verb}.{suffix}" for verb in sorted({"stats", *ANALYSES})]
    assert all(path.read_bytes().startswith(MAGIC[suffix]) for path in drawn)
    assert [path for path in map(str, drawn) if path not in done.stdout] == []


def test_plot_of_a_store_without_results(tmp_path: Path) -> None:
    store = ingest(tmp_path, "fresh", np.ones((5, 2)))
    done = latentscan("plot", "--store", store, "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "fresh.zarr" in done.stderr
    assert not (tmp_path / "out").exists()


def test_plot_claims_no_picture_of_deleted_results(analysed: Path, tmp_path: Path) -> None:
    store = shutil.copytree(analysed, tmp_path / "z.zarr")
    shutil.rmtree(store / "analyses")
    done = latentscan("plot", "--store", store, "--out", tmp_path / "out")
    assert done.returncode == 4, "nothing was drawn"
    assert "pictures/s" not in done.stderr


@pytest.mark.parametrize(
    ("verb", "words", "names"),
    [
        ("kmeans", ("--k", "0"), ("--k 0", "at least 1")),
        ("kmeans", ("--k", "209"), ("--k 209", "208")),
        ("kmeans", ("--k", "2:400:2"), ("--k 400", "208")),
        ("kmeans", ("--k", "10:2:2"), ("--k 10:2:2", "FIRST:LAST:STEP")),
        ("kmeans", ("--k", "2:10:0"), ("--k 2:10:0", "FIRST:LAST:STEP")),
        ("kmeans", ("--k", "few"), ("--k few",)),
        ("kmeans", ("--k", "4", "--seeds", "0"), ("--seeds 0",)),
        ("kmeans", ("--k", "50", "--batch-rows", "20"), ("--batch-rows 20", "50")),
        ("kmeans", ("--k", "2:6:2", "--labels", "5"), ("--labels 5", "--k")),
        ("tsne", ("--perplexity", "100"), ("--perplexity 100", "at most 69")),
        ("tsne", ("--points", "30", "--perplexity", "30"), ("--perplexity 30", "30 points")),
        ("tsne", ("--perplexity", "20,100"), ("100", "at most 69")),
        ("tsne", ("--perplexity", "5,few"), ("few",)),
        ("tsne", ("--perplexity", "5,6,7", "--iterations", "10,20"), ("--iterations", "--perplexity")),
        ("tsne", ("--perplexity", "nan"), ("--perplexity nan",)),
        ("tsne", ("--iterations", "0"), ("--iterations 0",)),
        ("tsne", ("--early-exaggeration", "0"), ("--early-exaggeration 0",)),
        ("pca", ("--array", "mu"), ("mu", "z")),
        ("pca", ("--array", "logvar"), ("--array logvar",)),
        ("axes", ("--far", "-1"), ("--far -1",)),
        *((verb, ("--wrong",), ("--wrong", "--help")) for verb in ANALYSES),
        *((verb, ("--plot", "x.jpg"), ("x.jpg", ".png", ".svg", ".pdf")) for verb in ANALYSES),
    ],
)
def test_wrong_parameters(
    stores: dict[str, Path], contents: Contents, verb: str, words: tuple[str, ...], names: tuple[str, ...]
) -> None:
    before = contents(stores["turned"])
    done = latentscan(verb, "--store", stores["turned"], *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert [name for name in names if name not in done.stderr] == []
    assert contents(stores["turned"]) == before, "refused before any work"


@pytest.mark.parametrize(("names", "said"), [(["base"], "two"), (["base", "base"], "twice")])
def test_compare_wants_different_stores(stores: dict[str, Path], names: list[str], said: str) -> None:
    done = latentscan("compare", *(stores[name] for name in names))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("verb", [*ANALYSES, "compare"])
@pytest.mark.parametrize("state", ["missing", "incomplete", "damaged", "all rejected"])
def test_store_that_cannot_be_used(points: Numbers, tmp_path: Path, verb: str, state: str) -> None:
    store = tmp_path / "z.zarr"
    if state != "missing":
        ingest(tmp_path, "z", np.full_like(points, np.nan) if state == "all rejected" else points)
    if state == "incomplete":
        (store / "commits" / "digest" / "c" / "1" / "0" / "0").unlink()
    if state == "damaged":
        chunk = store / "z" / "c" / "1" / "0"
        data = bytearray(chunk.read_bytes())
        data[100] ^= 1
        chunk.write_bytes(data)
    words: tuple[object, ...] = ("--store", store, *ANALYSES.get(verb, ()))
    if verb == "compare":
        words = (store, ingest(tmp_path, "other", points), *QUICK)
    done = latentscan(verb, *words)
    assert (done.returncode, done.stdout) == (4, ""), done.stdout + done.stderr
    remedy = {"missing": "ingest", "incomplete": "--allow-partial", "damaged": "latentscan check"}
    assert "z.zarr" in done.stderr
    assert remedy.get(state, "rejected") in done.stderr


@pytest.mark.parametrize("verb", ["kmeans", "tsne"])
def test_one_image_far_out(latentscan_process: Command, points: Numbers, tmp_path: Path, verb: str) -> None:
    """What overflows float32 ends in a result or in one clear message: processes apart, for one may abort."""
    far = points.copy()
    far[3, 1] = 1e20
    done = latentscan_process(verb, "--store", ingest(tmp_path, "far", far), "--json", *ANALYSES[verb])
    assert done.returncode in {0, 2, 4}, done.stderr
    if done.returncode == 0 and verb == "kmeans":
        assert None not in json.loads(done.stdout)["inertia"]["mean"]


def test_the_same_command_at_once(points: Numbers, tmp_path: Path) -> None:
    store = ingest(tmp_path, "z", points)
    words = [sys.executable, "-m", "latentscan", "tsne", "--store", str(store), "--json", *ANALYSES["tsne"]]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1
