from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.cli.demo import farewell
from latentscan.demo import run_demo


@pytest.mark.timeout(1200)  # three trainings, and every analysis of each
def test_the_demo_makes_what_it_says_once(tmp_path: Path) -> None:
    said: list[str] = []
    table = run_demo(tmp_path / "demo", images=120, epochs=1, say=said.append)
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    models = ("ae", "vae", "vae-kl")
    assert names == {
        *("faces", "compared.png", "reconstructions.png", "report.html"),
        *(f"{name}{ending}" for name in models for ending in ("", ".zarr", "-plots")),
        *(f"{name}-{points}.png" for name in models for points in ("gaussian", "normal")),
    }
    assert [line.partition(":")[0] for line in said] == [f"{number} of 7" for number in range(1, 8)]
    page = (tmp_path / "demo" / "report.html").read_text()
    assert all(f'id="{part}"' in page for part in ("maps", "training", "decoded", "analysis-compare"))
    plots = sorted(path.name for path in (tmp_path / "demo" / "vae-plots").iterdir())
    alone = [name for name, analysis in ANALYSES.items() if analysis.inputs is not SeveralStores]
    # each analysis once, and the spectrum of z, which the ledger needs, beside that of mu
    assert sorted({name.removesuffix(".png").partition("-")[0] for name in plots}) == sorted(alone)
    with Image.open(tmp_path / "demo" / "reconstructions.png") as picture:
        assert picture.size == (16 * 98 + 2, 4 * 98 + 2)
    stream = StringIO()
    Console(file=stream, width=80).print(table)
    assert "ae.zarr" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80
    for path in re.findall(r"^  (\S+(?: \S+)*)  ", farewell(tmp_path).partition("Try next")[0], re.MULTILINE):
        assert all(list((tmp_path / "demo").glob(name.rstrip("/"))) for name in path.split()), path
    assert max(map(len, farewell(Path("latentscan-demo")).splitlines())) <= 80

    stores = [p for p in (tmp_path / "demo").glob("*.zarr/*/c/**/*") if p.is_file()]
    before = {path: path.stat().st_mtime_ns for path in stores}
    run_demo(tmp_path / "demo", images=120, epochs=1, say=said.append)
    assert "all of it is there already; only pictures and the page are drawn again" in said
    assert {path: path.stat().st_mtime_ns for path in stores} == before
