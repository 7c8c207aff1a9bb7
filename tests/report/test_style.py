from __future__ import annotations

import io
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from latentscan.report.style import COLOURS, glyphs, save_figure, series_colours, single_plot

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


@pytest.mark.parametrize("ending", MAGIC)
def test_a_figure_is_written_as_a_file_of_its_kind(tmp_path: Path, ending: str) -> None:
    drawing, axes = single_plot(3.0, 2.0)
    axes.plot([1, 2, 3])
    assert len(drawing.axes) == 1
    save_figure(drawing, tmp_path / f"figure.{ending}")
    assert (tmp_path / f"figure.{ending}").read_bytes().startswith(MAGIC[ending])


def test_colours_never_end() -> None:
    colours = list(islice(series_colours(), len(COLOURS) + 1))
    assert len(set(colours)) == len(COLOURS)
    assert colours[-1] == colours[0]


def test_a_terminal_without_the_characters_gets_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, expected in (("utf-8", "▁█"), ("ascii", ".#")):
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert glyphs("▁█", ".#") == expected
