"""What a command prints: data on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def note(message: str) -> None:
    """Print something that is not data."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def print_text(what: RenderableType) -> None:
    """Print tables and text that are data."""
    from rich.console import Console

    Console(highlight=False, markup=False).print(what)
