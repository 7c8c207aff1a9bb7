"""Options made from a model of parameters: one definition for the command line, job files and Python."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import ValidationError

from latentscan.cli.signatures import replace_parameter
from latentscan.errors import ParameterError, as_text, parameter, parameter_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

M = TypeVar("M", bound="BaseModel")
_PLAIN = (int, float, str, bool)


def with_options(
    *models: type[BaseModel], skip: tuple[str, ...] = (), lists: bool = False
) -> Callable[[Any], Any]:
    """Add an option to a command for every field of some models, and pass it what was given as `options`.

    The command takes ``options: dict[str, Any]``, which holds the fields that the user named; its other
    parameters stay as they are. A field whose type is not a plain one is given as text, which the model
    reads; a list of texts is given as one option for each. With `lists`, so is every field that can be given
    several times, split at commas; see `each`.

    Parameters
    ----------
    models
        The models.
    skip
        Fields that get no option.
    lists
        Whether options take several values.
    """
    fields = {
        name: field for model in models for name, field in model.model_fields.items() if name not in skip
    }

    def given_ones(given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value is not None and value != []}

    def decorate(command: Any) -> Any:
        added = [_parameter(name, field, listed=lists) for name, field in fields.items()]
        return replace_parameter(command, "options", added, given_ones)

    return decorate


def pick(model: type[M], options: dict[str, Any], **fixed: Any) -> M:
    """Return a model of those options that are its fields, and of others that no option sets.

    Parameters
    ----------
    model
        The model.
    options
        What the user gave, as text where the type of the field is not a plain one.
    fixed
        Fields that no option sets.

    Raises
    ------
    ParameterError
        If a value does not fit.
    """
    fields = model.model_fields
    own = {name: value for name, value in options.items() if name in fields}
    read = {name: from_text(name, value, fields[name].annotation) for name, value in own.items()}
    try:
        return model.model_validate({**read, **fixed})
    except ValidationError as error:
        shown = {name: as_text(value) if isinstance(value, list) else value for name, value in own.items()}
        raise parameter_error(error, shown) from None


def each(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Split options at commas: one set for every position; an option with one value serves all.

    Examples
    --------
    >>> each({"points": "20000,80000", "seed": "1"})
    [{'points': '20000', 'seed': '1'}, {'points': '80000', 'seed': '1'}]
    """
    parts = {name: value.split(",") if isinstance(value, str) else [value] for name, value in options.items()}
    longest = max(parts, key=lambda name: len(parts[name]), default="")
    count = len(parts[longest]) if parts else 1
    for name, values in parts.items():
        if len(values) not in (1, count):
            raise ParameterError(
                f"{len(values)} values, and {count} for {parameter(longest)}; give one for all, or as many",
                field=name,
                value=options[name],
            )
    return [
        {name: values[at if len(values) > 1 else 0] for name, values in parts.items()} for at in range(count)
    ]


def from_text(name: str, value: Any, kind: Any) -> Any:
    """Split what was given for a tuple: at colons for an interval, at commas for a list; the rest stays.

    Examples
    --------
    >>> from_text("filters", "32,64", tuple[int, ...])
    ['32', '64']
    >>> from_text("ranges", "14:19,12:24", tuple[tuple[float, float], ...])
    [['14', '19'], ['12', '24']]
    >>> from_text("kind", ["ae=a*", "vae=v*,vae=w*"], tuple[str, ...])
    ['ae=a*', 'vae=v*', 'vae=w*']
    """
    if isinstance(value, list):  # of an option that was given several times
        return [one for part in value for one in from_text(name, part, kind)]
    if get_origin(kind) is not tuple or not isinstance(value, str):
        return value
    first, second = get_args(kind)
    if second is Ellipsis:
        if not value:
            raise ParameterError("expected at least 1 of them, got 0", field=name, value=value)
        return [from_text(name, part, first) for part in value.split(",")]
    if value.count(":") != 1:
        raise ParameterError("expected two numbers, LOW:HIGH", field=name, value=value)
    return value.split(":")


def interval(name: str, value: str) -> tuple[float, float]:
    """Read LOW:HIGH.

    Raises
    ------
    ParameterError
        If it is something else.

    Examples
    --------
    >>> interval("value_range", "-1:1")
    (-1.0, 1.0)
    """
    try:
        low, high = map(float, value.split(":"))
    except ValueError:
        low, high = math.nan, math.nan
    if not math.isfinite(low + high):
        raise ParameterError("expected two numbers, LOW:HIGH", field=name, value=value)
    return low, high


def _without_none(kind: Any) -> Any:
    """Return the type of what may also be left out."""
    own = [part for part in get_args(kind) if part is not type(None)]
    return own[0] if len(own) == 1 and type(None) in get_args(kind) else kind


def _parameter(name: str, field: FieldInfo, *, listed: bool) -> inspect.Parameter:
    kind = _without_none(field.annotation)
    choices = [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []
    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=f"{field.description}{_default(flag, field)}",
        show_default=False,
        metavar="|".join(choices) or (f"{kind.__name__.upper()},..." if listed and kind in _PLAIN else None),
    )
    accepted: Any = kind if kind in _PLAIN and (kind is bool or not listed) else str
    if get_origin(kind) is tuple and get_args(kind)[0] is str:
        accepted = list[str]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[accepted | None, option]
    )


def _default(flag: str, field: FieldInfo) -> str:
    """Return what help says of a default: that of Typer would stand in brackets of its own."""
    if field.is_required() or field.default is None or field.default is False:
        return ""
    return f"  [default: {flag if field.default is True else as_text(field.default) or 'none'}]"
