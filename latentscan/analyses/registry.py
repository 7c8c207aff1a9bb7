"""Every analysis, in the order in which a reader meets them. To add one is to add its word here.

A word names a module ``analyses/<word>``, which holds the value ``WORD`` and the function ``word``. It is
imported when it is first looked at, so that a command waits for its own analysis alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers know of `latentscan`
    from latentscan.analyses.analysis import Analysis
    from latentscan.analyses.axes import axes as axes
    from latentscan.analyses.collapse import collapse as collapse
    from latentscan.analyses.compare import compare as compare
    from latentscan.analyses.kmeans import kmeans as kmeans
    from latentscan.analyses.labels import labels as labels
    from latentscan.analyses.ledger import ledger as ledger
    from latentscan.analyses.logvar import logvar as logvar
    from latentscan.analyses.outliers import outliers as outliers
    from latentscan.analyses.pca import pca as pca
    from latentscan.analyses.randoms import randoms as randoms
    from latentscan.analyses.runs import runs as runs
    from latentscan.analyses.shape import shape as shape
    from latentscan.analyses.stats import stats as stats
    from latentscan.analyses.tsne import tsne as tsne


class Registry(Mapping[str, "Analysis[Any]"]):
    """Analyses by name."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __getitem__(self, name: str) -> Analysis[Any]:
        if name not in self._names:
            raise KeyError(name)
        found: Analysis[Any] = getattr(self._module(name), name.upper())
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def function(self, name: str) -> Callable[..., Any]:
        """Return the function of Python's face."""
        found: Callable[..., Any] = getattr(self._module(name), name)
        return found

    def summary(self, name: str) -> str:
        """Return what an analysis does, in one line."""
        return (self.function(name).__doc__ or "").strip().splitlines()[0]

    def find(self, name: str) -> Analysis[Any] | None:
        """Return an analysis, or a part of one, by the name under which its results lie in a store."""
        for analysis in self.values():
            for one in (analysis, *analysis.parts):
                if one.name == name:
                    return one
        return None

    def _module(self, name: str) -> Any:
        return import_module(f"latentscan.analyses.{name}")


ANALYSES = Registry(
    "stats",
    "collapse",
    "ledger",
    "axes",
    "pca",
    "shape",
    "outliers",
    "kmeans",
    "labels",
    "tsne",
    "logvar",
    "randoms",
    "compare",
    "runs",
)
