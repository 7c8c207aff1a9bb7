"""What each output of a model is: its name says it, or the user does; never its position or the alphabet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.errors import ParameterError, parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Shape = tuple[int | None, ...]
Source = int | str  # the position of an output, or the name of a layer

AROUND = (
    "z latent latents code codes encoder encoded enc q posterior vae variational dense fc linear layer "
    "output outputs out head vector vec space bias add"
)  # words that go with every meaning
POINT = "z latent latents code codes encoded"  # ... and are one, where they stand alone
WORDS = {
    "mu": "mu mus mean means loc location",
    "logvar": "logvar logvars logvariance lnvar lnvariance logsigma2 logsigmasq logsigmasquare "
    "logsigmasquared logstd2 lnsigma2",
    "log_std": "logstd logstds logsigma logstddev logstdev logsd logscale lnsigma lnstd logstandarddeviation",
    "std": "std stds sigma sigmas stddev stdev sd scale standarddeviation",
    "var": "var vars variance variances sigma2 sigmasq sigmasquare sigmasquared std2",
    "z": "sample samples sampled sampling sampler reparameterize reparametrize reparameterization "
    "reparametrization reparam embedding embeddings encoding bottleneck representation",
}
_MEANING = {word: meaning for meaning, words in WORDS.items() for word in words.split()}
SPREADS = {"logvar": "logvar", "log_std": "2 * log_std", "var": "ln(var)", "std": "2 * ln(std)"}
_CONVERTED = re.compile(r"(.+) \((\w+)\)")  # as `Head.recorded` writes it
_SQUARED = re.compile(r"(sigma|std|stddev|stdev|sd) 2")  # the square, or the second layer of that name


@dataclass(frozen=True)
class Head:
    """Where an array of the store comes from.

    Parameters
    ----------
    array
        mu, logvar or z.
    meaning
        What the output is: as the array, or what the array is computed from.
    source
        The position of the output, or the name of a layer.
    name
        The name of the output in the model.
    """

    array: str
    meaning: str
    source: Source
    name: str

    @property
    def recorded(self) -> Source:
        """What decides the array, for the store: the position, and what it is converted from."""
        return self.source if self.meaning == self.array else f"{self.source} ({self.meaning})"


def meaning_of(name: str) -> str | None:
    """Return what an output of this name is: mu, logvar, log_std, std, var or z; None where it does not say.

    Numbers at the end are Keras's own, but ``sigma_2`` may be a square as well, and says nothing.

    Examples
    --------
    >>> [meaning_of(name) for name in ("z_mean", "zLogVar", "log_sigma2", "log_sigma_1", "stddev", "latent")]
    ['mu', 'logvar', 'logvar', 'log_std', 'std', 'z']
    >>> [meaning_of(name) for name in ("dense_3", "log_sigma_2", "neg_logvar", "output_0")]
    [None, None, None, None]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+", name)]
    if _SQUARED.search(" ".join(words[-2:])):
        return None
    while words and words[-1].isdigit():
        words.pop()
    own = [word for word in words if word not in AROUND.split()]
    if not own:
        return "z" if set(words).intersection(POINT.split()) else None
    return _MEANING.get("".join(own))


