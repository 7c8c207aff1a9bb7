"""Jobs and plans as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.paths import store_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from latentscan.jobs.plan import Plan, PlannedStep
    from latentscan.jobs.record import JobRecord, StepRecord
    from latentscan.scan.cost import Cost

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def plan_table(plan: Plan) -> RenderableType:
    """Arrange what a job would run, a step a line."""
    from rich.console import Group
    from rich.text import Text

    table = _table("step", "of", tasks="right", reads="right", **{"a task takes": "right"})
    stores = list(dict.fromkeys(store for step in plan.steps for store in step.stores))
    names = dict(zip(stores, store_names(stores), strict=True))
    for step in plan.steps:
        several = f" × {len(step.parameters)}" if len(step.parameters) > 1 else ""
        table.add_row(step.name + several, ", ".join(names[store] for store in step.stores), *_cells(step))
    table.add_section()
    table.add_row("in all", "", *_figures(plan.total))
    notes = [f"With {plan.tasks_at_once} tasks at once; what the scheduler itself takes is not in it."]
    if any(step.cost is None for step in plan.steps):
        notes.append(
            "What is not known follows from a model that is yet to be trained, or of your own, which is not "
            "loaded for a plan."
        )
    return Group(table, Text("\n".join(notes), style="dim"))


def jobs_table(records: Sequence[JobRecord]) -> Table:
    """Arrange some jobs, a line each."""
    table = _table("job", "state", "submitted (UTC)", steps="right")
    table.columns[0].no_wrap = True  # to be copied
    table.add_column("now")
    for record in records:
        done = sum(step.state == "done" for step in record.steps)
        submitted = _time(record.submitted)[:16]
        steps = f"{done}/{len(record.steps)}"
        table.add_row(record.id, record.shown_state(), submitted, steps, _share(record))
    return table


def job_table(record: JobRecord, home: str) -> RenderableType:
    """Arrange all that is known of a job."""
    from rich.console import Group
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    rows = {
        "job": record.id,
        "state": record.shown_state() + (f", exit code {record.exit_code}" if record.has_ended else ""),
        "error": record.error,
        "now": _now(record),
        "by": f"{record.user} on {record.host}",
        "on": record.cluster or "the threads of that machine",
        "submitted": _time(record.submitted),
        "started": _time(record.started),
        "last sign of life": _time(record.heard),
        "ended": _time(record.ended),
        "recorded in": home,
    }
    for name, value in rows.items():
        if value:
            facts.add_row(name, value)
    steps = _table("step", "of", "state", took="right")
    stores = list(dict.fromkeys(store for step in record.steps for store in step.store.split(", ")))
    names = dict(zip(stores, store_names(stores), strict=True)) if stores else {}
    for step in record.steps:
        of = ", ".join(names[store] for store in step.store.split(", "))
        steps.add_row(step.name, of, _state(step), "" if step.wall_s is None else f"{step.wall_s:,.1f} s")
    return Group(facts, "", steps)


def human(count: float) -> str:
    """Write bytes in a unit that leaves few digits.

    Examples
    --------
    >>> human(0), human(999), human(1536000), human(522e6)
    ('0 B', '999 B', '1.5 MB', '522 MB')
    """
    for unit in _UNITS:
        if count < 999.5 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 9.95 or unit == "B" else f"{count:.1f} {unit}"


def _cells(step: PlannedStep) -> tuple[str, ...]:
    if step.cost is None:
        return ("not known", "", "")
    return ("cached", "", "") if step.cached else _figures(step.cost)


def _figures(cost: Cost) -> tuple[str, ...]:
    return (f"{cost.tasks:,}", human(cost.bytes_read), human(cost.task_bytes))


def _state(step: StepRecord) -> str:
    return f"{step.state}, cached" if step.cached else step.state


def _now(record: JobRecord) -> str:
    if record.state != "running" or record.progress is None:
        return ""
    progress = record.progress
    return f"{progress['label']} {progress['done']:,}/{progress['total']:,} {progress['unit']}"


def _share(record: JobRecord) -> str:
    if record.state != "running" or record.progress is None:
        return ""
    return f"{record.progress['label']} {record.progress['done'] / max(1, record.progress['total']):.0%}"


def _time(iso: str | None) -> str:
    return "" if iso is None else f"{iso[:10]} {iso[11:19]} UTC"


def _table(*columns: str, **justified: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for column, justify in justified.items():
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    return table
