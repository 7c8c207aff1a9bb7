"""Options that are added to a command: typer reads them from its signature."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def replace_parameter(
    command: Any,
    name: str,
    added: Sequence[inspect.Parameter],
    gather: Callable[[dict[str, Any]], Any],
    *,
    first: bool = False,
) -> Any:
    """Return a command that has some options in place of one parameter.

    Parameters
    ----------
    command
        A function whose signature typer could read, but for that parameter.
    name
        The parameter.
    added
        The options, keyword-only.
    gather
        Makes the parameter's value of the options' values.
    first
        Whether the options come before the command's own.
    """
    command.__annotations__.pop(name, None)  # a type that the command needs for checking alone
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        value = gather({parameter.name: given.pop(parameter.name) for parameter in added})
        command(**given, **{name: value})

    rest = [parameter for parameter in own.parameters.values() if parameter.name != name]
    rest = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in rest]
    signature = own.replace(parameters=[*added, *rest] if first else [*rest, *added])
    del wrapped.__wrapped__
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return wrapped
