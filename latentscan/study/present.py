"""What the study leaves to be read: a page with its answers in front, a picture, and the figures as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from latentscan.kernels.intervals import mean_interval
from latentscan.models.run_folder import replace_all
from latentscan.report.format import finite
from latentscan.report.page.chapter import Chapter, Part, picture_url
from latentscan.report.page.markup import blocks_of
from latentscan.report.page.render import write_report
from latentscan.report.section import section_of
from latentscan.report.study import figure, section, table
from latentscan.report.style import save_figure
from latentscan.report.views import view_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from latentscan.execution.context import Execution
    from latentscan.report.section import Section
    from latentscan.report.study import Grid
    from latentscan.store.results import Result
    from latentscan.study.grid import Run, Size
    from latentscan.study.layout import Layout

PAGE, PICTURE, FIGURES = "study.html", "study.png", "study.json"


def present(
    layout: Layout,
    runs: Sequence[Run],
    size: Size,
    grid: Grid,
    of_grid: Mapping[str, Result],
    execution: Execution,
) -> None:
    """Write the page, the picture and the figures of the study.

    Parameters
    ----------
    layout
        Where everything lies.
    runs
        The runs; the page shows the stores of the first of every kind, and figures of all.
    size
        That of the study.
    grid
        The figures of every run, and the answers.
    of_grid
        What was found of all runs together, by analysis.
    execution
        Who follows.
    """
    document = json.dumps(_document(size, grid), indent=1, allow_nan=False)
    replace_all({layout.out / FIGURES: lambda path: path.write_text(document, encoding="utf-8")})
    save_figure(figure(grid), layout.out / PICTURE)
    front = [_chapter("study", section(grid), figure(grid), table(grid), grid.kinds)]
    for name, result in of_grid.items():
        results = {"all runs": result}
        view = view_of(name)
        said = section_of(name, results)
        said = replace(
            said, verdicts=(), details=(*said.verdicts, *said.details)
        )  # the answers stand in front
        front.append(_chapter(f"study-{name}", said, view.figure(results), view.table(results)))
    first = [run for run in runs if run.number == 0]
    write_report(
        [layout.store(run) for run in first],
        layout.out / PAGE,
        images=str(layout.faces),
        models=[layout.run(run) for run in first],
        front=front,
        execution=execution,
    )


def _chapter(
    key: str,
    said: Section,
    drawing: Figure,
    shown: RenderableType,
    names: Sequence[str] = ("all runs",),
) -> Chapter:
    picture, width, height = picture_url(drawing)
    return Chapter(
        key, said, (Part(tuple(names), picture, width, height, tuple(blocks_of(shown))),), (), True
    )


def _document(size: Size, grid: Grid) -> dict[str, Any]:
    return {
        "size": size.name,
        "images": size.images,
        "epochs": size.epochs,
        "kinds": dict(zip(grid.kinds, grid.words, strict=True)),
        "figures": {
            measure.name: {
                "title": measure.title,
                "kinds": {
                    kind: _of_kind(values) for kind, values in zip(grid.kinds, measure.values, strict=True)
                },
            }
            for measure in grid.measures
        },
        "answers": list(grid.answers),
        "version": version("latentscan"),
    }


def _of_kind(values: tuple[float, ...]) -> dict[str, Any]:
    import numpy as np

    mean, half = mean_interval(np.array(values))
    return {"mean": finite(mean), "half_interval": finite(half), "runs": [finite(value) for value in values]}
