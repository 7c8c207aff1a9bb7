"""What a command prints: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from latentscan.terminal import console

if TYPE_CHECKING:
    from rich.console import RenderableType


def note(message: str) -> None:
    """Print something that is not data; further lines of it are indented, so that none looks like another."""
    print(message.replace("\n", "\n  "), file=sys.stderr, flush=True)  # noqa: T201


def print_line(text: object) -> None:
    """Print a line that is data."""
    print(text, flush=True)  # noqa: T201


def print_text(what: RenderableType, *, wrap: bool = True) -> None:
    """Print tables and text that are data; without `wrap`, lines are as long as they are."""
    console(sys.stdout).print(what, soft_wrap=not wrap)


def print_json(document: Any) -> None:
    """Print one JSON document, in ASCII, with null for NaN and infinity, which JSON does not have."""
    print_line(json.dumps(_finite(document), allow_nan=False))


def is_read() -> bool:
    """Return whether anybody may still read what is printed."""
    return getattr(sys.stdout, "lost", None) is None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
