"""A store and its cached results as tables for a terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from latentscan.cli.exit_codes import counted
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.analyses.inventory import CachedResult, StoreSummary

_UNITS = ("B", "kB", "MB", "GB", "TB")
_LONGEST = 32  # characters of a value
_LABELS = 6  # that are named


def store_table(summary: StoreSummary, now: datetime) -> RenderableType:
    """Arrange what is in a store, a fact a line, and its results below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(summary).items():
        facts.add_row(name, value)
    if not summary.results:
        return Group(facts, Text("\nno results are cached", style="dim"))
    held = f"\nresults ({size(sum(result.bytes for result in summary.results))})"
    return Group(facts, Text(held, style="bold cyan"), results_table(summary.results, now))


def results_table(results: Sequence[CachedResult], now: datetime) -> Table:
    """Arrange cached results, one a line, with the parameters that are not the usual ones."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("result", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    for one in results:
        lines = [_parameters(one), f"stale: {one.why_stale}" if one.why_stale else ""]
        age = "?" if one.created is None else _age((now - one.created).total_seconds())
        table.add_row(
            f"{one.name}/{one.key[:8]}", age, size(one.bytes), "\n".join(line for line in lines if line)
        )
    return table


def size(count: float) -> str:
    """Write a number of bytes with its unit.

    Examples
    --------
    >>> size(999), size(12_345_678)
    ('999 B', '12.3 MB')
    """
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} {_UNITS[-1]}"


def _facts(summary: StoreSummary) -> dict[str, str]:
    store = summary.store
    schema, attributes = store.schema, store.attributes
    facts = {
        "store": store.location,
        "images": f"{schema.images:,}"
        + (f", {summary.rejected:,} of them rejected" if summary.rejected else ""),
        "components": f"{schema.components:,}",
        "arrays": ", ".join(
            f"{spec.name} ({spec.dtype}, {size(summary.bytes[spec.name])})" for spec in schema.arrays
        ),
        "blocks": f"{counted(schema.blocks, 'block')} of {schema.chunk_rows:,} images, "
        f"compression {schema.compression}",
        "format": str(attributes["format_version"]),
    }
    if encoder := attributes.get("encoder"):
        facts["encoder"] = f"{encoder['name']} (SHA-256 {encoder['sha256'][:12]}...)"
    if source := attributes.get("source"):
        facts["source"] = _words(source)
    for kind, labels in schema.labelled.items():
        facts[f"{kind} attributes"] = f"{len(labels):,}: {_some(labels)}"
    if preprocessing := attributes.get("preprocessing"):
        facts["preprocessing"] = _words(preprocessing)
    if "epsilon_limit" in attributes and "logvar" in schema.latents:
        facts["epsilon"] = (
            f"seed {attributes['seed']}, limit {attributes['epsilon_limit']:g}, "
            f"factor {attributes['epsilon_factor']:g}"
        )
    if versions := attributes.get("versions"):
        facts["versions"] = _words(versions)
    if summary.missing:
        facts["missing"] = f"{counted(summary.missing, 'image')} of {schema.images:,}"
    if summary.not_computed:
        facts["not computed"] = ", ".join(summary.not_computed)
    return facts


def _some(labels: Sequence[str]) -> str:
    """Name the first labels, and say how many more there are."""
    shown, more = ", ".join(map(_short, labels[:_LABELS])), len(labels) - _LABELS
    return f"{shown} and {more:,} more" if more > 0 else shown


def _words(values: dict[str, Any]) -> str:
    """Write a record on one line: names and values, without what is not set."""
    flat = {
        name: value["name"] if isinstance(value, dict) and "name" in value else value
        for name, value in values.items()
    }
    shown = {name: value for name, value in flat.items() if value is not None and not isinstance(value, dict)}
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in shown.items())


def _parameters(result: CachedResult) -> str:
    """Write the parameters that differ from their defaults."""
    from pydantic_core import to_jsonable_python

    from latentscan.analyses.registry import ANALYSES

    if result.name.endswith("-state"):
        return "the state of a computation that has not ended"
    analysis = ANALYSES.find(result.name)
    fields = {} if analysis is None else analysis.parameters.model_fields
    defaults = {
        name: to_jsonable_python(field.default) for name, field in fields.items() if not field.is_required()
    }
    return ", ".join(
        f"{name}={_short(value)}" for name, value in result.parameters.items() if value != defaults.get(name)
    )


def _short(value: Any) -> str:
    """Write a value as its option takes it, cut where it is long."""
    text = one_line(_text(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, list):
        return str(value)
    whole = all(isinstance(part, int) for part in value)
    steps = {later - one for one, later in pairwise(value)} if whole else set()
    if len(value) > 2 and len(steps) == 1:
        return f"{value[0]}:{value[-1]}:{steps.pop()}"
    is_interval = len(value) == 2 and all(isinstance(part, float) for part in value)
    return (":" if is_interval else ",").join(map(_text, value))


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
