"""The kinds of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.images.columns import of_numbers, of_texts
from latentscan.images.source import DTYPES, MISSING

NONE = MISSING["integer"]


def column(texts: list[str], **options: Any) -> Any:
    distinct = list(dict.fromkeys(texts))
    return of_texts("a", np.array([distinct.index(text) for text in texts]), distinct, **options)


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["0", "1", "1"], "binary", [-1, 1, 1]),
        (["-1", "1", ""], "binary", [-1, 1, 0]),
        (["1.0", "0.0", "nan"], "binary", [1, -1, 0]),
        (["1", " 1.0 ", "0"], "binary", [1, 1, -1]),
        (["True", "FALSE", "NA"], "binary", [1, -1, 0]),
        (["yes", "No", "None"], "binary", [1, -1, 0]),
        (["-1", "0", "1"], "integer", [-1, 0, 1]),
        (["12", "", "-3"], "integer", [12, NONE, -3]),
        (["9007199254740992", "2"], "integer", [2**53, 2]),
        (["9007199254740993", "2"], "text", ["9007199254740993", "2"]),
        (["9" * 5000, "2"], "error", []),
        (["1.5", "2", "1e3", "-.5", "inf"], "float", [1.5, 2, 1000, -0.5, np.inf]),
        (["1.5", "N/A", "?"], "float", [1.5, np.nan, np.nan]),
        (["", "NA"], "float", [np.nan, np.nan]),
        (["007", "123"], "text", ["007", "123"]),
        (["1_000", "2"], "text", ["1_000", "2"]),
        (["٣", "2"], "text", ["٣", "2"]),
        (["0,5", "1,5"], "text", ["0,5", "1,5"]),
        (["cat", "none", "NaN"], "text", ["cat", "none", ""]),
        (["=cmd|' /C calc'!A0", "<script>"], "text", ["=cmd|' /C calc'!A0", "<script>"]),
    ],
)
def test_a_column_is_of_the_kind_that_all_its_values_are(
    texts: list[str], kind: Any, values: list[Any]
) -> None:
    if kind == "error":
        with pytest.raises(UsageError, match="is longer than 4,096 bytes"):
            column(texts)
        return
    found = column(texts)
    assert found.kind == kind
    assert found.values.dtype == DTYPES[found.kind]
    if kind == "float":
        np.testing.assert_array_equal(found.values, values)
    else:
        assert found.values.tolist() == values


def test_decimal_commas_are_read_where_they_separate_nothing() -> None:
    found = column(["0,5", "1", ""], decimal_comma=True)
    np.testing.assert_array_equal(found.values, [0.5, 1, np.nan])


def test_texts_that_come_again_and_again_are_categories() -> None:
    assert column(["b", "a", "", "a", "b"]).categories == ("a", "b")
    assert column(["b", "a", "c"]).categories == ()
    assert column([f"{row % 300}x" for row in range(3000)]).categories == ()


def test_a_text_without_end_or_with_a_nul_is_refused() -> None:
    assert column(["é" * 2048]).values[0] == "é" * 2048
    for text in ("é" * 2049, "a\0b"):
        with pytest.raises(UsageError, match=r"column 'a': the text .* is longer than 4,096 bytes or holds"):
            column([text])


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([True, False, True]), "binary", [1, -1, 0]),
        (np.array([0, 1, 7], np.uint8), "binary", [-1, 1, 0]),
        (np.array([0.0, 1.0, 7]), "binary", [-1, 1, 0]),
        (np.array([3, 4, 7], np.uint64), "integer", [3, 4, NONE]),
        (np.array([2**63, 4, 7], np.uint64), "text", [str(2**63), "4", ""]),
        (np.array([0.25, np.nan, 7], np.float16), "float", [0.25, np.nan, np.nan]),
    ],
)
def test_numbers_have_kinds_too(values: Any, kind: str, expected: list[Any]) -> None:
    found = of_numbers("a", values, np.array([True, True, False]))
    assert found.kind == kind
    if kind == "text":
        assert found.values.tolist() == expected
    else:
        np.testing.assert_array_equal(found.values, expected)
