"""YAML files that users write: read strictly, with the line of each mistake.

PyYAML reads them, which Dask brings; ruamel.yaml's YAML 1.2 still makes dates and octal numbers of texts and
resolves aliases, so that a job file would need the same subclass of its loader.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import yaml

from latentscan.errors import UsageError, shown
from latentscan.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Path, os.stat_result], None]

MOST_BYTES = 64 * 1024  # of a file
MOST_VALUES = 5_000  # in a file, those of an alias counted wherever it stands
DEEPEST = 40  # values in values
_MOST_BITS = 1_024  # of a whole number
_LEVEL_MESSAGE = f"nested more than {DEEPEST} deep"


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses keys given twice, keys that are no words, and what would grow or nest on."""

    allows_aliases = True

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._level = 0
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}  # values and levels of what is read, by node

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and not self.allows_aliases:
            raise _mistake("aliases are not supported", event.start_mark)
        self._level += 1
        if self._level > DEEPEST:
            raise _mistake(_LEVEL_MESSAGE, event.start_mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _mistake("an alias of what it stands in", event.start_mark)
        elif node is not None:
            self._measure(node, event.start_mark)
        return node

    def _measure(self, node: yaml.Node, mark: Any) -> None:
        """Count the values of a node, so that a few aliases of aliases cannot stand for millions."""
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        nodes = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
        sizes = [self._sizes[part] for part in nodes]
        count, levels = 1 + sum(size for size, _ in sizes), 1 + max((level for _, level in sizes), default=0)
        if count > MOST_VALUES:
            raise _mistake(f"more than {MOST_VALUES:,} values", mark)
        if levels > DEEPEST:
            raise _mistake(_LEVEL_MESSAGE, mark)
        self._sizes[node] = count, levels

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)  # keys of others are merged into it only later
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _mistake("expected a word as key", key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise _mistake(f"the key {shown(key.value)} is given twice", key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return the value of a node; what is none of its type is a mistake with a place."""
        try:
            value: Any = super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            kind = node.tag.rpartition(":")[2]
            raise _mistake(
                f"{shown(node.value)}: expected a value of the type {kind}", node.start_mark
            ) from None
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise _mistake("a number without end", node.start_mark)
        if isinstance(value, str) and any(one == "\0" or "\ud800" <= one <= "\udfff" for one in value):
            raise _mistake("a character that no text and no path has", node.start_mark)
        return value


class _TextLoader(_StrictLoader):
    """A strict loader that leaves all values but nulls as texts, and refuses aliases."""

    allows_aliases = False
    yaml_implicit_resolvers = {  # noqa: RUF012 (it is PyYAML's name)
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _no_check(_path: Path, _status: os.stat_result) -> None:
    return


def _mistake(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, mark)


def read_yaml(path: Path, expected: str, *, check: Check = _no_check) -> dict[str, Any]:
    """Return the mapping in a YAML file, with numbers, booleans, aliases and merged keys (``<<``).

    Parameters
    ----------
    path
        Of the file.
    expected
        What the file should be, for messages.
    check
        Called with the path and the status of the open file before it is read.

    Raises
    ------
    UsageError
        If the file is missing or malformed, has a key twice, or holds no mapping.
    """
    content = _load(path, _StrictLoader, expected, check)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: {shown(content)}: expected keys with values, {expected}")
    return content


def read_yaml_texts(path: Path, expected: str) -> Any:
    """Return the content of a YAML file whose values are texts or nulls, as on a command line.

    So 2:40:2 does not become 9602, nor NO false.

    Parameters
    ----------
    path
        Of the file.
    expected
        What the file should be, for messages.

    Raises
    ------
    UsageError
        If the file is missing or malformed, has a key twice, an alias, or a tag that is not YAML's own.
    """
    return _load(path, _TextLoader, expected, _no_check)


def _load(path: Path, loader: type[yaml.SafeLoader], expected: str, check: Check) -> Any:
    try:
        return yaml.load(_text(path, check), loader)  # noqa: S506 (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"{path}: {reason}; expected {expected}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{path}: {where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not YAML: {reason}; expected {expected}") from None


def _text(path: Path, check: Check) -> str:
    """Read a regular file; no pipe that nobody writes to, and no device without end."""
    with open_regular(path) as file:
        check(path, os.fstat(file.fileno()))
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(0, f"more than {MOST_BYTES:,} bytes")
    return content.decode("utf-8")
