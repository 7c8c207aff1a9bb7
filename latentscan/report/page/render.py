"""One page of several stores: results, maps and images in a file that needs nothing beside itself."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.registry import ANALYSES
from latentscan.errors import ParameterError
from latentscan.execution.context import Execution
from latentscan.paths import absolute, store_names
from latentscan.report.page.chapter import Chapter, Part, Strip, Tile, picture_url
from latentscan.report.page.collect import collect
from latentscan.report.page.facts import gather_facts
from latentscan.report.page.maps import histogram_plot, map_plot, point_style, shared_source
from latentscan.report.page.markup import blocks_of
from latentscan.report.page.models import model_chapters
from latentscan.report.page.points import gather_points
from latentscan.report.page.thumbnails import COLUMNS, LINES, make_thumbnails
from latentscan.report.section import section_of
from latentscan.report.views import view_of
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import open_store
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.model import Model

    from latentscan.execution.context import Execution as Where
    from latentscan.report.image_columns import Column
    from latentscan.report.page.collect import Collection
    from latentscan.report.page.points import Map, Points
    from latentscan.report.page.thumbnails import Thumbnails
    from latentscan.report.section import Images, Section
    from latentscan.store.results import Result

# Okabe, M., Ito, K. (2008), Color universal design, without black; then tones of them
PALETTE = (
    *(0x0072B2, 0xE69F00, 0x009E73, 0xCC79A7, 0x56B4E9, 0xD55E00, 0xB8A81A, 0x7A7F88),
    *(0x4B9CD3, 0xB36B00, 0x66C2A5, 0x8F4E78, 0x2A6F97, 0xF0A07A, 0x6B6B2A, 0xB0B5BE),
)
_FIRST_FIGURES = ("radius",)  # whose histograms are shown


@dataclass(frozen=True)
class Written:
    """What was written: the page, how many images have a thumbnail, and what is not on the page."""

    page: Path
    points: int
    thumbnails: int
    notes: tuple[str, ...] = field(default=())


def write_report(
    stores: Sequence[str],
    out: Path,
    *,
    images: str | None = None,
    root: str | None = None,
    assets: Path | None = None,
    results: str | None = None,
    models: Sequence[Path] = (),
    trust_model: bool = False,
    front: Sequence[Chapter] = (),
    execution: Where = Execution(),  # noqa: B008 (frozen)
) -> Written:
    """Write a page of what is cached of stores.

    Parameters
    ----------
    stores
        Paths or URLs.
    out
        The file.
    images, root
        The images that the stores are of, for thumbnails, and the folder that a list's paths are relative to.
    assets
        A folder for larger thumbnails of all images; the most important ones are in the page if None.
    results
        Where results are cached; each store itself if None.
    models
        The run folder, or the decoder, of each store in their order: for the history of the training, and for
        what is decoded.
    trust_model
        Whether they may be files that can run code.
    front
        What stands before everything else; the first of them names the page.
    execution
        Where images are decoded, and who follows.

    Raises
    ------
    StoreError
        If a store is missing, incomplete or damaged.
    ParameterError
        If a store is named twice, or the images are not those of the stores.
    """
    snapshots = _open(stores)
    if models and len(models) != len(stores):
        raise ParameterError(
            f"{len(models)} for {len(stores)} stores; give one for each, in their order, or none",
            field="model",
            value=", ".join(map(str, models)),
        )
    found = collect(snapshots, results)
    sections = {name: section_of(name, found.of(name)) for name in ANALYSES if found.of(name)}
    points = gather_points(snapshots, found, execution, _named(found, sections))
    thumbnails = None
    if images is not None and len(points):
        folder = None if assets is None else _folder(assets, out)
        first = next(iter(snapshots.values()))
        thumbnails = make_thumbnails(images, root, first, points.paths, points.first, folder, execution)
    chapters = [*front, *_chapters(found, sections, points, thumbnails, execution)]
    said: list[str] = []
    if models:
        own = dict(zip(snapshots, models, strict=True))
        chapters += model_chapters(own, snapshots, images, root, said, execution, trust=trust_model)
    title = front[0].section.title if front else ""
    page = _page(snapshots, found, points, thumbnails, chapters, title, execution)
    partial = out.with_name(f"{out.name}.partial")
    partial.write_text(page, encoding="utf-8", errors="backslashreplace")
    partial.replace(out)
    return Written(
        out,
        len(points),
        0 if thumbnails is None else int((thumbnails.place >= 0).sum()),
        (*said, *(f"not computed: {name} of {', '.join(of)}" for name, of in found.missing.items())),
    )


def _open(stores: Sequence[str]) -> dict[str, Snapshot]:
    paths = [absolute(store) for store in stores]
    for store, path in zip(stores, paths, strict=True):
        if paths.count(path) > 1:
            raise ParameterError("is given twice; name each store once", field="store", value=store)
    names = [one_line(name) for name in store_names(paths)]
    return {name: Snapshot.of(open_store(store)) for name, store in zip(names, stores, strict=True)}


def _folder(assets: Path, out: Path) -> tuple[Path, str]:
    """Return the folder of files beside the page, and its address from there."""
    from os.path import relpath
    from urllib.parse import quote

    assets.mkdir(parents=True, exist_ok=True)
    return assets, quote(Path(relpath(assets, out.parent)).as_posix())


def _named(found: Collection, sections: Mapping[str, Section]) -> dict[str, list[int]]:
    """Return the rows that sections name, by store."""
    named: dict[str, list[int]] = defaultdict(list)
    for name, section in sections.items():
        for images in section.images:
            named[found.store_of(name, images.result)] += images.rows
    return named


def _chapters(
    found: Collection,
    sections: Mapping[str, Section],
    points: Points,
    thumbnails: Thumbnails | None,
    execution: Where,
) -> list[Chapter]:
    chapters: list[Chapter] = []
    with execution.progress.task("sections", len(sections), "analyses") as advance:
        for name, section in sections.items():
            said = (*section.verdicts, *section.details)
            parts = tuple(_part(name, group, said) for group in found.groups(name))
            strips = (
                ()
                if thumbnails is None
                else tuple(
                    _strip(images, found.store_of(name, images.result), points, thumbnails)
                    for images in section.images
                )
            )
            chapters.append(Chapter(f"analysis-{name}", section, parts, strips, not chapters))
            advance(1)
    return chapters


def _part(name: str, results: Mapping[str, Result], said: Sequence[str]) -> Part:
    """Return a picture and tables, without the sentences that stand above them already."""
    view = view_of(name)
    picture, width, height = picture_url(view.figure(results))
    blocks = tuple(
        block
        for block in blocks_of(view.table(results))
        if block.kind != "paragraph" or not any(sentence.endswith(block.text) for sentence in said)
    )
    return Part(tuple(results), picture, width, height, blocks)


def _strip(images: Images, store: str, points: Points, thumbnails: Thumbnails) -> Strip:
    """Return the images that a result names, where they have thumbnails."""
    places = points.find(store, images.rows).tolist()
    notes = images.notes or ("",) * len(images.rows)
    groups = images.groups or (0,) * len(images.rows)
    tiles = []
    for row, place, note, group in zip(images.rows, places, notes, groups, strict=True):
        at = int(thumbnails.place[place])
        sheet, cell = divmod(at, COLUMNS * LINES)
        where = (sheet if at >= 0 else None, cell % COLUMNS, cell // COLUMNS)
        tiles.append(Tile(one_line(points.paths[place]), row, note, *where, group))
    return Strip(f"{images.result}: {images.title}", tuple(tiles), images.folded)


def _page(
    snapshots: Mapping[str, Snapshot],
    found: Collection,
    points: Points,
    thumbnails: Thumbnails | None,
    chapters: list[Chapter],
    title: str,
    execution: Where,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        autoescape=True,
        loader=PackageLoader("latentscan.report.page", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    images = max(snapshot.schema.images for snapshot in snapshots.values())
    context: dict[str, Any] = {
        "title": title or _title(list(snapshots)),
        "subtitle": f"What an autoencoder did with its latent space: {images:,} images.",
        "stores": list(snapshots),
        "facts": gather_facts(snapshots, found, execution),
        "sections": chapters,
        "known": list(ANALYSES),
        "missing": found.missing,
        "left_out": found.left_out,
        "version": version("latentscan"),
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "side": 64 if thumbnails is None else thumbnails.side,
        "columns": COLUMNS,
        "sheets": () if thumbnails is None else thumbnails.urls,
        "css": _own("page.css"),
        "theme_script": _own("theme.js"),
        "maps": [],
    }
    if points.maps:
        context |= _interactive(points, thumbnails)
    return pages.get_template("page.html").render(context)


def _title(names: Sequence[str]) -> str:
    """Return what a page is of.

    Examples
    --------
    >>> _title(["a"]), _title(["a", "b", "c"]), _title(["a", "b", "c", "d"])
    ('a', 'a, b and c', '4 stores')
    """
    if len(names) > 3:
        return f"{len(names)} stores"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _interactive(points: Points, thumbnails: Thumbnails | None) -> dict[str, Any]:
    """Return what the template needs for the maps: Bokeh's scripts, the models, and what ours reads."""
    from bokeh.embed import components
    from bokeh.resources import Resources
    from bokeh.util.warnings import BokehUserWarning
    from markupsafe import Markup

    source = shared_source(points, None if thumbnails is None else thumbnails.place)
    plots = {f"map{at}": map_plot(at, one, source) for at, one in enumerate(points.maps)}
    shown = {
        at: plot
        for at, column in enumerate(points.columns)
        if _is_radius(column) and (plot := histogram_plot(at, column.title, column.values)) is not None
    }
    models: dict[str, Model] = {**plots, **{f"histogram{at}": plot for at, plot in shown.items()}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BokehUserWarning)
        script, divs = components(models)
    # what Bokeh wrote is markup, and escapes what it was given
    trusted = {name: Markup(div) for name, div in divs.items()}  # noqa: S704
    return {
        "maps": [
            {"name": one.name, "note": _note(one), "div": trusted[f"map{at}"]}
            for at, one in enumerate(points.maps)
        ],
        "histograms": [
            {
                "title": f"{points.columns[at].title}, {points.columns[at].group}",
                "div": trusted[f"histogram{at}"],
            }
            for at in shown
        ],
        "bokeh": Markup(Resources(mode="inline", components=["bokeh"]).render_js()),  # noqa: S704
        "models": Markup(script),  # noqa: S704
        "script": _own("page.js"),
        "data": {
            "columns": [
                {"title": one.title, "group": one.group, "names": list(one.names)} for one in points.columns
            ],
            "maps": [point_style(one) for one in points.maps],
            "histograms": list(shown),
            "colour": next(iter(shown), 0),
            "cells": COLUMNS * LINES,
            "across": COLUMNS,
            "ramp": _ramp(),
            "palette": [colour << 8 | 0xFF for colour in PALETTE],
        },
    }


def _is_radius(column: Column) -> bool:
    return column.title.startswith(_FIRST_FIGURES) and not column.names and column.group != "attributes"


def _note(one: Map) -> str:
    shown = int(np.isfinite(one.places[:, 0]).sum())
    if one.density is None:
        return f"{one.points:,} images"
    return f"{one.points:,} images as a density, {shown:,} of them as points in front"


def _ramp() -> list[int]:
    from bokeh.palettes import Viridis256

    return [int(colour[1:], 16) << 8 | 0xFF for colour in Viridis256]


def _own(name: str) -> Any:
    from markupsafe import Markup

    return Markup(files("latentscan.report.page").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704
