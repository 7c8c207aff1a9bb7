"""Tables of what is known of images."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.images.source import MISSING
from latentscan.images.table_file import keys_of, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.images.table_file import Table


def kinds(table: Table) -> dict[str, str]:
    return {column.label: column.kind for column in table.columns}


def values(table: Table) -> dict[str, list[Any]]:
    return {column.label: column.values.tolist() for column in table.columns}


CSV = 'file;age;weight;smiles;note\n1.png;30;0,5;1;"a;b"\n\n2.png;;1,25;0;\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_csv_has_the_kinds_of_its_columns(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(CSV.replace("a;b", "é;b").encode(encoding))
    table = read_table(tmp_path / "a.csv")
    assert values(table) == {
        "file": ["1.png", "2.png"],
        "age": [30, MISSING["integer"]],
        "weight": [0.5, 1.25],
        "smiles": [1, -1],
        "note": ["é;b", ""],
    }
    assert table.where(1) == f"{tmp_path / 'a.csv'}, line 4"
    assert table.column_of_paths() is table.columns[0]


def test_more_rows_than_are_read_at_once_are_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{row},{row % 7}x\n" for row in range(9000)))
    table = read_table(tmp_path / "a.csv")
    assert values(table) == {"a": list(range(9000)), "b": [f"{row % 7}x" for row in range(9000)]}


@pytest.mark.parametrize("header", [",a", "Unnamed: 0,a"])
def test_a_column_that_only_counts_rows_is_left_out(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n7,x\n8,y\n9,z\n")
    table = read_table(tmp_path / "a.csv")
    assert [column.label for column in table.without(None)] == ["a"]
    (tmp_path / "a.csv").write_text(f"{header}\n7,x\n9,y\n8,z\n")
    assert len(read_table(tmp_path / "a.csv").without(None)) == 2


def test_parquet_keeps_its_kinds(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "path": pa.array(["1.png", "2.png", "3.png"]),
        "flag": pa.array([True, None, False]),
        "age": pa.array([30, None, 2], pa.int16()),
        "id": pa.array([2**60, 1, None], pa.int64()),
        "weight": pa.array([0.5, None, 2.5], pa.float32()),
        "kind": pa.array(["x", None, "x"]).dictionary_encode(),
        "code": pa.array(["1", "0", "1"]),
        "price": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("2.00")]),
        "day": pa.array([dt.date(2020, 1, 2), None, dt.date(2021, 1, 2)]),
        "lasted": pa.array([dt.timedelta(minutes=1), None, dt.timedelta(seconds=0.5)]),
        "pixels": pa.array([[1], [2], [3]]),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=2)
    table = read_table(tmp_path / "a.parquet")
    assert table.left_out == ("pixels",)
    found = values(table)
    np.testing.assert_array_equal(found.pop("weight"), [0.5, np.nan, 2.5])
    np.testing.assert_array_equal(found.pop("price"), [1.25, np.nan, 2])
    np.testing.assert_array_equal(found.pop("lasted"), [60, np.nan, 0.5])  # in seconds
    assert found == {
        "path": ["1.png", "2.png", "3.png"],
        "flag": [1, 0, -1],
        "age": [30, MISSING["integer"], 2],
        "id": [str(2**60), "1", ""],
        "kind": ["x", "", "x"],
        "code": ["1", "0", "1"],
        "day": ["2020-01-02", "", "2021-01-02"],
    }
    assert next(column for column in table.columns if column.label == "kind").categories == ("x",)


def test_keys_are_what_rows_are_known_by(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n5,x\n,y\n")
    assert [keys_of(column) for column in read_table(tmp_path / "a.csv").columns] == [["5", ""], ["x", "y"]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "no header"),
        ("a.csv", "a,b\n", "has no rows"),
        ("a.csv", "a,a\n1,2\n", "line 1: 2 columns named 'a'"),
        ("a.csv", "0.5,1.5\n1,2\n", "line 1: '0.5'; expected a header"),
        ("a.csv", "a,b\x1b[2J\n1,2\n", "expected a header"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3: 1 fields; expected 2 as in the header"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "line 3: 3 fields; expected 2"),
        ("a.csv", 'a,b\n1,"' + "x" * 200_000, "cannot be read"),
        ("a.csv", "a,b\n1,x\0y\n", "holds a NUL"),
        ("a.csv", ",".join(f"c{at}" for at in range(5000)) + "\n", "5,000 columns; expected at most 4,096"),
        ("a.xlsx", "PK", "expected a table: .csv, .tsv, .txt or .parquet"),
        ("a.parquet", "PAR1nonsense", "no Parquet that can be read"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as refused:
        read_table(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert message in str(refused.value)


def test_parquet_without_its_library_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'pip install "latentscan\[parquet\]"'):
        read_table(tmp_path / "a.parquet")
