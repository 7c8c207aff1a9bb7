"""The verb that shows the images behind a number: rows, paths, figures, and contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscan.cli.cluster_options import JsonOption  # noqa: TC001 (typer reads it)
from latentscan.cli.exit_codes import check_picture, counted, reported
from latentscan.cli.store_commands import StoreOption  # noqa: TC001 (typer reads it)
from latentscan.cli.terminal import note, print_json, print_text
from latentscan.errors import UsageError
from latentscan.progress import terminal_progress
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from latentscan.analyses.selection import Chooser, Selection
    from latentscan.store.reader import LatentStore

MOST = 2000  # images that are listed
ENDINGS = (".png", ".jpg", ".csv")
_WAYS = (
    "ROWS, --outliers, --duplicates, --largest FIGURE, --smallest FIGURE, --nearest ROW, "
    "--cluster K:NUMBER and --attribute NAME"
)


def add_images(app: typer.Typer) -> None:
    """Add `images`."""
    app.command("images")(reported(images))


def images(
    store: StoreOption,
    rows: Annotated[list[str] | None, typer.Argument(help="rows, as 12 or 5:9", show_default=False)] = None,
    outliers: Annotated[bool, typer.Option("--outliers", help="those farthest out, or most alone")] = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="groups of near-duplicates")] = False,
    largest: Annotated[
        str | None,
        typer.Option(
            metavar="FIGURE",
            help="those with the largest radius, mahalanobis, neighbour_distance, density, score or "
            "reconstruction_excess",
        ),
    ] = None,
    smallest: Annotated[
        str | None, typer.Option(metavar="FIGURE", help="those with the smallest of these")
    ] = None,
    nearest: Annotated[int | None, typer.Option(min=0, metavar="ROW", help="a row and those nearest")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="K:NUMBER", help="those nearest to the centre of a cluster of a cached kmeans"),
    ] = None,
    attribute: Annotated[
        str | None, typer.Option(metavar="NAME", help="those with an attribute; or NAME=VALUE")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=MOST, help="how many at most")] = 24,
    out: Annotated[
        Path | None, typer.Option(help="also write a contact sheet, .png or .jpg, or a .csv table")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--images", help="where the images are now, if not where they were encoded from"),
    ] = None,
    root: Annotated[str | None, typer.Option(help="the folder that a list's paths are relative to")] = None,
    array: Annotated[str, typer.Option(metavar="auto|mu|z", help="the points of distances")] = "auto",
    results: Annotated[str | None, typer.Option(help="where results are cached, if not in the store")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the images behind a number: rows, paths and figures, and a contact sheet of them."""
    from latentscan.analyses.cache import Cache, CachePolicy
    from latentscan.analyses.inputs import OneStore
    from latentscan.analyses.selection import Chooser
    from latentscan.execution.context import Execution

    ways: dict[str, Any] = {
        "rows": rows or None,
        "outliers": outliers or None,
        "duplicates": duplicates or None,
        "largest": largest,
        "smallest": smallest,
        "nearest": nearest,
        "cluster": cluster,
        "attribute": attribute,
    }
    given = {name: value for name, value in ways.items() if value is not None}
    if len(given) != 1:
        raise UsageError(f"give exactly one of {_WAYS}")
    if array not in ("auto", "mu", "z"):
        raise UsageError(f"--array {array}: expected auto, mu or z")
    if out is not None:
        check_picture(out, "--out", ENDINGS)
    inputs = OneStore.open({"store": store})
    cache = Cache(CachePolicy(results), Execution(progress=terminal_progress()))
    found = _choose(Chooser(inputs, cache, count, array), *given.popitem())  # type: ignore[arg-type]
    if as_json:
        print_json({"store": store, **found.document()})
    else:
        print_text(_table(found))
    if out is not None:
        _write(found, inputs.snapshot.store, out, source, root)
        note(f"{out} shows {counted(len(found.images), 'image')}")


def _choose(chooser: Chooser, way: str, value: Any) -> Selection:
    if way == "cluster":
        k, _, number = value.partition(":")
        if not (k.isdecimal() and number.isdecimal()):
            raise UsageError(f"--cluster {value}: expected K:NUMBER, as 40:7")
        return chooser.cluster(int(k), int(number))
    if way in ("largest", "smallest"):
        return chooser.extreme(value.replace("-", "_"), largest=way == "largest")
    made: Selection = getattr(chooser, way)(*([] if value is True else [value]))
    return made


def _table(found: Selection) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    count = len(found.images)
    head = f"{found.title}: {counted(found.total, 'image')}"
    head += f", the first {count:,}" if count < found.total else ""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("row", *found.figures):
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    table.add_column("image", overflow="fold")
    for at, (row, path) in enumerate(zip(found.images.tolist(), found.paths.tolist(), strict=True)):
        table.add_row(str(row), *_figures(found, at), one_line(path))
    return Group(Text(one_line(head), style="bold cyan"), table)


def _figures(found: Selection, at: int) -> list[str]:
    from latentscan.report.format import number

    values = [values[at] for values in found.figures.values()]
    return [str(value) if value.dtype.kind == "i" else number(float(value)) for value in values]


def _write(found: Selection, store: LatentStore, out: Path, source: str | None, root: str | None) -> None:
    if out.suffix.lower() == ".csv":
        _write_csv(found, out)
        return
    from latentscan.encoding.stored_images import pixels_of
    from latentscan.report.sheet import save_sheet

    names = list(found.figures)
    captions = [
        (
            " · ".join([f"row {row}", *(_figures(found, at)[:1] if names else [])]),
            one_line(path),
        )
        for at, (row, path) in enumerate(zip(found.images.tolist(), found.paths.tolist(), strict=True))
    ]
    pixels = pixels_of(store, found.images, found.paths, source, root)
    by = f", by {names[0].replace('_', ' ')}" if names else ""
    save_sheet(pixels, captions, f"{Path(store.location).name}: {found.title}{by}", out)


def _write_csv(found: Selection, out: Path) -> None:
    import csv

    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["row", "path", *found.figures])
        columns = (values.tolist() for values in found.figures.values())
        writer.writerows(zip(found.images.tolist(), found.paths.tolist(), *columns, strict=True))
