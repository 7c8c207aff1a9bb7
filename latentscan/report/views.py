"""The views of an analysis: how its results look as JSON, on a terminal, and as a figure.

An analysis called ``name`` has them in the module ``report/<name>.py``; it is imported when it is asked for.
A module may also have ``section(results)``, what a page says beside them; see `latentscan.report.section`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from latentscan.store.results import Result


class View(Protocol):
    """What a module of views offers."""

    def to_json(self, result: Result, /) -> dict[str, Any]:
        """Arrange a result as a JSON document."""

    def table(self, results: Mapping[str, Result], /) -> RenderableType:
        """Arrange results, by name, as text for a terminal."""

    def figure(self, results: Mapping[str, Result], /) -> Figure:
        """Plot results, by name."""


def view_of(name: str) -> View:
    """Return the views of an analysis."""
    return cast("View", import_module(f"latentscan.report.{name}"))
