"""The verbs of the analyses: one for each, made from its value."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CacheMiss, CachePolicy
from latentscan.analyses.registry import ANALYSES
from latentscan.cli.cluster_options import ColourOption, Connection, JsonOption, on_workers
from latentscan.cli.exit_codes import TO_RESUME, check_picture, reported
from latentscan.cli.model_options import each, pick, with_options
from latentscan.cli.signatures import replace_parameter
from latentscan.cli.terminal import note, print_json, print_text
from latentscan.errors import ParameterError
from latentscan.execution.context import Execution
from latentscan.progress import terminal_progress
from latentscan.report.colouring import Colouring, as_coloured
from latentscan.report.views import view_of
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.analyses.analysis import Analysis
    from latentscan.analyses.inputs import Argument, Inputs
    from latentscan.report.views import View
    from latentscan.store.results import Result

ForceOption = Annotated[bool, typer.Option("--force", help="compute anew what is cached")]
PlotOption = Annotated[Path | None, typer.Option(help="also plot it: a .png, .svg or .pdf file")]
PartialOption = Annotated[bool, typer.Option("--allow-partial", help="go ahead with an incomplete store")]
ResultsOption = Annotated[
    str | None, typer.Option(help="cache the result at this path or URL instead, for read-only data")
]
PLOT_ENDINGS = (".png", ".svg", ".pdf")


def add_analysis(app: typer.Typer, name: str) -> None:
    """Add the verb of an analysis."""
    app.command(name, help=ANALYSES.summary(name))(reported(_verb(ANALYSES[name]), resuming=TO_RESUME))


def _verb(analysis: Analysis[Any]) -> Any:
    @on_workers
    @with_options(analysis.parameters, lists=analysis.is_joined)
    def verb(
        as_json: JsonOption = False,
        force: ForceOption = False,
        plot: PlotOption = None,
        colour: ColourOption = None,
        allow_partial: PartialOption = False,
        results: ResultsOption = None,
        *,
        named: dict[str, Any],
        options: dict[str, Any],
        connection: Connection,
    ) -> None:
        if plot is not None:
            check_picture(plot, "--plot", PLOT_ENDINGS)
        elif colour is not None:
            raise ParameterError("expected with --plot", field="colour", value=colour)
        sets = each(options) if analysis.is_joined else [options]
        requests = [Request(analysis, pick(analysis.parameters, one)) for one in sets]
        inputs = analysis.inputs.open(named, allow_partial=allow_partial)
        colouring = _colouring(colour, inputs, results)
        found = _compute(requests, inputs, CachePolicy(results, force), connection)
        by_name, view = _present(analysis, inputs, found, as_json=as_json), view_of(analysis.name)
        if plot is not None:
            _plot(view, by_name, plot, colouring)

    if as_coloured(view_of(analysis.name)) is None:
        verb = replace_parameter(verb, "colour", [], lambda _given: None)
    added = [_parameter(argument) for argument in analysis.inputs.arguments]
    return replace_parameter(verb, "named", added, dict, first=True)


def _parameter(argument: Argument) -> inspect.Parameter:
    option: Any = typer.Option(f"--{argument.name}", help=argument.help, show_default=False)
    if argument.several:
        option = typer.Argument(help=argument.help, show_default=False)
    kind: Any = list[str] if argument.several else str if argument.required else str | None
    default = inspect.Parameter.empty if argument.required else None
    return inspect.Parameter(
        argument.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _compute(
    requests: Sequence[Request], inputs: Inputs, policy: CachePolicy, connection: Connection
) -> list[Result]:
    """Read results, or compute them where the user wants; no cluster is started for what is cached."""
    progress = terminal_progress()
    if connection.named and connection.starts and not policy.force:
        cached = Cache(replace(policy, cached_only=True), Execution(progress=progress))
        if all(cached.has(request, inputs) for request in requests):
            with suppress(CacheMiss):  # one of them is damaged
                return cached.results(requests, inputs)
    with connection.open() as executor:
        return Cache(policy, Execution(executor, progress)).results(requests, inputs)


def _colouring(colour: str | None, inputs: Inputs, results: str | None) -> Colouring | None:
    """Return what images are coloured by, which is checked before anything is computed."""
    if colour is None:
        return None
    colouring = Colouring(colour, inputs.stores[0], results or inputs.home)
    colouring.require_known()
    return colouring


def _present(
    analysis: Analysis[Any], inputs: Inputs, found: list[Result], *, as_json: bool
) -> dict[str, Result]:
    """Print results as a JSON document or as tables, and return them by name."""
    view = view_of(analysis.name)
    if len(found) > 1 and analysis.align is not None:
        found = analysis.align(found)
    several = getattr(view, "SEVERAL", "results")
    if len(found) == 1:
        by_name = {one_line(Path(inputs.home).name): found[0]}
    else:
        by_name = {f"{several[:-1]} {number}": result for number, result in enumerate(found, start=1)}
    if as_json:
        documents = [view.to_json(result) for result in found]
        document = documents[0] if len(documents) == 1 else {several: documents}
        print_json({**inputs.document(), **document})
    else:
        print_text(view.table(by_name))
    return by_name


def _plot(view: View, results: dict[str, Result], path: Path, colouring: Colouring | None) -> None:
    from latentscan.report.style import save_figure

    points = None if colouring is None else as_coloured(view)
    if points is None or colouring is None:
        drawing = view.figure(results)
    else:
        drawing = points.coloured(results, {name: colouring.of(one) for name, one in results.items()})
    save_figure(drawing, path)
    note(f"plotted: {path}")
