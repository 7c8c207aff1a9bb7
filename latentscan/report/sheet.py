"""A contact sheet: images side by side, each with what it is below it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMALLEST, LARGEST = 112, 224  # pixels of the longer side of an image on the sheet
GAP = 10
TEXT = 12  # pixels
LINE = 16
MISSING = (226, 226, 226)
INK, FAINT = (20, 20, 20), (96, 96, 96)


def contact_sheet(
    images: Sequence[NDArray[np.uint8] | str],
    captions: Sequence[tuple[str, ...]],
    title: str,
    columns: int | None = None,
) -> Any:
    """Lay images out in rows, with a title above, and lines of text below each.

    Parameters
    ----------
    images
        Each (height, width, 1 or 3); or a text instead, why there is none.
    captions
        Lines for each, as many for all; a long one loses its beginning.
    title
        What they are.
    columns
        Images in a row; as many as make the sheet a little wider than high if None.

    Returns
    -------
    A picture of Pillow.

    Examples
    --------
    >>> contact_sheet([np.zeros((64, 64, 3), np.uint8), "damaged"], [("1",), ("2",)], "two").size
    (254, 178)
    """
    from PIL import Image, ImageDraw

    width, height = _cell(images)
    lines = max(map(len, captions), default=0)
    columns = columns or max(1, min(len(images), math.ceil(math.sqrt(1.4 * len(images)))))
    rows = math.ceil(len(images) / columns)
    step_x, step_y = width + GAP, height + LINE * lines + GAP + 4
    head = 2 * GAP + LINE
    size = (max(columns * step_x + GAP, 2 * GAP), head + rows * step_y)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), _font(TEXT)
    draw.text(
        (GAP, GAP), _fitting(title, draw, _font(TEXT + 2), size[0] - 2 * GAP, head=True), INK, _font(TEXT + 2)
    )
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + number % columns * step_x, head + number // columns * step_y
        if isinstance(image, str):
            draw.rectangle((left, top, left + width - 1, top + height - 1), MISSING)
            draw.text((left + 6, top + 6), _fitting(image, draw, font, width - 12, head=True), FAINT, font)
        else:
            shown = _resized(image, (width, height))
            sheet.paste(shown, (left + (width - shown.width) // 2, top + (height - shown.height) // 2))
        for line, text in enumerate(caption):
            at = (left, top + height + 2 + LINE * line)
            draw.text(at, _fitting(text, draw, font, width), INK if line == 0 else FAINT, font)
    return sheet


def save_sheet(
    images: Sequence[NDArray[np.uint8] | str],
    captions: Sequence[tuple[str, ...]],
    title: str,
    path: Path,
    columns: int | None = None,
) -> None:
    """Write a contact sheet as a picture; parameters are those of `contact_sheet`."""
    contact_sheet(images, captions, title, columns).save(path)


def _cell(images: Sequence[NDArray[np.uint8] | str]) -> tuple[int, int]:
    """Return the size of an image on the sheet: that of the largest one, enlarged where it is small."""
    shapes = [image.shape[:2] for image in images if not isinstance(image, str)]
    height, width = (max(sides) for sides in zip(*shapes, strict=True)) if shapes else (SMALLEST, SMALLEST)
    longer = max(height, width)
    scale = min(max(longer, SMALLEST), LARGEST) / longer
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: NDArray[np.uint8], cell: tuple[int, int]) -> Any:
    from PIL import Image

    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    height, width = pixels.shape[:2]
    scale = min(cell[0] / width, cell[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS)


def _font(size: int) -> Any:
    """Return Matplotlib's own font, which has more alphabets than Pillow's."""
    import matplotlib as mpl
    from PIL import ImageFont

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _fitting(text: str, draw: Any, font: Any, width: int, *, head: bool = False) -> str:
    """Cut a text that is too long: its end where `head` is wanted, else its beginning."""
    text = one_line(text)
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}…", font) > width:
        text = text[:-1] if head else text[1:]
    return f"{text}…" if head else f"…{text}"
