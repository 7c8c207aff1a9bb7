"""Running a job: step after step, with a record in the store."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.errors import SOME_REJECTED
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.jobs.journal import Journal, ended_by_failure
from latentscan.jobs.record import StepRecord, new_record, write_record
from latentscan.jobs.spec import ENCODE, REPORT, TRAIN
from latentscan.jobs.training import train_missing
from latentscan.paths import store_names
from latentscan.progress import SILENT
from latentscan.store.metadata import RESULTS
from latentscan.store.reader import open_store
from latentscan.store.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.analyses.analysis import Parameters
    from latentscan.analyses.inputs import Inputs
    from latentscan.encoding.parameters import Encode
    from latentscan.execution.distributed import DistributedExecutor
    from latentscan.execution.executor import Executor
    from latentscan.jobs.record import JobRecord
    from latentscan.jobs.spec import Job, Step
    from latentscan.jobs.training import Train
    from latentscan.progress import Progress
    from latentscan.report.page.parameters import PageParameters
    from latentscan.scan.rejects import Summary


def submit_job(
    job: Job,
    executor: Executor,
    record: JobRecord,
    *,
    force: bool = False,
    progress: Progress = SILENT,
    on_step_done: Callable[[StepRecord], object] = lambda _: None,
    on_rejects: Callable[[str, Summary], object] = lambda _store, _summary: None,
) -> JobRecord:
    """Run a job to its end in this process, and return its last record, with the exit code.

    Parameters
    ----------
    job
        The job.
    executor
        Where tasks run.
    record
        What `begin_record` returned.
    force
        Compute anew what is cached.
    progress
        A subscriber to the progress, beside the record.
    on_step_done
        Called with every step that is done.
    on_rejects
        Called with every store that was written and has rejected images, and what came of writing it.

    Raises
    ------
    LatentscanError
        What a step fails with; the record says so too.
    """
    journal = Journal(job.home, record, beside=progress)
    run_job(job, executor, journal, force=force, on_step_done=on_step_done, on_rejects=on_rejects)
    return journal.record


def require_stores(job: Job) -> None:
    """Check that the stores exist that a job reads and does not write, before anything is started for it.

    Raises
    ------
    StoreError
        If one does not, or its metadata is damaged.
    """
    if job.encode is None:
        for store in dict.fromkeys(store for step in job.steps() for store in step.stores):
            open_store(store)


def begin_record(job: Job, executor: Executor) -> JobRecord:
    """Write the first record of a job that waits to be run, once it is clear that records can be written.

    On a cluster that outlives this process the job is announced, so that others find it there.

    Raises
    ------
    UsageError
        If it cannot be written.
    ClusterError
        If the cluster is lost.
    """
    Results(job.home).require_writable()
    record = new_record(job.name, job.document, cluster=_address(executor))
    record = replace(record, steps=_records(job)).logged("submitted")
    write_record(job.home, record)
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
    on_step_done: Callable[[StepRecord], object] = lambda _: None,
    on_rejects: Callable[[str, Summary], object] = lambda _store, _summary: None,
) -> None:
    """Run the steps of a job one after another; the journal has the exit code that says what came of it.

    What is cached is not computed again. Errors are those of `submit_job`.

    Parameters
    ----------
    job
        The job.
    executor
        Where tasks run.
    journal
        Writes the record, and raises what ends the job early.
    force
        Compute anew what is cached, unless a process that ran the job before has done so.
    on_step_done, on_rejects
        As of `submit_job`.
    """
    cluster = _cluster(executor)
    if cluster is not None:
        cluster.heartbeat = journal.beat
    exit_code = 0
    execution = Execution(executor, journal)
    anew = Cache(CachePolicy(job.results, force), execution)
    trusting = Cache(CachePolicy(job.results), execution) if force else anew
    done = [number for number, step in enumerate(journal.record.steps) if step.state == "done"]
    journal.begin(_records(job))
    with journal.running():
        for number, step in enumerate(job.steps()):
            with journal.step(number):
                if step.name == TRAIN:
                    asked = cast("Train", step.parameters[0])
                    training = train_missing(asked, execution.progress)
                    journal.found(number, cached=training is None, result=asked.out)
                    if training is not None and training.rejected:
                        exit_code = SOME_REJECTED
                        journal.log(f"{training.rejected} images of {asked.images} rejected")
                elif step.name == ENCODE:
                    summaries = _encode(step, execution)
                    written = any(summary.written for summary in summaries.values())
                    journal.found(number, cached=not written, result=", ".join(summaries))
                    for store, summary in summaries.items():
                        if summary.rejected:
                            exit_code = SOME_REJECTED
                            journal.log(f"{sum(summary.rejected.values())} images of {store} rejected")
                            on_rejects(store, summary)
                elif step.name == REPORT:
                    journal.found(number, cached=False, result=_report(job, execution, journal.log))
                else:
                    # what another process that ran this job has computed anew is not computed once more
                    cache = trusting if number in done else anew
                    home, cached = run_step(step, cache)
                    journal.found(number, cached=cached, result=f"{home}/{RESULTS}/{step.name}")
            on_step_done(journal.record.steps[number])
        journal.done(exit_code)


def open_inputs(step: Step) -> tuple[Inputs, list[Request]]:
    """Open what a step is of, and return what it asks for.

    Raises
    ------
    UsageError, StoreError
        If that does not exist, or does not fit.
    """
    analysis = ANALYSES[step.name]
    named: dict[str, Any] = dict(step.named)
    if analysis.inputs is SeveralStores:
        named["stores"] = dict(zip(store_names(step.stores), step.stores, strict=True))
    elif step.stores:
        named["store"] = step.stores[0]
    requests = [Request(analysis, cast("Parameters", one)) for one in step.parameters]
    return analysis.inputs.open(named), requests


def run_step(step: Step, cache: Cache) -> tuple[str, bool]:
    """Make a step that is an analysis; return where its results are, and whether all of them were cached.

    Parameters
    ----------
    step
        The step.
    cache
        Of the job: what one step computed is not computed again for another.
    """
    inputs, requests = open_inputs(step)
    computed = cache.computed
    cache.results(requests, inputs)
    return cache.policy.results or inputs.home, cache.computed == computed


def _encode(step: Step, execution: Execution) -> dict[str, Summary]:
    from latentscan.encoding.encode import encode_all

    asked = cast("Encode", step.parameters[0])
    summaries = encode_all(
        asked.model,
        asked.images,
        step.stores,
        asked.parameters,
        open_executor=lambda: nullcontext(execution.executor),
        progress=execution.progress,
    )
    return dict(zip(step.stores, summaries, strict=True))


def _report(job: Job, execution: Execution, log: Callable[[str], object]) -> str:
    """Write the page of a job, and return where it is.

    Images and run folders that it does not name are those that the job encodes.
    """
    from latentscan.models.run_folder import RunFolder
    from latentscan.report.page.render import write_report

    asked, encode = cast("PageParameters", job.report), job.encode
    models = asked.model
    if (
        models is None
        and encode is not None
        and all(RunFolder(Path(one)).record.exists() for one in encode.model)
    ):
        models = encode.model
    written = write_report(
        job.stores,
        Path(asked.out),
        images=asked.images or (None if encode is None else encode.images),
        root=asked.root or (None if encode is None else encode.root),
        assets=None if asked.assets is None else Path(asked.assets),
        results=job.results,
        models=[Path(one) for one in models or ()],
        trust_model=asked.trust_model,
        execution=execution,
    )
    for line in written.notes:
        log(line)
    return str(written.page)


def _cluster(executor: Executor) -> DistributedExecutor | None:
    """Return the cluster, where workers are one; threads of this process know nothing of distributed."""
    return None if isinstance(executor, ThreadedExecutor) else cast("DistributedExecutor", executor)


def _address(executor: Executor) -> str | None:
    cluster = _cluster(executor)
    if cluster is None:
        return None
    from latentscan.cluster.connect import address_of

    return address_of(cluster.client)


def _records(job: Job) -> tuple[StepRecord, ...]:
    return tuple(StepRecord(step.name, ", ".join(step.of)) for step in job.steps())
