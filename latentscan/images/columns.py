"""The kinds of columns: binary, integer, float or text, as their values say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError, shown
from latentscan.images.source import MISSING, Attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_CATEGORIES = 256
LONGEST_TEXT = 4096  # bytes, as of a path
_EXACT = 2**53  # whole numbers beyond are names of something, and no float holds them
_TRUE, _FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})
_NOTHING = frozenset({"", "na", "n/a", "<na>", "nan", "null"})  # in any column
_NO_NUMBER = _NOTHING | {"none", "-", "--", "?", "."}
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)\Z", re.IGNORECASE
)
_ZEROS = re.compile(r"[+-]?0[0-9]")  # of an identifier: a number would lose them
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+\Z")


def of_texts(
    label: str, codes: NDArray[np.integer[Any]], texts: Sequence[str], *, decimal_comma: bool = False
) -> Attribute:
    """Return a column of texts as the kind that all of them are.

    Parameters
    ----------
    label
        Its name.
    codes
        Which of the texts each image has, (image,).
    texts
        Those that occur, each once.
    decimal_comma
        Whether numbers may be written as 0,5.

    Raises
    ------
    UsageError
        If a text is too long, or holds what no text does.

    Examples
    --------
    >>> of_texts("glasses", np.array([0, 1, 2]), ["yes", "No", ""]).values.tolist()
    [1, -1, 0]
    >>> of_texts("size", np.array([0, 0, 1]), ["0.5", "n/a"]).values.tolist()
    [0.5, 0.5, nan]
    """
    stripped = [text.strip() for text in texts]
    lowered = [text.lower() for text in stripped]
    given = [text for text in lowered if text not in _NO_NUMBER]
    if given and _TRUE.union(_FALSE).issuperset(given):
        flags = [(text in _TRUE) - (text in _FALSE) for text in lowered]
        return Attribute(label, "binary", np.array(flags, np.int8)[codes])
    if decimal_comma and given and all(_COMMA.match(text) or _NUMBER.match(text) for text in given):
        stripped = [text.replace(",", ".") for text in stripped]
        given = [text.replace(",", ".") for text in given]
    is_known = np.array([text not in _NO_NUMBER for text in lowered], bool)
    if all(map(_WHOLE.match, given)) and all(abs(int(text[:20])) <= _EXACT for text in given):
        known = zip(stripped, is_known, strict=True)
        wholes = np.array([int(text) if ok else 0 for text, ok in known], np.int64)
        return of_numbers(label, wholes[codes], is_known[codes])
    if (
        all(map(_NUMBER.match, given))
        and not any(_ZEROS.match(text) for text in given)
        and not _beyond(given)
    ):
        known = zip(stripped, is_known, strict=True)
        floats = np.array([float(text) if ok else np.nan for text, ok in known], np.float64)
        return of_numbers(label, floats[codes], is_known[codes])
    return of_words(
        label, codes, ["" if low in _NOTHING else t for t, low in zip(stripped, lowered, strict=True)]
    )


def of_numbers(label: str, values: NDArray[Any], is_known: NDArray[np.bool_]) -> Attribute:
    """Return a column of numbers or booleans as the kind that it is: binary, integer or float.

    It is binary where it has no others than 0 and 1, or than -1 and 1. Integers that no float holds exactly
    become texts: they identify something.

    Parameters
    ----------
    label
        Its name.
    values
        (image,).
    is_known
        Which of them mean something, (image,).
    """
    known = values[is_known]
    if values.dtype.kind == "f":
        is_known = is_known & ~np.isnan(values)
        known = values[is_known]
    if values.dtype.kind == "b":
        return Attribute(label, "binary", np.where(is_known, np.where(values, 1, -1), 0).astype(np.int8))
    if len(known) and (((known == 0) | (known == 1)).all() or ((known == -1) | (known == 1)).all()):
        return Attribute(label, "binary", np.where(is_known, np.where(values == 1, 1, -1), 0).astype(np.int8))
    if values.dtype.kind == "f" or not len(known):
        return Attribute(label, "float", np.where(is_known, values, np.nan).astype(np.float64))
    if int(known.max()) > _EXACT or int(known.min()) < -_EXACT:
        texts, codes = np.unique(np.where(is_known, values, 0), return_inverse=True)
        return of_words(label, np.where(is_known, codes + 1, 0), ["", *map(str, texts.tolist())])
    return Attribute(label, "integer", np.where(is_known, values.astype(np.int64), MISSING["integer"]))


def _beyond(texts: Sequence[str]) -> bool:
    """Check whether all are whole numbers, of which some float could not hold all digits."""
    return bool(texts) and all(map(_WHOLE.match, texts))


def of_words(label: str, codes: NDArray[Any], texts: Sequence[str]) -> Attribute:
    """Return a column of texts as such, whatever they say; arguments and errors are those of `of_texts`."""
    for text in texts:
        if "\0" in text or len(text) > LONGEST_TEXT or len(text.encode("utf-8", "replace")) > LONGEST_TEXT:
            raise UsageError(
                f"column {shown(label)!r}: the text {shown(text)!r} is longer than {LONGEST_TEXT:,} bytes or "
                "holds a NUL; leave the column out"
            )
    words = np.array(texts, object) if len(texts) else np.array([""], object)
    values = words[codes]
    occurring = sorted({text for text in texts if text})
    comes_again = 2 * len(occurring) <= np.count_nonzero(values != "")
    is_categorical = 0 < len(occurring) <= MOST_CATEGORIES and comes_again
    return Attribute(label, "text", values, tuple(occurring) if is_categorical else ())
