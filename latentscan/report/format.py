"""How numbers are written, in tables and in JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.store.results import IDENTITY
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.store.results import Result


def finite(value: float) -> float | None:
    """Return a number for JSON, which has neither NaN nor infinity: None stands for them."""
    return float(value) if math.isfinite(value) else None


def finite_list(values: NDArray[Any]) -> list[Any]:
    """Return an array (n,) for JSON, with None for NaN and infinity; other types stay as they are."""
    if values.dtype.kind != "f":
        listed: list[Any] = values.tolist()
        return listed
    return [value if np.isfinite(value) else None for value in values.tolist()]


def number(value: float | None) -> str:
    """Write a number with two decimals, or with three digits where that says more.

    Examples
    --------
    >>> number(1234.5), number(0.01234), number(None)
    ('1,234.50', '0.0123', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.2f}" if 0.995 <= abs(value) < 1e6 else f"{value:.3g}"


def number_like(value: float, like: float) -> str:
    """Write a number to the unit, or to as many digits as distinguish numbers of the size of `like`.

    Examples
    --------
    >>> number_like(123456.7, 123456.7), number_like(1.23456, 1.0)
    ('123,457', '1.2346')
    """
    digits = max(0, 4 - int(np.floor(np.log10(like)))) if like > 0 else 0
    return f"{value:,.{digits}f}" if digits < 10 else f"{value:.3g}"


def with_error(value: float | None, error: float | None) -> str:
    """Write a number and its standard error, to the digit that the error reaches, at most four decimals.

    Examples
    --------
    >>> with_error(0.97123, 0.0018), with_error(14.0, 2.5), with_error(0.98776, 0.0002)
    ('0.971 ± 0.002', '14.0 ± 2.5', '0.9878 ± 0.0002')
    >>> with_error(0.5, None), with_error(None, None)
    ('0.500', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if error is None or not math.isfinite(error):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
    if max(abs(value), error) >= 1e5:
        return f"{value:.3g} ± {error:.2g}"
    reached = 1 - math.floor(math.log10(error)) if error else 3
    small = max(abs(value), error) < 1
    digits = min(max(reached, 3 if small else 0), 4 if small and error < 5e-4 else 3)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def path_end(path: object, length: int = 24) -> str:
    """Write a path on one line, without its beginning where it is long: names differ at their ends.

    Examples
    --------
    >>> path_end("a/b.jpg"), path_end("a/very/long/path/of/an/image.jpg", 12)
    ('a/b.jpg', '...image.jpg')
    """
    text = one_line(path)
    return text if len(text) <= length else f"...{text[3 - length :]}"


def image_name(image: int, path: object, length: int = 24) -> str:
    """Write the row of an image with its path.

    Examples
    --------
    >>> image_name(1315, "001316.jpg"), image_name(7, "")
    ('1315 (001316.jpg)', '7')
    """
    return f"{image} ({path_end(path, length)})" if path else str(image)


def own_attributes(result: Result) -> dict[str, Any]:
    """Return the attributes of a result without those that say which result it is."""
    return {name: value for name, value in result.attributes.items() if name not in IDENTITY}
