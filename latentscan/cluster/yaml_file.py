"""YAML files that users write: read strictly, with the line of each mistake.

PyYAML reads them, which Dask brings; ruamel.yaml's YAML 1.2 still makes dates and octal numbers of texts and
resolves aliases, so that a job file would need the same subclass of its loader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from latentscan.errors import UsageError, shown

if TYPE_CHECKING:
    from pathlib import Path


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses keys given twice, and keys that are no words."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)  # keys of others are merged into it only later
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "expected a word as key", key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                problem = f"the key {shown(key.value)} is given twice"
                raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node


class _TextLoader(_StrictLoader):
    """A strict loader that leaves all values but nulls as texts, and refuses aliases."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (it is PyYAML's name)
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases are not supported", event.start_mark)
        return super().compose_node(parent, index)


def read_yaml(path: Path, expected: str) -> dict[str, Any]:
    """Return the mapping in a YAML file, with numbers, booleans, aliases and merged keys (``<<``).

    Parameters
    ----------
    path
        Of the file.
    expected
        What the file should be, for messages.

    Raises
    ------
    UsageError
        If the file is missing or malformed, has a key twice, or holds no mapping.
    """
    content = _load(path, _StrictLoader, expected)
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
    return _load(path, _TextLoader, expected)


def _load(path: Path, loader: type[yaml.SafeLoader], expected: str) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"{path}: {reason}; expected {expected}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{path}: {where}{error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not YAML: {reason}; expected {expected}") from None
