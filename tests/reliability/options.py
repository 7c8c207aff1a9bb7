"""Options: values at, past and far from each bound, for every option of every verb, alone and in pairs.

The verbs and their options are read from the command line itself, bounds also from the models of parameters.
Silently wrong is a value past a declared bound that is taken. A value that is taken must lead to an end, or
to an estimate or the time left on stderr, within the limit.
"""

from __future__ import annotations

import math
import random
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from latentscan.analyses.registry import ANALYSES
from latentscan.cli.app import app
from latentscan.encoding.parameters import EncodeParameters
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from tests.reliability.campaign import GIB, Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_CLUSTER, BAD_STORE, BAD_USAGE, DONE, SOME_REJECTED, UNSAFE, run
from tests.reliability.inputs import JOB
from tests.reliability.nursery import tail_of
from tests.reliability.small_store import (
    OTHER,
    QUICK,
    STORE,
    analysis_names,
    analysis_words,
    build_small_stores,
    import_what_is_used,
    random_points,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from tests.reliability.campaign import Bench

LONG = ("demo", "study")  # verbs that take minutes whatever they are given
WITH_TENSORFLOW = ("encode", "train", "generate")  # these are tried by the part `models`
NEEDED: dict[str, Sequence[str]] = {  # what a parameter that a verb cannot do without is given, by its name
    "store": [STORE],
    "stores": [STORE, OTHER],
    "z": ["z.npy"],
    "job": ["job.yaml"],
    "kind": ["ae"],
    "images": ["absent"],  # and the model: what follows takes TensorFlow, and is a part of its own
    "model": ["absent.keras"],
    "out": ["out"],
    "directory": ["out"],
}
BESIDE = {  # what else makes the plain command one that ends well, and soon
    ("synth",): ["--images", "2", "--workers", "1"],
    ("ingest",): ["--store", "new.zarr"],
    ("generate",): ["--normal", "--out", "out.png"],
    ("submit",): ["--plan"],
    ("results", "remove"): ["--all", "--yes"],
    ("cluster", "check"): ["--profile", "absent"],
}
NUMBERS = ("-1", "0", "1", "1000000", "1e6", str(2**31), str(2**63 - 1), str(2**63), "9" * 30, "1.5", "", "x")
FLOATS = ("-1", "0", "-0.0", "5e-324", "1e-300", "1e300", "1e999", "nan", "inf", "-inf", "", "x", "1_0", "９")
TEXTS = (
    *(
        "",
        " ",
        "x",
        "none",
        ",",
        ":",
        "::",
        "1:2",
        "2:1",
        "1:2:3:4",
        "1,1",
        "1:1000000",
        "1:1000000:1",
        "0:5",
    ),
    *(
        "nan:nan",
        "-inf:inf",
        "0",
        "-1",
        "1e999:1e999",
        "9" * 400,
        "\x1b[2J",
        "\udcff",
        "é" * 300,
        "../..",
        "/",
    ),
)
PAIRS = 20  # of each verb
LONGEST_S = 20.0
# before it begins, or in a line of progress; how many files a folder has is not known before they are listed
ESTIMATE = r"estimate|\d (s|min|h) left|listing its files, [\d,]+ so far"


@dataclass(frozen=True)
class Verb:
    """A command, the words that it cannot do without, and its options."""

    path: tuple[str, ...]
    needed: tuple[str, ...]
    options: tuple[Any, ...]


def faults(bench: Bench) -> Iterator[Fault]:
    """List each verb with each value of each option, then with pairs of them."""
    yield from faults_of(bench, [verb for verb in verbs() if verb.path[0] not in WITH_TENSORFLOW])


def faults_of(bench: Bench, verbs: Sequence[Verb]) -> Iterator[Fault]:
    """List the values of the options of some verbs, then pairs of them."""
    import_what_is_used(bench, partial(_use, verbs))
    bench.made(_prepare)
    for verb in verbs:
        name, chance = " ".join(verb.path), random.Random(f"{bench.seed} {verb.path}")
        choices = [choice for option in verb.options for choice in _choices(verb, option)]
        for words, is_past in choices:
            yield _fault(bench, name, verb, words, must_fail=is_past)
        for _ in range(PAIRS if len(verb.options) > 1 else 0):
            (one, past), (other, also_past) = chance.choice(choices), chance.choice(choices)
            yield _fault(bench, f"{name}, two options", verb, one + other, must_fail=past and also_past)


def _fault(bench: Bench, kind: str, verb: Verb, words: tuple[str, ...], *, must_fail: bool) -> Fault:
    shown = " ".join(word if len(word) < 40 else f"{word[:36]}..." for word in words)
    attempt = partial(_attempt, bench.folder, (*verb.path, *verb.needed, *words), must_fail)
    return Fault(kind, ascii(shown)[1:-1], attempt, LONGEST_S, 2 * GIB, estimate=ESTIMATE)


PART = Part("options", "values at and past each bound, for every verb", faults, quick=40, full=1400)


def verbs() -> Iterator[Verb]:
    """Return the commands with what they need, read from the command line."""
    for path, command in _commands(typer.main.get_command(app), ()):
        if path[0] in LONG:
            continue
        needed: list[str] = []
        for parameter in command.params:
            if parameter.required:
                flag = [parameter.opts[0]] if parameter.param_type_name == "option" else []
                needed += [*flag, *NEEDED.get(parameter.name, ["x"])]
        quick = QUICK if path[0] in ANALYSES else {}
        own = {parameter.name: parameter for parameter in command.params}
        for name, value in quick.items():
            needed += [own[name].opts[0], str(value)] if name in own else []
        options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
        yield Verb(path, (*needed, *BESIDE.get(path, [])), tuple(options))


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(None):
        yield from _commands(command.get_command(None, name), (*path, name))


def _choices(verb: Verb, option: Any) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Return words that give an option a value, and whether that is past a declared bound."""
    flag, kind = option.opts[0], option.type_descriptor.annotation
    if option.is_flag:
        yield from (((word,), False) for word in (*option.opts, *option.secondary_opts))
        return
    values = dict.fromkeys(FLOATS if kind is float else NUMBERS if kind is int else TEXTS, False)
    if kind in (int, float):
        values |= dict(_at_bounds(verb, option, kind))
    yield from (((f"{flag}={value}",), is_past) for value, is_past in values.items())


def _at_bounds(verb: Verb, option: Any, kind: type) -> Iterator[tuple[str, bool]]:
    """Return the values at each declared bound and next to it, and whether they are past it."""
    declared = [("ge", option.min), ("le", option.max)]
    for model in _models(verb):
        if option.name in model.model_fields:
            for rule in model.model_fields[option.name].metadata:
                declared += [(name, getattr(rule, name, None)) for name in ("ge", "gt", "le", "lt")]
    for rule, bound in declared:
        if bound is not None:
            at = kind(bound)
            below = at - 1 if kind is int else math.nextafter(at, -math.inf)
            above = at + 1 if kind is int else math.nextafter(at, math.inf)
            for value in (below, at, above):
                past = {"ge": value < at, "gt": value <= at, "le": value > at, "lt": value >= at}[rule]
                yield repr(value), past


def _models(verb: Verb) -> list[type[BaseModel]]:
    if verb.path[0] in ANALYSES:
        return [ANALYSES[verb.path[0]].parameters]
    made: dict[str, list[type[BaseModel]]] = {
        "encode": [EncodeParameters],
        "train": [TrainParameters, Preprocessing],
    }
    return made.get(verb.path[0], [])


def _prepare(folder: Path) -> None:
    build_small_stores(folder, seed=0)
    run(*analysis_words("stats", store=str(folder / STORE)))
    np.save(folder / "z.npy", random_points(0))
    (folder / "job.yaml").write_text(JOB.replace("s.zarr", STORE))


def _use(verbs: Sequence[Verb], folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    _prepare(shared)
    for number, verb in enumerate(verb for verb in verbs if verb.path[0] not in ANALYSES):
        work = folder / str(number)
        work.mkdir()
        _attempt(shared, (*verb.path, *verb.needed), False, work)


def _attempt(shared: Path, words: tuple[str, ...], must_fail: bool, folder: Path) -> Finding:
    shutil.copytree(shared, folder, dirs_exist_ok=True)
    force = ["--force"] if words[0] in analysis_names() else []
    said = run(*words, *force)
    if breach := said.breach(DONE, BAD_USAGE, SOME_REJECTED, BAD_STORE, BAD_CLUSTER, UNSAFE):
        return breach
    if said.code == DONE and must_fail:
        return Finding(Verdict.SILENT, "past a declared bound, and taken")
    return Finding(Verdict.SURVIVED if said.code == DONE else Verdict.DETECTED, tail_of(said.err))
