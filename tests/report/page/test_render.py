from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from latentscan.analyses import registry
from latentscan.errors import ParameterError, StoreError
from latentscan.report.page.render import write_report
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore

IMAGES = 40
PROVENANCE = {
    "seed": 0,
    "encoder": {"name": "<b>vae</b>", "sha256": "ab" * 32, "kind": "keras"},
    "source": {"kind": "folder", "name": "faces"},
    "preprocessing": {"size": 96, "crop": "none"},
    "versions": {"numpy": "2.3.0", "tensorflow": "2.21.0"},
}
HOSTILE = "</script><script>alert(1)</script>.png"


class Reader(HTMLParser):
    """What a browser would see of a page without running it: its tags, and addresses of other files."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    paths = [HOSTILE, *(f"{row}.png" for row in range(1, IMAGES))]
    return build_store(
        tmp_path / "z.zarr",
        images=IMAGES,
        components=3,
        latents=("z",),
        paths=paths,
        rejected=[3],
        provenance=PROVENANCE,
        resume_command="latentscan encode --model vae --images faces --store z.zarr",
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for row in range(1, IMAGES):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (20, 30), (5 * row, 0, 0)).save(folder / f"{row}.png")
    return folder


def test_a_page_needs_nothing_but_itself(store: LatentStore, images: Path, tmp_path: Path) -> None:
    analyse(store, "stats")
    analyse(store, "tsne", points=IMAGES, perplexity=4, iterations=10)
    written = write_report([store.location], tmp_path / "page.html", images=str(images))
    assert written.points == IMAGES - 1  # one was rejected
    assert written.thumbnails == IMAGES - 2  # and of one there is no file
    found = read(written.page)
    assert {address.partition(":")[0][:1] for address in found.addresses} <= {"#", "d"}
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    for address in found.addresses:
        assert not address.startswith("#") or address[1:] in found.ids
    assert len(found.ids) == len(set(found.ids))
    content = written.page.read_text(encoding="utf-8")
    assert "alert(1)</script>" not in content
    assert re.search(r"1 \(1 damaged\)", content)
    assert "&lt;b&gt;vae&lt;/b&gt; (SHA-256 abababababab" in content
    assert "numpy 2.3.0, tensorflow 2.21.0" in content
    assert "96x96 RGB in 0..1, stretched to fit" in content
    again = f"latentscan encode --model vae --images faces --store {store.location}"
    assert again in content
    made = f"latentscan tsne --store {store.location} --points {IMAGES} --perplexity 4 --iterations 10"
    assert made in " ".join(content.split()).replace("4.0", "4")
    assert not list(tmp_path.glob("*.partial"))


def test_thumbnails_beside_the_page_are_of_all_images(
    store: LatentStore, images: Path, tmp_path: Path
) -> None:
    analyse(store, "tsne", points=IMAGES, perplexity=4, iterations=10)
    out, beside = tmp_path / "page.html", tmp_path / "a folder" / "sheets"
    written = write_report([store.location], out, images=str(images), assets=beside)
    assert 'url("a%20folder/sheets/thumbnails-0.webp")' in out.read_text(encoding="utf-8")
    (sheet,) = beside.iterdir()
    with Image.open(sheet) as picture:
        shades = np.asarray(picture.convert("RGB"))[48::96, 48::96, 0].ravel()
    assert len(np.unique(shades)) > 0.8 * written.thumbnails


def test_a_page_of_what_was_not_computed_says_so(store: LatentStore, tmp_path: Path) -> None:
    written = write_report([store.location], tmp_path / "page.html")
    content = written.page.read_text(encoding="utf-8")
    assert "No results are cached yet" in content
    assert any(note.startswith("not computed: stats") for note in written.notes)
    assert "bokeh" not in content


def test_an_analysis_without_a_section_of_its_own_appears_by_itself(
    store: LatentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentscan.report import collapse

    analyse(store, "collapse")
    monkeypatch.delattr(collapse, "section")
    content = write_report([store.location], tmp_path / "page.html").page.read_text(encoding="utf-8")
    assert 'id="analysis-collapse"' in content
    assert registry.ANALYSES.summary("collapse") in content.replace("&#39;", "'")
    assert "<table>" in content
    assert 'src="data:image/png' in content


def test_what_does_not_fit_is_refused_before_anything_is_written(
    store: LatentStore, images: Path, tmp_path: Path
) -> None:
    analyse(store, "tsne", points=IMAGES, perplexity=4, iterations=10)
    other = tmp_path / "others"
    other.mkdir()
    Image.new("RGB", (9, 9)).save(other / "other.png")
    out = tmp_path / "page.html"
    with pytest.raises(ParameterError, match="given twice"):
        write_report([store.location, store.location], out)
    with pytest.raises(ParameterError, match="none of them has a path as"):
        write_report([store.location], out, images=str(other))
    with pytest.raises(StoreError):
        write_report([str(tmp_path / "none.zarr")], out)
    assert not out.exists()
