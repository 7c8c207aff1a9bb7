from __future__ import annotations

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from latentscan.report.page.markup import LONG, blocks_of


def example(rows: int = 2) -> Table:
    table = Table(box=None)
    table.add_column("", no_wrap=True)
    table.add_column("search\nrecall", justify="right")
    table.add_row("")
    table.add_row(Text("radius", style="bold cyan"))
    table.add_row("  at image", "[red]7")
    for row in range(rows):
        table.add_row("mean", str(row))
    return table


def test_a_table_keeps_its_titles_its_insets_and_its_texts() -> None:
    (block,) = blocks_of(example())
    assert block.kind == "table"
    assert [cell.text for cell in block.head] == ["", "search recall"]
    group, inset, *_ = block.rows
    assert [cell.text for cell in group] == ["radius"]
    assert (inset[0].text, inset[0].inset, inset[1].text, inset[1].right) == ("at image", 1, "[red]7", True)
    assert not block.is_long
    assert blocks_of(example(LONG + 1))[0].is_long


def test_texts_are_headings_notes_or_paragraphs_and_pictures_of_letters_are_left_out() -> None:
    parts = Group(
        Text("\nevery two stores", style="bold cyan"),
        Text("what ± means", style="dim"),
        "plain [b]text[/b] \x1b[2J",
        Text("\nradii\n▁▂▃▄▅\n", style=""),
        Text("\n"),
        Columns([example(), example()]),
        Panel("framed"),
    )
    blocks = blocks_of(parts)
    kinds = ["heading", "note", "paragraph", "table", "table", "verbatim"]
    assert [block.kind for block in blocks] == kinds
    assert blocks[0].text == "every two stores"
    assert blocks[2].text == "plain [b]text[/b] \\x1b[2J"
    assert "framed" in blocks[-1].text
