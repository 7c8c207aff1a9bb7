from __future__ import annotations

from typing import TYPE_CHECKING

from tests.builders import analyse, build_store
from tests.cli.commands import latentscan

if TYPE_CHECKING:
    from pathlib import Path


def test_report_prints_the_page_and_notes_what_is_missing(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.zarr", "b.zarr")):
        store = build_store(tmp_path / name, images=30, components=3, latents=("z",), seed=seed)
        analyse(store, "collapse")
    done = latentscan("report", "--store", "a.zarr", "--store", "b.zarr", "--out", "page.html", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "page.html\n"
    assert "not computed: stats of a.zarr, b.zarr" in done.stderr
    assert "a.zarr and b.zarr" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_report_refuses_what_cannot_be(tmp_path: Path) -> None:
    build_store(tmp_path / "a.zarr", images=30, components=3, latents=("z",))
    for words, code, said in (
        (("--store", "a.zarr", "--out", "page.png"), 2, ".html"),
        (("--store", "a.zarr", "--out", "nowhere/page.html"), 2, "does not exist"),
        (("--store", "none.zarr", "--out", "page.html"), 4, "none.zarr"),
        (("--store", "a.zarr", "--store", "./a.zarr", "--out", "page.html"), 2, "twice"),
        (("--out", "page.html"), 2, "--store"),
    ):
        done = latentscan("report", *words, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
