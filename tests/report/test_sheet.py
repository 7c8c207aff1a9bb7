from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from latentscan.report.sheet import GAP, LINE, SMALLEST, contact_sheet

RED = np.full((40, 20, 3), (255, 0, 0), np.uint8)
GREY = np.full((40, 40, 1), 128, np.uint8)


def test_every_image_is_in_its_place_with_its_own_sides() -> None:
    sheet = contact_sheet([RED, GREY, RED], [("1", "a"), ("2", "b"), ("3", "c")], "three", columns=2)
    pixels = np.asarray(sheet)
    head, step = 2 * GAP + LINE, SMALLEST + LINE * 2 + GAP + 4
    middle = SMALLEST // 2
    assert pixels[head + middle, GAP + middle].tolist() == [255, 0, 0]
    assert pixels[head + middle, GAP + 4].tolist() == [255, 255, 255], "it is half as wide as high"
    assert pixels[head + middle, 2 * GAP + SMALLEST + middle].tolist() == [128, 128, 128]
    assert pixels[head + step + middle, GAP + middle].tolist() == [255, 0, 0]
    assert sheet.size == (2 * (SMALLEST + GAP) + GAP, head + 2 * step)


def test_what_cannot_be_shown_is_a_box_that_says_why() -> None:
    with_text = np.asarray(contact_sheet(["damaged"], [("1",)], ""))
    without = np.asarray(contact_sheet([" "], [("1",)], ""))
    assert (with_text != without).any()


@pytest.mark.parametrize("text", ["a" * 500, "$x_1$", "日本語/ünter.jpg", "\x1b[31m\n", "<b>&amp;"])
def test_any_text_stays_within_the_sheet(text: str) -> None:
    sheet = contact_sheet([RED, RED], [(text, text)] * 2, text)
    pixels = np.asarray(sheet)
    assert isinstance(sheet, Image.Image)
    assert (pixels[:, -GAP // 2 :] == 255).all()


def test_no_image_is_a_title_alone() -> None:
    assert contact_sheet([], [], "none").height == 2 * GAP + LINE
