"""Job files: what is run, as data. YAML in, models of parameters out, and one line for each mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentscan.analyses.inputs import OneStore, SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.cluster.yaml_file import read_yaml_texts
from latentscan.encoding.parameters import Encode, Names
from latentscan.errors import Problem, UsageError, problems_of, shown, spelled
from latentscan.jobs.training import Train
from latentscan.models.parameters import of_a_vae_alone
from latentscan.paths import absolute
from latentscan.report.page.parameters import PageParameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

M = TypeVar("M", bound=BaseModel)

TRAIN, ENCODE, REPORT = "train", "encode", "report"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Names
    train: tuple[Train, ...] = ()
    encode: Encode | None = None
    analyses: tuple[dict[str, dict[str, Any] | None], ...] = ()
    report: PageParameters | None = None
    results: str | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class Step:
    """A part of a job that is begun and ended as one.

    Parameters
    ----------
    name
        ``train``, ``encode``, an analysis, or ``report``.
    stores
        What it is of: one store, or all of them for encoding, the page, and an analysis of several.
    parameters
        Its parameters; several where the analysis computes them together.
    named
        What else the analysis is of, such as a model, by the name of the argument.
    """

    name: str
    stores: tuple[str, ...]
    parameters: tuple[BaseModel, ...]
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def of(self) -> tuple[str, ...]:
        """What it is of, as it is shown: stores, or the run folder of a training."""
        return (cast("Train", self.parameters[0]).out,) if self.name == TRAIN else self.stores


@dataclass(frozen=True)
class Entry:
    """An analysis with parameters, and what it is of beside stores, as an entry of a job says.

    What is named is the same for all stores, or one for each of them.
    """

    name: str
    parameters: BaseModel
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def named_of(self, number: int) -> dict[str, str]:
        """Return what it is of beside the store of a number."""
        return {key: values[number % len(values)] for key, values in self.named.items()}


@dataclass(frozen=True)
class Job:
    """What is run.

    Parameters
    ----------
    name
        That of the file, without its ending.
    document
        The content of the file, with absolute paths, as JSON.
    stores, train, encode, analyses, report, results
        What it says.
    """

    name: str
    document: dict[str, Any]
    stores: tuple[str, ...]
    train: tuple[Train, ...]
    encode: Encode | None
    analyses: tuple[Entry, ...]
    report: PageParameters | None
    results: str | None

    @property
    def home(self) -> str:
        """The store that holds the record of the job."""
        return self.results or self.stores[0]

    def steps(self) -> Iterator[Step]:
        """Return the steps in their order: models, stores, the analyses of each, and the page of all."""
        for training in self.train:
            yield Step(TRAIN, (), (training,))
        if self.encode is not None:
            yield Step(ENCODE, self.stores, (self.encode,))
        for entries in self._joined():
            first, parameters = entries[0], tuple(entry.parameters for entry in entries)
            if ANALYSES[first.name].inputs is SeveralStores:
                yield Step(first.name, self.stores, parameters)
            elif not issubclass(ANALYSES[first.name].inputs, OneStore):
                yield Step(first.name, (), parameters, first.named_of(0))
            else:
                for number, store in enumerate(self.stores):
                    yield Step(first.name, (store,), parameters, first.named_of(number))
        if self.report is not None:
            yield Step(REPORT, self.stores, (self.report,))

    def _joined(self) -> Iterator[list[Entry]]:
        """Join neighbouring entries of an analysis that computes several sets of parameters together."""
        waiting: list[Entry] = []
        for entry in self.analyses:
            joins = waiting and waiting[0].name == entry.name and waiting[0].named == entry.named
            if waiting and not (joins and ANALYSES[entry.name].is_joined):
                yield waiting
                waiting = []
            waiting.append(entry)
        if waiting:
            yield waiting


def read_job(path: Path) -> Job:
    """Read a job file; relative paths in it are relative to the current directory.

    Raises
    ------
    UsageError
        If there is no such file, or it says something that no job can; with a line for each mistake.
    """
    document = read_yaml_texts(path, "a job file, such as jobs/stats.yaml")
    return job_of(document, name=path.stem, origin=str(path))


def job_of(document: Any, *, name: str, origin: str) -> Job:
    """Return the job of a decoded document; `origin` names it in errors.

    Raises
    ------
    UsageError
        If it says something that no job can; with a line for each mistake.
    """
    if not isinstance(document, dict):
        raise UsageError(
            f"{origin}: expected the keys {', '.join(_Document.model_fields)}, got {shown(document)}"
        )
    problems: list[str] = []
    read = _validated(_Document, _spelled_out(document), (), problems)
    analyses = [] if read is None else list(_analyses(read.analyses, len(read.store), problems))
    if read is not None:
        problems += _contradictions(read)
    if problems or read is None:
        raise UsageError(spelled("\n".join(f"{origin}: {problem}" for problem in problems), "job file"))
    found = _anywhere(read)
    as_json = found.model_dump(mode="json", exclude_unset=True)
    return Job(
        name,
        as_json,
        found.store,
        found.train,
        found.encode,
        tuple(analyses),
        found.report,
        found.results,
    )


def _spelled_out(document: dict[str, Any]) -> dict[str, Any]:
    """Read an analysis that is named alone, ``- stats``, as one with its defaults, ``- stats:``."""
    entries = document.get("analyses")
    if not isinstance(entries, list):
        return document
    return {
        **document,
        "analyses": [{entry: None} if isinstance(entry, str) else entry for entry in entries],
    }


def _analyses(
    entries: Sequence[dict[str, dict[str, Any] | None]], stores: int, problems: list[str]
) -> Iterator[Entry]:
    for number, entry in enumerate(entries):
        at = ("analyses", number)
        if len(entry) != 1:
            problems.append(
                f"{_dotted(at)}: {shown(list(entry))}: expected one analysis an entry, each behind a dash"
            )
            continue
        ((name, given),) = entry.items()
        if name not in ANALYSES:
            known = ", ".join(ANALYSES)
            problems.append(f"{_dotted(at)}: {shown(name)}: unknown analysis; there are {known}")
            continue
        analysis, keys = ANALYSES[name], dict(given or {})
        arguments = [one for one in analysis.inputs.arguments if one.name not in {"store", "stores"}]
        named = {one.name: _each(keys.pop(one.name)) for one in arguments if one.name in keys}
        missing = [one.name for one in arguments if one.required and one.name not in named]
        problems += [f"{_dotted((*at, name, argument))}: is missing" for argument in missing]
        wrong = [key for key, values in named.items() if len(values) not in {1, stores}]
        problems += [
            f"{_dotted((*at, name, key))}: {', '.join(named[key]) or 'none'}: expected one for all stores, "
            f"or one for each of them, {stores}, got {len(named[key])}"
            for key in wrong
        ]
        parameters = _validated(analysis.parameters, keys, (*at, name), problems)
        if parameters is not None and not missing and not wrong:
            yield Entry(name, parameters, {key: tuple(map(absolute, one)) for key, one in named.items()})


def _each(given: Any) -> tuple[str, ...]:
    """Return the texts of a list, or the one that is given alone."""
    return tuple(map(str, given)) if isinstance(given, list) else (str(given),)


def _contradictions(read: _Document) -> Iterator[str]:
    stores = [absolute(store) for store in read.store]
    for position, store in enumerate(stores):
        if store in stores[:position]:
            yield f"store.{position}: {read.store[position]}: given twice; name each store once"
    if read.encode is not None and len(read.encode.model) != len(stores):
        yield (
            f"encode.model: {', '.join(read.encode.model)}: expected one for each store, "
            f"{len(stores)}, got {len(read.encode.model)}"
        )
    if read.report is not None and read.report.model is not None and len(read.report.model) != len(stores):
        yield (
            f"report.model: {', '.join(read.report.model)}: expected one for each store, {len(stores)}, "
            f"got {len(read.report.model)}"
        )
    if not (read.train or read.encode or read.analyses or read.report):
        yield "analyses: nothing is to be done; expected a list of analyses, train, encode, or report"
    outs = [training.out for training in read.train]
    for position, training in enumerate(read.train):
        if training.out in outs[:position]:
            yield f"train.{position}.out: {training.out}: given twice; train each into a folder of its own"
        if training.kind == "ae":
            for name in of_a_vae_alone(training.model_fields_set):
                yield f"train.{position}.{name}: leave it out: an autoencoder has no KL loss"
    for position, entry in enumerate(read.analyses):
        for name in entry:
            if name in ANALYSES and ANALYSES[name].inputs is SeveralStores and len(stores) < 2:
                yield f"analyses.{position}.{name}: {stores[0]}: expected two stores or more"


def _validated(model: type[M], given: Any, at: tuple[str | int, ...], problems: list[str]) -> M | None:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems += [_complaint(model, problem, at) for problem in problems_of(error)]
        return None


def _complaint(model: type[BaseModel], problem: Problem, at: tuple[str | int, ...]) -> str:
    """Return where a value is, what it is, and what was expected, as a line."""
    parts: dict[str | int, type[BaseModel]] = {TRAIN: Train, ENCODE: Encode, REPORT: PageParameters}
    of_parts = (name for part in parts.values() for name in part.model_fields)
    named = {*_Document.model_fields, *of_parts, *model.model_fields, *ANALYSES}
    within = [part for part in problem.at if isinstance(part, int) or part in named]
    if problem.kind == "extra_forbidden":
        known = parts.get(problem.at[0] if len(problem.at) > 1 else "", model).model_fields
        return f"{_dotted((*at, *problem.at))}: unknown key; there are {', '.join(known)}"
    if problem.kind == "missing":
        return f"{_dotted((*at, *within))}: is missing"
    return f"{_dotted((*at, *within))}: {shown(problem.value)}: {problem.expected}"


def _dotted(at: Sequence[str | int]) -> str:
    return ".".join(map(str, at))


def _anywhere(read: _Document) -> _Document:
    """Make paths absolute, since workers have other directories."""
    changed: dict[str, Any] = {"store": tuple(map(absolute, read.store))}
    if read.results is not None:
        changed["results"] = absolute(read.results)
    if read.encode is not None:
        paths: dict[str, Any] = {
            "images": absolute(read.encode.images),
            "model": tuple(map(absolute, read.encode.model)),
        }
        if read.encode.root is not None:
            paths["root"] = absolute(read.encode.root)
        changed["encode"] = read.encode.model_copy(update=paths)
    if read.report is not None:
        given = {name: getattr(read.report, name) for name in ("out", "images", "root", "assets")}
        places: dict[str, Any] = {name: absolute(value) for name, value in given.items() if value is not None}
        if read.report.model is not None:
            places["model"] = tuple(map(absolute, read.report.model))
        changed["report"] = read.report.model_copy(update=places)
    return read.model_copy(update=changed)
