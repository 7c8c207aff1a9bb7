"""What a training may start from: an empty run folder, or an earlier epoch of the same training."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from latentscan.errors import ParameterError, UsageError, parameter
from latentscan.models.backend import versions
from latentscan.models.run_folder import Epoch, RunFolder, RunRecord, Start

if TYPE_CHECKING:
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import ImageSource
    from latentscan.models.parameters import TrainParameters

# A folder of images may be renamed: the number of its images and the hash of their paths identify it.
FREE = frozenset({"epochs", "learning_rate", "cache_bytes", "source.name"})
# What may be another from an earlier epoch on, to see what a jump is due to.
REPLAYED = FREE | {"seed", "epsilon_limit", "epsilon_factor", "logvar_limit"}


def first_record(
    folder: RunFolder, source: ImageSource, parameters: TrainParameters, preprocessing: Preprocessing
) -> RunRecord:
    """Return the record of a new run.

    Raises
    ------
    UsageError
        If the folder holds a run already.
    """
    holds_something = folder.path.is_dir() and any(folder.path.iterdir()) and not folder.begins_anew()
    if holds_something and not folder.record.exists():
        raise ParameterError(
            "holds something else than a training; choose a new or an empty folder",
            field="out",
            value=folder.path,
        )
    if folder.record.exists():
        raise ParameterError(
            f"holds a training already; go on with it by {parameter('resume', True)}, or choose a new or an "
            "empty folder",
            field="out",
            value=folder.path,
        )
    return RunRecord(
        parameters=parameters,
        preprocessing=preprocessing,
        source=json.loads(json.dumps(source.describe())),
        versions=versions(),
        starts=(_start(parameters, 0),),
    )


def resumed_record(
    folder: RunFolder,
    source: ImageSource,
    parameters: TrainParameters,
    preprocessing: Preprocessing,
    resume_from: int | None,
) -> tuple[RunRecord, tuple[Epoch, ...]]:
    """Read the record of a run that goes on, and the history that it goes on from.

    Parameters
    ----------
    folder
        The run folder.
    source, parameters, preprocessing
        What is asked for now; it must not contradict the record, but for `FREE`, or from an earlier
        epoch on `REPLAYED`.
    resume_from
        The epoch after which to go on; the last finished one if None.

    Raises
    ------
    UsageError
        If there is no such run or epoch, or if something contradicts the record: each field is named.
    """
    record = folder.read_record()
    contradictions = _contradictions(record, source, parameters, preprocessing, resume_from)
    if contradictions:
        raise UsageError(
            f"{folder.record}: cannot resume with other parameters: {'; '.join(contradictions)}. "
            f"Give the recorded values, or train into another folder, {parameter('out')}"
        )
    history = folder.finished()
    if resume_from is not None:
        if not (
            resume_from == 0 or (resume_from <= len(history) and folder.checkpoint(resume_from).exists())
        ):
            there = [str(row.epoch) for row in history if folder.checkpoint(row.epoch).exists()]
            raise ParameterError(
                f"{folder.path}: expected 0 or an epoch with a checkpoint, which are "
                f"{', '.join(there) or 'none'}",
                field="resume_from",
                value=resume_from,
            )
        history = history[:resume_from]
    update = {
        "parameters": parameters,
        "versions": versions(),
        "starts": (*record.starts, _start(parameters, len(history))),
    }
    return record.model_copy(update=update), history


def _start(parameters: TrainParameters, after_epoch: int) -> Start:
    return Start(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        after_epoch=after_epoch,
        seed=parameters.seed,
        learning_rate=parameters.learning_rate,
        epochs=parameters.epochs,
        epsilon_limit=parameters.epsilon_limit,
        logvar_limit=parameters.logvar_limit,
    )


def _contradictions(
    record: RunRecord,
    source: ImageSource,
    parameters: TrainParameters,
    preprocessing: Preprocessing,
    resume_from: int | None,
) -> list[str]:
    recorded = {
        **record.parameters.model_dump(),
        **{f"preprocessing.{name}": value for name, value in record.preprocessing.model_dump().items()},
        **{f"source.{name}": value for name, value in record.source.items()},
    }
    got = {
        **parameters.model_dump(),
        **{f"preprocessing.{name}": value for name, value in preprocessing.model_dump().items()},
        **{f"source.{name}": value for name, value in json.loads(json.dumps(source.describe())).items()},
    }
    free = FREE if resume_from is None else REPLAYED
    found = [
        f"{_named(name)} is {recorded.get(name)} in the record, got {got.get(name)}"
        for name in recorded | got
        if name not in free and recorded.get(name) != got.get(name)
    ]
    if parameters.epochs < record.parameters.epochs:
        found.append(
            f"{_named('epochs')} is {record.parameters.epochs} in the record and may only grow, "
            f"got {parameters.epochs}"
        )
    return found


def _named(name: str) -> str:
    is_parameter = not name.startswith("source.")
    return parameter(name.removeprefix("preprocessing.")) if is_parameter else f"the {name}"
