"""Job files: what is run, as data. YAML in, models of parameters out, and one line for each mistake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentscan.cluster.yaml_file import read_yaml_texts
from latentscan.encoding.parameters import Encode, Names
from latentscan.errors import UsageError
from latentscan.paths import absolute
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

ENCODE, COMPARE = "encode", "compare"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Names
    encode: Encode | None = None
    analyses: tuple[dict[str, dict[str, Any] | None], ...] = ()
    results: str | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class Step:
    """A part of a job that is begun and ended as one.

    Parameters
    ----------
    name
        ``encode``, ``compare``, or an analysis of the table.
    stores
        What it is of: one store, or all of them for ``compare``.
    parameters
        Its parameters; several where the analysis runs them together.
    """

    name: str
    stores: tuple[str, ...]
    parameters: tuple[BaseModel, ...]


@dataclass(frozen=True)
class Job:
    """What is run.

    Parameters
    ----------
    name
        That of the file, without its ending.
    document
        The content of the file, with absolute paths, as JSON.
    stores, encode, analyses, results
        What it says; `analyses` are names with their parameters.
    """

    name: str
    document: dict[str, Any]
    stores: tuple[str, ...]
    encode: Encode | None
    analyses: tuple[tuple[str, BaseModel], ...]
    results: str | None

    @property
    def home(self) -> str:
        """The store that the record of the job is kept in."""
        return self.results or self.stores[0]

    def steps(self) -> Iterator[Step]:
        """Give the steps in their order: stores are written, then each analysis is made of each."""
        if self.encode is not None:
            for store in self.stores:
                yield Step(ENCODE, (store,), (self.encode,))
        for name, together in self._together():
            if name == COMPARE:
                yield Step(name, self.stores, together)
            else:
                yield from (Step(name, (store,), together) for store in self.stores)

    def _together(self) -> Iterator[tuple[str, tuple[BaseModel, ...]]]:
        """Join neighbouring entries of an analysis that runs several sets of parameters at once."""
        waiting: list[tuple[str, tuple[BaseModel, ...]]] = []
        for name, parameters in self.analyses:
            joins = waiting and waiting[-1][0] == name and name != COMPARE and ANALYSES[name].many is not None
            before = waiting.pop()[1] if joins else ()
            waiting.append((name, (*before, parameters)))
        yield from waiting


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
    """Make a job of a decoded document; `origin` names it in errors.

    Raises
    ------
    UsageError
        If it says something that no job can; with a line for each mistake.
    """
    if not isinstance(document, dict):
        raise UsageError(
            f"{origin}: expected the keys {', '.join(_Document.model_fields)}, got {_shown(document)}"
        )
    problems: list[str] = []
    read = _validated(_Document, _spelled_out(document), (), problems)
    analyses = [] if read is None else list(_analyses(read.analyses, problems))
    if read is not None:
        problems += _contradictions(read)
    if problems or read is None:
        raise UsageError("\n".join(f"{origin}: {problem}" for problem in problems))
    found = _anywhere(read)
    kept = found.model_dump(mode="json", exclude_unset=True)
    return Job(name, kept, found.store, found.encode, tuple(analyses), found.results)


def _spelled_out(document: dict[str, Any]) -> dict[str, Any]:
    """Take an analysis that is named alone, ``- stats``, for one without parameters, ``- stats:``."""
    entries = document.get("analyses")
    if not isinstance(entries, list):
        return document
    return {
        **document,
        "analyses": [{entry: None} if isinstance(entry, str) else entry for entry in entries],
    }


def _analyses(
    entries: Sequence[dict[str, dict[str, Any] | None]], problems: list[str]
) -> Iterator[tuple[str, BaseModel]]:
    for place, entry in enumerate(entries):
        at = ("analyses", place)
        if len(entry) != 1:
            problems.append(
                f"{_dotted(at)}: {_shown(list(entry))}: expected one analysis an entry, each behind a dash"
            )
            continue
        ((name, given),) = entry.items()
        if name not in ANALYSES and name != COMPARE:
            known = ", ".join([*ANALYSES, COMPARE])
            problems.append(f"{_dotted(at)}: {_shown(name)}: unknown analysis; there are {known}")
            continue
        parameters = _validated(_model(name), given or {}, (*at, name), problems)
        if parameters is not None:
            yield name, parameters


def _model(name: str) -> type[BaseModel]:
    if name == COMPARE:
        from latentscan.analyses.compare.analysis import CompareParameters

        return CompareParameters
    return ANALYSES[name].parameters


def _contradictions(read: _Document) -> Iterator[str]:
    stores = [absolute(store) for store in read.store]
    for place, store in enumerate(stores):
        if store in stores[:place]:
            yield f"store.{place}: {read.store[place]}: given twice; name each store once"
    if read.encode is not None and len(read.encode.model) != len(stores):
        yield (
            f"encode.model: {', '.join(read.encode.model)}: expected one for each store, "
            f"{len(stores)}, got {len(read.encode.model)}"
        )
    if read.encode is None and not read.analyses:
        yield "analyses: nothing is to be done; expected a list of analyses, or encode"
    for place, entry in enumerate(read.analyses):
        if COMPARE in entry and len(stores) < 2:
            yield f"analyses.{place}.compare: {stores[0]}: expected two stores or more"


def _validated(model: type[M], given: Any, at: tuple[str | int, ...], problems: list[str]) -> M | None:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems += [_complaint(model, problem, at) for problem in error.errors()]
        return None


def _complaint(model: type[BaseModel], problem: ErrorDetails, at: tuple[str | int, ...]) -> str:
    """Say where a value is, what it is, and what was expected."""
    named = {*_Document.model_fields, *Encode.model_fields, *model.model_fields, *ANALYSES, COMPARE}
    within = [part for part in problem["loc"] if isinstance(part, int) or part in named]
    place = _dotted((*at, *within))
    if problem["type"] == "extra_forbidden":
        known = Encode.model_fields if problem["loc"][0] == ENCODE else model.model_fields
        return f"{_dotted((*at, *problem['loc']))}: unknown key; there are {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{place}: is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = {"a valid tuple": "a list", "a valid dictionary": "keys with values"}.get(message, message)
    return f"{place}: {_shown(problem['input'])}: expected {message.removeprefix('expected ')}"


def _dotted(at: Sequence[str | int]) -> str:
    return ".".join(map(str, at))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


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
    return read.model_copy(update=changed)
