"""What a page is made of: chapters of sentences, pictures, tables and images."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.report.style import DPI, picture_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentscan.report.page.markup import Block
    from latentscan.report.section import Section


@dataclass(frozen=True)
class Tile:
    """An image of a result: its path, its row, its figure, its group, and where its thumbnail is."""

    path: str
    row: int
    note: str
    sheet: int | None
    x: int
    y: int
    group: int = 0


@dataclass(frozen=True)
class Strip:
    """Images that a result names, and whether they are folded."""

    title: str
    tiles: tuple[Tile, ...]
    folded: bool = False


@dataclass(frozen=True)
class Part:
    """A picture and the tables of results that are presented together."""

    names: tuple[str, ...]
    picture: str
    width: int
    height: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Chapter:
    """What a page has of an analysis."""

    id: str
    section: Section
    parts: tuple[Part, ...]
    strips: tuple[Strip, ...] = ()
    open: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.section, name)


def picture_url(drawing: Figure) -> tuple[str, int, int]:
    """Return a figure as the URL of a PNG, with its width and height in pixels."""
    content, width, height = picture_of(drawing, DPI)
    return f"data:image/png;base64,{b64encode(content).decode()}", width, height
