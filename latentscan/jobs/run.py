"""Running a job: step after step, with a record in the store."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from latentscan.analyses.cache import NotKeptError, Run
from latentscan.errors import SOME_REJECTED
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs.journal import Journal, ended_by_failure
from latentscan.jobs.record import StepRecord, new_record, write_job
from latentscan.jobs.spec import COMPARE, ENCODE
from latentscan.paths import store_names
from latentscan.progress import SILENT
from latentscan.store.metadata import RESULTS
from latentscan.store.reader import open_store
from latentscan.store.results import require_place
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.analyses.compare.analysis import CompareParameters
    from latentscan.encoding.parameters import Encode
    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.execution.executor import Executor
    from latentscan.jobs.record import JobRecord
    from latentscan.jobs.spec import Job, Step
    from latentscan.progress import Progress
    from latentscan.store.summary import Summary


def submit_job(
    job: Job,
    executor: Executor,
    record: JobRecord,
    *,
    force: bool = False,
    progress: Progress = SILENT,
    finished: Callable[[StepRecord], object] = lambda _: None,
    rejected: Callable[[str, Summary], object] = lambda _store, _summary: None,
) -> JobRecord:
    """Run a job to its end in this process, and give its last record, with the exit code.

    Parameters
    ----------
    record
        What `begin_record` gave.
    force
        Compute anew what is there already.
    finished
        Called with every step that is done.
    rejected
        Called with every store that was written and has rejected images, and what came of writing it.

    Raises
    ------
    LatentscanError
        What a step fails with; the record says so too.
    """
    journal = Journal(job.home, record, beside=progress)
    run_job(job, executor, journal, force=force, finished=finished, rejected=rejected)
    return journal.record


def begin_record(job: Job, executor: Executor) -> JobRecord:
    """Make sure that a record can be kept, and write the first of a job that waits to be run.

    A cluster that goes on when this process ends is told of the job, so that others find it there.

    Raises
    ------
    UsageError
        If it cannot be kept.
    ClusterError
        If the cluster is lost.
    """
    require_place(job.home)
    record = new_record(job.name, job.document, cluster=_address(executor))
    record = replace(record, steps=_records(job)).logged("submitted")
    write_job(job.home, record)
    cluster = _cluster(executor)
    if cluster is not None and cluster.stays:
        with ended_by_failure(job.home, record):
            cluster.announce(
                record.id, {"store": job.home, "name": record.name, "submitted": record.submitted}
            )
    return record


def run_job(
    job: Job,
    executor: Executor,
    journal: Journal,
    *,
    force: bool = False,
    finished: Callable[[StepRecord], object] = lambda _: None,
    rejected: Callable[[str, Summary], object] = lambda _store, _summary: None,
) -> None:
    """Run the steps of a job one after another; the journal has the exit code that says what came of it.

    What is there already is not computed again. Parameters and errors are those of `submit_job`.
    """
    cluster = _cluster(executor)
    if cluster is not None:
        cluster.heartbeat = journal.beat
    exit_code = 0
    run = Run(job.results, force=force, executor=executor, progress=journal)
    done = [number for number, step in enumerate(journal.record.steps) if step.state == "done"]
    journal.begin(_records(job))
    with journal.running():
        for number, step in enumerate(job.steps()):
            with journal.step(number):
                if step.name == ENCODE:
                    summary = _encode(job, step, run)
                    journal.found(number, kept=not summary.written, result=step.stores[0])
                    if summary.rejected:
                        exit_code = SOME_REJECTED
                        journal.log(f"{sum(summary.rejected.values())} images of {step.stores[0]} rejected")
                        rejected(step.stores[0], summary)
                else:
                    # what another process that ran this job has computed anew, is not once more
                    kept = _analyse(step, replace(run, force=force and number not in done))
                    home = job.results or step.stores[0]
                    journal.found(number, kept=kept, result=f"{home}/{RESULTS}/{step.name}")
            finished(journal.record.steps[number])
        journal.done(exit_code)


def analysis_of(step: Step) -> Callable[[Run], object]:
    """Give the function that makes a step which is not `encode`, or reads what is kept of it."""
    if step.name == COMPARE:
        from latentscan.analyses.compare.analysis import compare

        names = store_names(step.stores)
        parameters = cast("CompareParameters", step.parameters[0])
        return lambda run: compare(
            {name: open_store(store) for name, store in zip(names, step.stores, strict=True)}, parameters, run
        )
    analysis = ANALYSES[step.name]
    many = analysis.many
    if many is not None:
        return lambda run: many(open_store(step.stores[0]), step.parameters, run)
    return lambda run: analysis.run(open_store(step.stores[0]), step.parameters[0], run)


def is_kept(step: Step, results: str | None) -> bool:
    """Tell whether all that a step finds is there already; `results` is where, the store itself if None.

    Raises
    ------
    LatentscanError
        If it cannot be computed.
    """
    try:
        analysis_of(step)(Run(results, kept_only=True))
    except NotKeptError:
        return False
    return True


def _analyse(step: Step, run: Run) -> bool:
    """Make a step, and tell whether all of it was there already."""
    if not run.force and is_kept(step, run.results):
        return True
    analysis_of(step)(run)
    return False


def _encode(job: Job, step: Step, run: Run) -> Summary:
    from latentscan.encoding.encode import encode_images

    asked = cast("Encode", step.parameters[0])
    model = asked.model[job.stores.index(step.stores[0])]
    return encode_images(
        model,
        asked.images,
        step.stores[0],
        asked.parameters,
        open_executor=lambda: nullcontext(run.executor),
        progress=run.progress,
    )


def _cluster(executor: Executor) -> DistributedExecutor | None:
    """Give the cluster, where workers are one; threads of this process know nothing of distributed."""
    return None if isinstance(executor, ThreadedExecutor) else cast("DistributedExecutor", executor)


def _address(executor: Executor) -> str | None:
    cluster = _cluster(executor)
    if cluster is None:
        return None
    from latentscan.cluster.connect import address_of

    return address_of(cluster.client)


def _records(job: Job) -> tuple[StepRecord, ...]:
    return tuple(StepRecord(step.name, ", ".join(step.stores)) for step in job.steps())
