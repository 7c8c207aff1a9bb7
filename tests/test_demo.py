from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from PIL import Image
from rich.console import Console

from latentscan.demo import run_demo

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demo_makes_what_it_says_and_keeps_what_is_there(tmp_path: Path) -> None:
    said: list[str] = []
    report = run_demo(tmp_path / "demo", images=120, epochs=1, say=said.append)
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {
        *("faces", "ae", "vae", "ae.zarr", "vae.zarr", "compared.png", "reconstructions.png"),
        *("ae-plots", "vae-plots"),
        *("ae-gaussian.png", "vae-gaussian.png", "ae-normal.png", "vae-normal.png"),
    }
    assert len(said) == 5
    plots = sorted(path.name for path in (tmp_path / "demo" / "vae-plots").iterdir())
    assert plots == ["axes.png", "kmeans.png", "pca.png", "stats.png", "tsne.png"]
    with Image.open(tmp_path / "demo" / "reconstructions.png") as picture:
        assert picture.size == (16 * 98 + 2, 3 * 98 + 2)
    stream = StringIO()
    Console(file=stream, width=80).print(report.table)
    assert "ae.zarr" in stream.getvalue()
    assert max(map(len, report.farewell.replace(str(tmp_path), "").splitlines())) <= 80

    stores = [p for p in (tmp_path / "demo").glob("*.zarr/*/c/**/*") if p.is_file()]
    before = {path: path.stat().st_mtime_ns for path in stores}
    run_demo(tmp_path / "demo", images=120, epochs=1)
    assert {path: path.stat().st_mtime_ns for path in stores} == before
