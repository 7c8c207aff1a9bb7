"""The page of two large stores: how long it takes, how large it is, and how fast a browser shows it.

Two stores of the same images, each with clusters, attributes and a map; their results are cached before the
clock starts. The command is measured as a whole process. A headless Chromium that draws in software opens
the page from its file, and pans a map: the time from the address to the maps, and the longest time between
two frames. Prints one JSON line; what needs a browser is null where there is none.

Run as `python -m tests.benchmarks.page [--images N] [--attributes N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import latentscan as ls
from latentscan.synth.dataset import synthesize
from tests.builders import build_store

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

COMPONENTS, CLUSTERS, PAINTED = 32, 12, 500
WINDOW = (1280, 900)
STORES = ("a.zarr", "b.zarr")
READY = "return document.documentElement.dataset.ready === 'yes'"
RECORD_FRAMES = """
    window.frames_at = [];
    const note = (now) => { window.frames_at.push(now); window.noting = requestAnimationFrame(note); };
    window.noting = requestAnimationFrame(note);
"""
LONGEST_FRAME = """
    cancelAnimationFrame(window.noting);
    return Math.max(...window.frames_at.slice(1).map((at, i) => at - window.frames_at[i]));
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=140_000)
    parser.add_argument("--attributes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), options.images, options.attributes, options.rounds)))


def measure(folder: Path, images: int, attributes: int, rounds: int) -> dict[str, Any]:
    paths = _write_images(folder / "faces", images)
    for seed, name in enumerate(STORES):
        _write_store(folder / name, paths, attributes, seed)
    page = folder / "page.html"
    words = [word for name in STORES for word in ("--store", str(folder / name))]
    command = [sys.executable, "-m", "latentscan", "report", *words, "--images", str(folder / "faces")]
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        said = subprocess.run([*command, "--out", str(page)], check=True, capture_output=True, text=True)
        taken.append(time.perf_counter() - start)
    return {
        "images": images,
        "attributes": attributes,
        "rounds": rounds,
        "said": said.stderr.strip().splitlines()[-1],
        "write_s": round(statistics.median(taken), 1),
        "page_mb": round(page.stat().st_size / 1e6, 1),
        **_in_browser(page, rounds),
        "target": {"write_s": 60, "page_mb": 40, "first_view_s": 3, "longest_frame_ms": 200},
    }


def _write_images(folder: Path, images: int) -> list[str]:
    """Write images of which many are the same file under other names."""
    painted = min(images, PAINTED)
    synthesize(folder.with_name("painted"), painted)
    files = sorted(folder.with_name("painted").rglob("*.jpg"))
    folder.mkdir()
    paths = [f"{row:06d}.jpg" for row in range(images)]
    for row, path in enumerate(paths):
        os.link(files[row % painted], folder / path)
    return paths


def _write_store(location: Path, paths: list[str], attributes: int, seed: int) -> None:
    """Write a store of a mixture of Gaussians, and compute what its page shows."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 4, (CLUSTERS, COMPONENTS))
    of = np.random.default_rng(0).integers(0, CLUSTERS, len(paths))
    z = (centres[of] + rng.standard_normal((len(paths), COMPONENTS))).astype(np.float32)
    labels = tuple(f"attribute {number}" for number in range(attributes))
    build_store(location, arrays={"z": z}, paths=paths, labels=labels, chunk_rows=4096)
    store = ls.open(str(location))
    quiet: dict[str, Any] = {"progress": False}
    ls.stats(store, **quiet)
    ls.axes(store, **quiet)
    ls.pca(store, **quiet)
    ls.outliers(store, **quiet)
    ls.kmeans(store, k="2:16:2", seeds=1, **quiet)
    points = min(len(paths), 1_000_000)
    ls.tsne(store, points=points, perplexity=min(30, points // 4), iterations=30, **quiet)


def _in_browser(page: Path, rounds: int) -> dict[str, Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        return {"first_view_s": None, "longest_frame_ms": None}
    views, frames = zip(*(_view(page, chromium, driver) for _ in range(rounds)), strict=True)
    return {
        "first_view_s": round(statistics.median(views), 2),
        "longest_frame_ms": round(statistics.median(frames)),
    }


def _view(page: Path, chromium: str, driver: str) -> tuple[float, float]:
    """Open the page in a new browser and pan its first map; return the seconds and the milliseconds."""
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.wait import WebDriverWait

    options = Options()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={WINDOW[0]},{WINDOW[1]}")
    browser = Chrome(options=options, service=Service(driver))
    try:
        start = time.perf_counter()
        browser.get(page.as_uri())
        WebDriverWait(browser, 120, poll_frequency=0.02).until(lambda one: one.execute_script(READY))
        taken = time.perf_counter() - start
        return taken, _longest_frame(browser)
    finally:
        browser.quit()


def _longest_frame(browser: Chrome) -> float:
    """Pan the first map with the keys of a reader who has focused it; return milliseconds."""
    from selenium.webdriver.common.keys import Keys

    browser.execute_script(
        """
        const map = document.querySelector("[data-map]");
        map.scrollIntoView({ block: "center", behavior: "instant" });
        map.focus();
        """
    )
    time.sleep(1)  # what the scrolling draws is no part of the panning
    browser.execute_script(RECORD_FRAMES)
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_LEFT, Keys.ARROW_DOWN) * 5:
        browser.switch_to.active_element.send_keys(key)
    longest: float = browser.execute_script(LONGEST_FRAME)
    return longest


if __name__ == "__main__":
    main()