def named_outputs(text: str | None) -> dict[str, Source] | None:
    """Return which output of a model is which, from its text; None where there is none.

    Raises
    ------
    ParameterError
        If it says something else.

    Examples
    --------
    >>> named_outputs("mu,-,log_std"), named_outputs("mu=1,logvar=dense_7")
    ({'mu': 0, 'log_std': 2}, {'mu': 1, 'logvar': 'dense_7'})
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if any("=" in part for part in parts):
        pairs = [tuple(side.strip() for side in part.split("=", 1)) for part in parts]
    else:
        pairs = [(part, str(at)) for at, part in enumerate(parts) if part != "-"]
    found: dict[str, Source] = {}
    for pair in pairs:
        meaning = meaning_of(pair[0]) if len(pair) == 2 and pair[1] else None
        if meaning is None or meaning in found:
            raise ParameterError(
                "expected what each output of the model is, in its order: mu, logvar, log_std, std, var, z, "
                "or - to leave it out, such as mu,logvar or mu,std,-; or pairs with the number or the name "
                "of an output or a layer, such as mu=1,logvar=0",
                field="outputs",
                value=text,
            )
        found[meaning] = int(pair[1]) if pair[1].isdigit() else pair[1]
    _check_whole(found, text)
    return found


def sources_of(recorded: Mapping[str, Source] | None) -> dict[str, Source] | None:
    """Return where each output of a model is, by what it is, out of a store's record of its arrays.

    Parameters
    ----------
    recorded
        `Head.recorded` of each array; None where the store does not say it.

    Examples
    --------
    >>> sources_of({"mu": 0, "logvar": "dense_7 (log_std)"}), sources_of({"z": "1 (mu)"})
    ({'mu': 0, 'log_std': 'dense_7'}, {'z': 1})
    """
    if recorded is None:
        return None
    found: dict[str, Source] = {}
    for array, source in recorded.items():
        converted = _CONVERTED.fullmatch(str(source))
        place, meaning = (source, array) if converted is None else converted.groups()
        found[meaning if array == "logvar" else array] = int(place) if str(place).isdigit() else place
    return found


def heads_by_name(path: Path, names: Sequence[Sequence[str]], shapes: Sequence[Shape]) -> tuple[Head, ...]:
    """Return which outputs become which arrays, by their names.

    Of mu, logvar and z, mu and logvar are taken: z is sampled later, and depends on the row alone. A single
    output without a name that says anything is z.

    Parameters
    ----------
    path
        The model, for errors.
    names
        The names of each output: its key in a dictionary, and its layer's.
    shapes
        The shape of each output.

    Raises
    ------
    ParameterError
        If the names do not say it, with what to give.
    """
    meanings = [_agreed(own) for own in names]
    at = {meaning: meanings.index(meaning) for meaning in meanings if meaning is not None}
    once = all(meanings.count(meaning) == 1 for meaning in at)

    def head(array: str, meaning: str, position: int) -> Head:
        return Head(array, meaning, position, names[position][0])

    spread = next((meaning for meaning in SPREADS if meaning in at), None)
    if once and "mu" in at and spread is not None:
        return head("mu", "mu", at["mu"]), head("logvar", spread, at[spread])
    if len(shapes) == 1 and spread is None:
        return (head("z", meanings[0] or "z", 0),)
    unnamed = [position for position, meaning in enumerate(meanings) if meaning is None]
    point = next((meaning for meaning in ("mu", "z") if meaning in at), None)
    if once and point is not None and spread is None:
        own_shape = shapes[at[point]]
        if not any(shapes[position] == own_shape for position in unnamed):
            return (head("z", point, at[point]),)
    raise ParameterError(
        f"what its outputs are cannot be seen from their names, {_listed(names, shapes)}; say it in this "
        f"order, such as {parameter('outputs', _suggestion(meanings, shapes))}"
        + (" or logvar,mu" if len(shapes) == 2 and not at else ""),
        field="model",
        value=path,
    )


def heads_as_asked(
    path: Path, names: Sequence[Sequence[str]], shapes: Sequence[Shape], asked: Mapping[str, Source]
) -> tuple[Head, ...]:
    """Return which outputs or layers become which arrays, as the user says it.

    Parameters
    ----------
    path, names, shapes
        As of `heads_by_name`.
    asked
        The position of an output, or the name of an output or a layer, by its meaning.

    Raises
    ------
    ParameterError
        If it names no output, or neither z nor mu with a spread.
    """
    text = ",".join(f"{meaning}={source}" for meaning, source in asked.items())
    spreads = _check_whole(asked, text)

    def head(array: str, meaning: str) -> Head:
        source = asked[meaning]
        own = [at for at, found in enumerate(names) if str(source) in found]
        is_position = isinstance(source, int) and 0 <= source < len(shapes)
        if len(own) == 1 and not is_position:  # some exporters name outputs by numbers
            source = own[0]
        if isinstance(source, str):
            return Head(array, meaning, source, source)
        if not 0 <= source < len(shapes):
            raise ParameterError(
                f"expected {meaning}=0..{len(shapes) - 1}; the outputs of {path} are "
                f"{_listed(names, shapes)}",
                field="outputs",
                value=text,
            )
        return Head(array, meaning, source, names[source][0])

    return (head("mu", "mu"), head("logvar", spreads[0])) if spreads else (head("z", "z"),)


def notes_on(heads: Sequence[Head], *, asked: bool) -> list[str]:
    """Return what a user should know of where arrays come from, a line each.

    Parameters
    ----------
    heads
        Where each array comes from.
    asked
        Whether the user has named the outputs.
    """
    found = []
    for head in heads:
        called = meaning_of(head.name)
        if head.array == "z" and called is None and not asked:
            found.append(
                f"output {head.name}, the only one, is taken as z; if it holds mu and logvar side by side, "
                "save a model that has two outputs"
            )
        if head.array == "logvar" and head.meaning != "logvar":
            found.append(
                f"output {head.name} is {head.meaning}, not logvar: logvar is {SPREADS[head.meaning]}; if it "
                f"is the logarithm of the variance, name it by {parameter('outputs')}"
            )
        elif head.array == "z" and head.meaning == "mu":
            found.append(f"output {head.name} is stored as z: without logvar there is nothing to sample")
        elif called is not None and (called in SPREADS) != (head.array == "logvar"):
            found.append(
                f"output {head.name} is taken as {head.meaning}, as you say, though its name is {called}"
            )
    return found


def _check_whole(asked: Mapping[str, Source], text: str) -> list[str]:
    """Return which spread is named beside mu, if any, or refuse what is neither z nor both."""
    spreads = [meaning for meaning in asked if meaning in SPREADS]
    if ("mu" in asked) != bool(spreads) or len(spreads) > 1 or not asked:
        raise ParameterError(
            f"expected z, or mu with one of {', '.join(SPREADS)}, to be named", field="outputs", value=text
        )
    return spreads


def _agreed(names: Sequence[str]) -> str | None:
    found = {meaning for name in names if (meaning := meaning_of(name)) is not None}
    return found.pop() if len(found) == 1 else None


def _suggestion(meanings: Sequence[str | None], shapes: Sequence[Shape]) -> str:
    """Return outputs that could be meant: two of one shape, with the names that are known."""
    words = ["-" if meanings.count(meaning) > 1 else meaning or "-" for meaning in meanings]
    free = [at for at, word in enumerate(words) if word == "-"]
    for wanted, known in (("mu", ("mu",)), ("logvar", tuple(SPREADS))):
        if not set(known).intersection(words):
            rows = [at for at in free if sum(shapes[at] == other for other in shapes) > 1] or free
            if rows:
                words[rows[0]] = wanted
                free.remove(rows[0])
    spread = next((word for word in words if word in SPREADS), None)
    if "mu" not in words or spread is None:
        return "z"
    if "z" not in words and len(free) == 1 and shapes[free[0]] == shapes[words.index("mu")]:
        words[free[0]] = "z"
    return ",".join(words)


def _listed(names: Sequence[Sequence[str]], shapes: Sequence[Shape]) -> str:
    return ", ".join(f"{own[0]} {shape_text(shape)}" for own, shape in zip(names, shapes, strict=True))


def shape_text(shape: Shape) -> str:
    """Write a shape with n for the batch.

    Examples
    --------
    >>> shape_text((None, 3))
    '(n, 3)'
    """
    return str(tuple("n" if side is None else side for side in shape)).replace("'", "")
