"""What a page says of an analysis beside its table and its picture: a title, a lead, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.analyses.registry import ANALYSES
from latentscan.report.views import view_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.store.results import Result


@dataclass(frozen=True)
class Images:
    """Images of a store that a result names, to be shown side by side.

    Parameters
    ----------
    result
        The name of the result, as `Section` got it; its store has the images.
    title
        What they are.
    rows
        Their rows, the most important first.
    notes
        What is said of each; empty where nothing is.
    groups
        The number of the group that each belongs to; empty where there are none.
    folded
        Whether they are shown when a reader asks for them.
    """

    result: str
    title: str
    rows: tuple[int, ...]
    notes: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """What a reader is told of an analysis before the numbers.

    Parameters
    ----------
    title
        Of the section.
    lead
        What is to be seen, in a sentence; the picture's text for those who do not see it.
    verdicts
        What follows from the numbers and stands at the head of the page, a sentence each, every one with its
        uncertainty.
    details
        Such sentences that stand in the section alone.
    reading
        What each number says, and what to compare it with, by its name.
    images
        Those that are shown.
    """

    title: str
    lead: str
    verdicts: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    reading: Mapping[str, str] | None = None
    images: tuple[Images, ...] = ()


def section_of(name: str, results: Mapping[str, Result]) -> Section:
    """Return the section of an analysis; one that its view does not write is made of what it is."""
    view = view_of(name)
    write = getattr(view, "section", None)
    if write is None:
        return Section(name.capitalize(), ANALYSES.summary(name))
    section: Section = write(results)
    return section
