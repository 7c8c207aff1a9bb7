from __future__ import annotations

import io
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.figure import Figure

from latentscan.report.style import COLOURS, glyphs, save_figure, scale_from_zero, series_colours

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


@pytest.mark.parametrize("ending", MAGIC)
def test_a_figure_is_written_as_a_file_of_its_kind(tmp_path: Path, ending: str) -> None:
    drawing = Figure(figsize=(3.0, 2.0))
    drawing.subplots().plot([1, 2, 3])
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


def test_names_in_a_figure_are_no_formulas(tmp_path: Path) -> None:
    drawing = Figure(figsize=(3.0, 2.0))
    axes = drawing.subplots()
    axes.semilogy([1, 1e9], label="a$\\frac$x")
    axes.set_title("\x1b]0;$x$\udcff中")
    axes.legend()
    save_figure(drawing, tmp_path / "figure.svg")
    assert axes.get_title() == r"\x1b]0;$x$\xff中"
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert any("mathdefault" in text for text in ticks), "powers of ten are still formulas"
    assert all(label.get_parse_math() for label in axes.get_yticklabels())


def test_zero_is_in_sight_on_either_scale() -> None:
    for values, scale in (([0.0, 2, 3], "linear"), ([0.0, 1e-4, 3], "symlog"), ([1e-4, 3], "log")):
        axes = Figure().subplots()
        axes.plot(values)
        scale_from_zero(axes, np.array(values))
        assert axes.get_yscale() == scale
        low, high = axes.get_ylim()
        assert low < min(values) < max(values) < high
    axes = Figure().subplots()
    scale_from_zero(axes, np.array([np.nan]))
    assert axes.get_ylim() == (0, 1)
