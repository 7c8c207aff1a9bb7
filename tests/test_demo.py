from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from PIL import Image
from rich.console import Console

from latentscan.analyses.inputs import OneStore
from latentscan.analyses.registry import ANALYSES
from latentscan.cli.demo import farewell
from latentscan.demo import run_demo


def test_the_demo_makes_what_it_says_once(tmp_path: Path) -> None:
    said: list[str] = []
    table = run_demo(tmp_path / "demo", images=120, epochs=1, say=said.append)
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {
        *("faces", "ae", "vae", "ae.zarr", "vae.zarr", "compared.png", "reconstructions.png"),
        *("ae-plots", "vae-plots"),
        *("ae-gaussian.png", "vae-gaussian.png", "ae-normal.png", "vae-normal.png"),
    }
    assert len(said) == 5
    plots = sorted(path.name for path in (tmp_path / "demo" / "vae-plots").iterdir())
    alone = [name for name, analysis in ANALYSES.items() if analysis.inputs is OneStore]
    assert plots == sorted(f"{name}.png" for name in alone)
    with Image.open(tmp_path / "demo" / "reconstructions.png") as picture:
        assert picture.size == (16 * 98 + 2, 3 * 98 + 2)
    stream = StringIO()
    Console(file=stream, width=80).print(table)
    assert "ae.zarr" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80
    for path in re.findall(r"^  (\S+(?: \S+)*)  ", farewell(tmp_path).partition("Try next")[0], re.MULTILINE):
        assert all(list((tmp_path / "demo").glob(name.rstrip("/"))) for name in path.split()), path
    assert max(map(len, farewell(Path("latentscan-demo")).splitlines())) <= 80

    stores = [p for p in (tmp_path / "demo").glob("*.zarr/*/c/**/*") if p.is_file()]
    before = {path: path.stat().st_mtime_ns for path in stores}
    run_demo(tmp_path / "demo", images=120, epochs=1)
    assert {path: path.stat().st_mtime_ns for path in stores} == before
