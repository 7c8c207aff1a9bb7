"""What is known of the stores of a page: what was encoded, by what, and the commands that make it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.analyses.registry import ANALYSES
from latentscan.errors import command, spelled
from latentscan.images.preprocessing import Preprocessing
from latentscan.scan.rejects import describe, summarise
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from latentscan.execution.context import Execution
    from latentscan.report.page.collect import Collection
    from latentscan.scan.rejects import Summary
    from latentscan.scan.snapshot import Snapshot


@dataclass(frozen=True)
class Facts:
    """What is known of the stores of a page.

    Parameters
    ----------
    rows
        What is known, and of each store what it is.
    rejected
        The first rejected images of each store: path and reason.
    commands
        Those that make the stores and their results again.
    """

    rows: Mapping[str, tuple[str, ...]]
    rejected: Mapping[str, tuple[tuple[str, str], ...]]
    commands: tuple[str, ...]


def gather_facts(snapshots: Mapping[str, Snapshot], found: Collection, execution: Execution) -> Facts:
    """Return what is known of stores.

    Parameters
    ----------
    snapshots
        The stores, by name.
    found
        Their results.
    execution
        Where rejected images are counted.
    """
    summaries = {name: summarise(snapshot.store, 0, {}, execution) for name, snapshot in snapshots.items()}
    each = [_of_store(snapshot, summaries[name]) for name, snapshot in snapshots.items()]
    titles = list(dict.fromkeys(title for facts in each for title in facts))
    rows = {title: tuple(facts.get(title, "–") for facts in each) for title in titles}
    rejected = {
        name: tuple((one_line(path), one_line(reason)) for path, reason in summary.named)
        for name, summary in summaries.items()
        if summary.named
    }
    return Facts(rows, rejected, tuple(_commands(snapshots, found)))


def _of_store(snapshot: Snapshot, summary: Summary) -> dict[str, str]:
    schema, attributes = snapshot.schema, snapshot.store.attributes
    rejected = sum(summary.rejected.values())
    reasons = ", ".join(f"{count:,} {describe(status)}" for status, count in sorted(summary.rejected.items()))
    encoder, source = attributes.get("encoder") or {}, attributes.get("source") or {}
    facts = {
        "images": f"{schema.images:,}",
        "rejected": f"{rejected:,}" + (f" ({reasons})" if rejected else ""),
        "components": f"{schema.components:,}",
        "arrays": ", ".join(schema.latents),
        "encoder": one_line(f"{encoder['name']} (SHA-256 {str(encoder.get('sha256', ''))[:12]}…)")
        if encoder
        else "latents made elsewhere",
    }
    if source:
        facts["source"] = one_line(source.get("name", "?"))
    if preprocessing := attributes.get("preprocessing"):
        facts["images as the encoder saw them"] = _preprocessing(preprocessing)
    if "logvar" in schema.latents and "epsilon_limit" in attributes:
        facts["noise of z"] = (
            f"seed {attributes.get('seed')}, limit ±{attributes['epsilon_limit']:g}, "
            f"factor {attributes.get('epsilon_factor', 1):g}"
        )
    if versions := attributes.get("versions"):
        facts["versions"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    return facts


def _preprocessing(recorded: Any) -> str:
    try:
        return Preprocessing.model_validate(recorded).in_words
    except ValueError:
        return one_line(recorded)


def _commands(snapshots: Mapping[str, Snapshot], found: Collection) -> Iterator[str]:
    for snapshot in snapshots.values():
        if snapshot.store.resume_command:
            yield one_line(snapshot.store.completing_command())
    for one in found.shown:
        analysis = ANALYSES[one.analysis]
        usual = analysis.parameters().model_dump(mode="json")
        given = one.result.attributes.get("parameters", {})
        other = {
            name: value
            for name, value in given.items()
            if value != usual.get(name) and name in usual and name != "array"
        }
        locations = [snapshots[store].location for store in one.stores]
        if len(locations) == 1:
            yield _spelled(command(one.analysis, store=locations[0], **other))
        else:
            yield _spelled(f"{command(one.analysis)} {' '.join(locations)}")


def _spelled(text: str) -> str:
    return one_line(spelled(text, "command line"))
