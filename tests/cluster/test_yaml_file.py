from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.cluster.yaml_file import read_yaml, read_yaml_texts
from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = sorted(Path(__file__).parents[2].glob("jobs/*.yaml"))


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def values(folder: Path, text: str) -> Any:
    return read_yaml(written(folder, text), "a file of values")


def texts(folder: Path, text: str) -> Any:
    return read_yaml_texts(written(folder, text), "a file of texts")


def test_values_are_what_yaml_says(tmp_path: Path) -> None:
    assert values(tmp_path, "a: 1\nb: true\nc: [1.5, x]\nd:\n") == {
        "a": 1,
        "b": True,
        "c": [1.5, "x"],
        "d": None,
    }


def test_texts_are_what_is_written_but_for_null(tmp_path: Path) -> None:
    written_texts = [
        "2:40:2",
        "NO",
        "01:00:00",
        "010",
        "1e5",
        "2026-01-01",
        "0x10",
        "1_000",
        "true",
        ".inf",
        "<<",
    ]
    assert texts(tmp_path, "".join(f"- {text}\n" for text in written_texts)) == written_texts
    assert texts(tmp_path, "a:\nb: null\nc: ~\nd: 'null'\ne: ''") == {
        **dict.fromkeys("abc"),
        "d": "null",
        "e": "",
    }


def test_aliases_and_merged_keys_are_values(tmp_path: Path) -> None:
    text = """
    base: &base {cores: 1, memory: 2}
    nested: {one: &more {<<: *base, memory: 3}}
    last: {<<: *more, scale: 4}
    """
    content = values(tmp_path, text)
    assert content["nested"]["one"] == {"cores": 1, "memory": 3}
    assert content["last"] == {"cores": 1, "memory": 3, "scale": 4}


MISTAKES = {
    "a: 1\nb: {c: 1, d: 2, c: 3}": "line 2, column 17: the key c is given twice",
    "a: 1\n'a': 2": "line 2, column 1: the key a is given twice",
    "a: [1": "line 1, column 6: ",
    "a: b: c": "line 1, column 5: ",
    "a: !!python/name:os.system x": "line 1, column 4: ",
    "a: !Path /etc": "line 1, column 4: ",
    "? [1, 2]\n: 3": "line 1, column 3: expected a word as key",
    "a: \x07": "not YAML: .* expected a file of ",
    f"a: {'[' * 3000}": "line 1, column 43: nested more than 40 deep",
}


@pytest.mark.parametrize("read", [values, texts])
@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, read: Callable[[Path, str], Any], text: str
) -> None:
    with pytest.raises(UsageError, match=MISTAKES[text]) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'a.yaml'}: ")
    assert "\n" not in str(caught.value)


VALUE_MISTAKES = {
    f"a: {'9' * 5000}": "line 1, column 4: 9999.*: expected a value of the type int",
    f"a: 0x{'f' * 5000}": "line 1, column 4: a number without end",
    "a: 2026-13-45": "line 1, column 4: 2026-13-45: expected a value of the type timestamp",
    "a: !!timestamp x": "line 1, column 4: x: expected a value of the type timestamp",
    "a: !!bool x": "line 1, column 4: x: expected a value of the type bool",
    "a: &a [*a]": "line 1, column 8: an alias of what it stands in",
    "a: &a {b: [*a]}": "line 1, column 12: an alias of what it stands in",
    "a: &a [x]\n"
    + "".join(f"b{n}: &b{n} [*{'a' if not n else f'b{n - 1}'}]\n" for n in range(60)): "40 deep",
}


@pytest.mark.parametrize("text", VALUE_MISTAKES)
def test_a_value_that_is_none_of_its_type_is_a_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=VALUE_MISTAKES[text]):
        values(tmp_path, text)


@pytest.mark.parametrize("read", [values, texts])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: " + "x" * 70_000, "more than 65,536 bytes"),
        ("- a\n" * 6_000, "more than 5,000 values"),
        ('a: "\\0"', "a character that no text and no path has"),
        ('a: "\\ud800"', "a character that no text and no path has"),
    ],
)
def test_what_is_too_much_or_no_text_is_refused(
    tmp_path: Path, read: Callable[[Path, str], Any], text: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        read(tmp_path, text)


def test_aliases_of_aliases_are_counted_before_they_are_values(tmp_path: Path) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for one, following in pairwise("abcdefghi"):
        lines.append(f"{following}: &{following} [{','.join([f'*{one}'] * 10)}]")
    with pytest.raises(UsageError, match="line 4, column 4: more than 5,000 values"):
        values(tmp_path, "\n".join(lines))
    merged = ["a: &a {k0: 1, k1: 1}"]
    for one, following in pairwise("abcdefghijklmnopq"):
        merged.append(f"{following}: &{following} {{<<: [*{one}, *{one}]}}")
    with pytest.raises(UsageError, match="more than 5,000 values"):
        values(tmp_path, "\n".join(merged))


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (read_yaml, read_yaml_texts):
            with pytest.raises(UsageError, match="not a file; expected a job"):
                read(path, "a job")


def test_texts_have_no_aliases(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2, column 4: aliases are not supported"):
        texts(tmp_path, "a: &x 1\nb: *x")


@pytest.mark.parametrize("text", ["", "5", "- a", "null"])
def test_values_are_a_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="expected keys with values, a file of values"):
        values(tmp_path, text)


@pytest.mark.parametrize("read", [read_yaml, read_yaml_texts])
def test_files_that_cannot_be_read(tmp_path: Path, read: Callable[[Path, str], Any]) -> None:
    with pytest.raises(UsageError, match=r"nothing\.yaml: .*; expected a job"):
        read(tmp_path / "nothing.yaml", "a job")
    with pytest.raises(UsageError, match=r"a\.yaml: not UTF-8 text; expected a job"):
        read(written(tmp_path, b"a: \xff"), "a job")
    with pytest.raises(UsageError, match="expected a job"):
        read(tmp_path, "a job")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_jobs_are_read(path: Path) -> None:
    assert isinstance(read_yaml_texts(path, "a job"), dict)
